"""`workbench experiments`: what there is to ask, with parameters, units and defaults."""

from __future__ import annotations

from typing import Any

import click

from workbench.cli.options import json_option


@click.command("experiments", help="List the experiments, or one with its parameters, units and defaults.")
@click.argument("name", required=False)
@json_option
def experiments_command(name: str | None, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.experiment import experiment, experiments

    found = [experiment(name)] if name else list(experiments().values())
    if as_json:
        data = [_json(item) for item in found]
        print_json(data[0] if name else data)
    else:
        _print(found, whole=bool(name))


def _json(found: Any) -> dict[str, Any]:
    from workbench.experiment import fields

    return {
        "name": found.name,
        "summary": found.summary,
        "help": found.help,
        "takes_edits": found.takes_edits,
        "params": [
            {
                "name": field.name,
                "flag": field.flag,
                "type": field.type,
                "default": field.default,
                "unit": field.unit,
                "help": field.help,
                "example": field.example,
                "choices": list(field.choices),
                "minimum": field.minimum,
                "maximum": field.maximum,
            }
            for field in fields(found.params)
        ],
    }


def _print(found: list[Any], whole: bool) -> None:
    from workbench.cli.flags import limits, shown_default
    from workbench.cli.output import Printer
    from workbench.cli.run import example
    from workbench.drawing import draw
    from workbench.experiment import fields
    from workbench.settings import load
    from workbench.views import Column, Table

    printer = Printer(theme=load().theme)
    for at, item in enumerate(found):
        if at:
            printer.blank()
        printer.text(item.name, "bold")
        printer.text(item.help if whole else item.summary, indent="  ")
        rows = [
            [
                field.flag,
                "|".join(field.choices) or {"prompts": "file"}.get(field.type, field.type),
                ", ".join(part for part in (field.unit, limits(field)) if part),
                shown_default(field),
                field.help,
            ]
            for field in fields(item.params)
        ]
        if item.takes_edits:
            rows.append(
                ["--edit", "edit", "", "", "a change to the forward pass, for example L12.N345=0; again for more"]
            )
        columns = [Column(name=name) for name in ("flag", "type", "unit, bounds", "default", "meaning")]
        printer.blank()
        printer.lines(draw(Table(title="", columns=columns, rows=rows), printer.width, style=printer.style))
        printer.blank()
        printer.word(f"  {example(item)}", printer.style.paint("clean"))
