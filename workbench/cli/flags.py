"""From an experiment's parameters to flags and back: one definition serves every front."""

from __future__ import annotations

from typing import Any

import click

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.params import Field, fields, read_params
from workbench.text import number


def parameter_flags(experiment: Experiment) -> list[click.Option]:
    """A flag for each parameter; what is not given is None, and takes the default."""
    return [_flag(field) for field in fields(experiment.params)]


def _flag(field: Field) -> click.Option:
    if field.kind.is_switch:
        name = field.flag[2:]
        return click.Option([f"--{name}/--no-{name}", field.name], default=None, help=describe_parameter(field))
    metavar = "|".join(field.choices) or field.kind.metavar
    return click.Option([field.flag, field.name], metavar=metavar, default=None, help=describe_parameter(field))


def describe_parameter(field: Field) -> str:
    """A parameter in one line: what it is, its unit and bounds, an example, its default."""
    parts = [field.help or field.name]
    bounds = limits(field)
    if field.unit or bounds:
        parts.append(f"({', '.join(part for part in (field.unit, bounds) if part)})")
    if field.example:
        parts[-1] += ","
        parts.append(f"for example {field.example!r}")
    default = shown_default(field)
    if default:
        parts.append(f"[{default}]")
    return " ".join(parts)


def limits(field: Field) -> str:
    """The bounds of a number: `1 to 1,000`, `at least 0`."""
    if field.minimum is not None and field.maximum is not None:
        return f"{number(field.minimum)} to {number(field.maximum)}"
    if field.minimum is not None:
        return f"at least {number(field.minimum)}"
    return f"at most {number(field.maximum)}" if field.maximum is not None else ""


def shown_default(field: Field) -> str:
    """The default as one would type it; empty where there is nothing to see."""
    if field.kind.is_switch:
        return "yes" if field.default else "no"
    return "" if field.default in ("", None, []) else field.kind.write(field.default)


def params_from_flags(experiment: Experiment, values: dict[str, Any]) -> Any:
    """Validated parameters. Raises UserError naming flag and bounds, or the file and its line."""
    typed = {name: value for name, value in values.items() if value is not None}
    for field in fields(experiment.params):
        if isinstance(value := typed.get(field.name), str):
            check_text(field.flag, value)
    return read_params(experiment.params, typed)


def check_text(flag: str, value: str) -> None:
    """Raises UserError for bytes of the command line that were no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{flag}: this is not UTF-8 text") from None
