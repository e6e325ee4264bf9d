"""`workbench experiments`: what there is to ask, with parameters, units and defaults."""

from __future__ import annotations

from typing import Any

import click

from workbench.cli.flags import limits, shown_default
from workbench.cli.options import json_option
from workbench.experiment import Experiment
from workbench.experiments import experiment, experiments
from workbench.params import Field, fields


@click.command("experiments", help="List the experiments, or one with its parameters, units and defaults.")
@click.argument("name", required=False)
@json_option
def experiments_command(name: str | None, as_json: bool) -> None:
    from workbench.cli.output import print_json

    found = [experiment(name)] if name else list(experiments().values())
    if as_json:
        data = [_json(item) for item in found]
        print_json(data[0] if name else data)
    else:
        _print(found, whole=bool(name))


def _json(found: Experiment) -> dict[str, Any]:
    return {
        "name": found.name,
        "summary": found.summary,
        "help": found.help,
        "takes_edits": found.takes_edits,
        "params": [
            {
                "name": field.name,
                "flag": field.flag,
                "kind": field.kind.name,
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


def _print(found: list[Experiment], whole: bool) -> None:
    from workbench.cli.output import Printer
    from workbench.cli.run import example
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    for at, item in enumerate(found):
        if at:
            printer.blank()
        printer.text(item.name, "bold")
        printer.text(item.help if whole else item.summary, indent="  ")
        rows = [(field.flag, field.help, _facts(field)) for field in fields(item.params)]
        if item.takes_edits:
            rows.append(
                ("--edit", "a change to the forward pass, for example L12.N345=0; again for more, in order", "")
            )
        printer.blank()
        printer.definitions(rows)
        printer.blank()
        printer.word(f"  {example(item)}", printer.style.paint("clean"))


def _facts(field: Field) -> str:
    """A parameter's type, unit, bounds and default, in one line."""
    kind = " or ".join(field.choices) or field.kind.name
    default = shown_default(field)
    example = f"for example {field.example!r}" if field.example else ""
    parts = [kind, field.unit, limits(field), f"default {default}" if default else "", example]
    return ", ".join(part for part in parts if part)
