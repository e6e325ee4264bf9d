"""`workbench experiments`: what there is to ask, with parameters, units and defaults."""

from __future__ import annotations

from typing import Any

import click

from workbench.cli.flags import limits, shown_default
from workbench.cli.options import json_option
from workbench.experiment import GROUPS, Experiment
from workbench.experiments import experiment, experiments
from workbench.params import Field, fields


@click.command("experiments", help="List the experiments, or one with its parameters, units and defaults.")
@click.argument("name", required=False)
@json_option
def experiments_command(name: str | None, as_json: bool) -> None:
    from workbench.cli.output import print_json

    definitions = [experiment(name)] if name else list(experiments().values())
    if as_json:
        data = [_json(definition) for definition in definitions]
        print_json(data[0] if name else data)
    elif name:
        _print_manual(definitions[0])
    else:
        _print_list(definitions)


def _json(definition: Experiment) -> dict[str, Any]:
    return {
        "name": definition.name,
        "summary": definition.summary,
        "help": definition.help,
        "takes_edits": definition.takes_edits,
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
            for field in fields(definition.params)
        ],
    }


def _print_list(definitions: list[Experiment]) -> None:
    from workbench.cli.output import Printer
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    for group, meaning in GROUPS.items():
        printer.text(meaning, "dim")
        members = [definition for definition in definitions if definition.group == group]
        printer.definitions((definition.name, definition.summary, "") for definition in members)
        printer.blank()
    printer.text("workbench experiments NAME has its parameters, units and defaults", "dim")


def _print_manual(definition: Experiment) -> None:
    from workbench.cli.output import Printer
    from workbench.cli.run import example
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    printer.text(definition.name, "bold")
    printer.text(definition.help, indent="  ")
    rows = [(field.flag, field.help, _facts(field)) for field in fields(definition.params)]
    if definition.takes_edits:
        rows.append(("--edit", "a change to the forward pass, for example L12.N345=0; again for more, in order", ""))
    printer.blank()
    printer.definitions(rows)
    printer.blank()
    printer.unbroken(f"  {example(definition)}", printer.style.paint("clean"))


def _facts(field: Field) -> str:
    """A parameter's type, unit, bounds and default, in one line."""
    kind = " or ".join(field.choices) or field.kind.name
    default = shown_default(field)
    example = f"for example {field.example!r}" if field.example else ""
    parts = [kind, field.unit, limits(field), f"default {default}" if default else "", example]
    return ", ".join(part for part in parts if part)
