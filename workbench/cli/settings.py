"""`workbench settings`."""

from __future__ import annotations

import click

from workbench.cli.options import json_option


@click.command("settings", help="Print the settings, their meaning, and where the file is.")
@click.option("--example", is_flag=True, help="Print a settings file with every key, to start from.")
@json_option
def settings_command(example: bool, as_json: bool) -> None:
    from workbench import settings
    from workbench.paths import config_file

    if example:
        click.echo(settings.example(), nl=False)
        return
    path = config_file()
    entries = list(settings.listing(settings.load(path)))
    if as_json:
        from workbench.cli.output import print_json

        print_json({"path": str(path), "settings": {entry.name: entry.value for entry in entries}})
        return
    from workbench.cli.output import Printer
    from workbench.cli.page import short_path

    printer = Printer(theme=settings.load(path).theme)
    hint = "" if path.exists() else " (not there yet: workbench settings --example prints one)"
    printer.text(f"{short_path(path)}{hint}", "dim")
    printer.blank()
    printer.definitions(
        (f"{entry.name} = {settings.toml(entry.value)}", entry.help, f"default {settings.toml(entry.default)}")
        for entry in entries
    )
