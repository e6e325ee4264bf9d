"""`workbench methods`: the definitions behind the numbers."""

from __future__ import annotations

import click

from workbench.cli.options import json_option


@click.command("methods", help="List the definitions behind the numbers, or print one section, with its source.")
@click.argument("name", required=False, metavar="[SECTION]", nargs=-1)
@json_option
def methods_command(name: tuple[str, ...], as_json: bool) -> None:
    from workbench.cli.output import Printer, print_json
    from workbench.methods import introduction, section, sections
    from workbench.settings import load

    shown = [section(" ".join(name))] if name else list(sections())
    if as_json:
        data = [{"name": each.name, "text": each.text} for each in shown]
        print_json(data[0] if name else data)
        return
    printer = Printer(theme=load().theme)
    if not name:
        for paragraph in introduction().split("\n\n"):
            printer.text(paragraph, "dim")
            printer.blank()
        printer.definitions((each.name, each.summary, "") for each in shown)
        return
    printer.text(shown[0].name, "bold")
    for paragraph in shown[0].paragraphs:
        printer.blank()
        printer.text(paragraph)
