"""From an experiment's parameters to flags and back: one definition serves every front."""

from __future__ import annotations

from typing import Any

import click

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.params import Field, fields, make_params
from workbench.text import number


def parameter_flags(experiment: Experiment) -> list[click.Option]:
    """A flag for each parameter; what is not given is None, and takes the default."""
    return [_flag(field) for field in fields(experiment.params)]


def _flag(field: Field) -> click.Option:
    if field.type == "bool":
        name = field.flag[2:]
        return click.Option([f"--{name}/--no-{name}", field.name], default=None, help=described(field))
    if field.type == "prompts":
        return click.Option([field.flag, field.name], metavar="FILE|@NAME", default=None, help=described(field))
    metavar = "|".join(field.choices) or {"int": "N", "float": "X", "list": "A,B,…"}.get(field.type, "TEXT")
    return click.Option([field.flag, field.name], metavar=metavar, default=None, help=described(field))


def described(field: Field) -> str:
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
    if field.type == "bool":
        return "yes" if field.default else "no"
    if field.type == "list":
        return ",".join(map(str, field.default))
    return "" if field.default in ("", None, []) or field.type == "prompts" else str(field.default)


def params_from_flags(experiment: Experiment, given: dict[str, Any]) -> Any:
    """Validated parameters; prompt sets were read before. Raises UserError naming flag and bounds."""
    values: dict[str, Any] = {}
    for field in fields(experiment.params):
        value = given.get(field.name)
        if value is None:
            continue
        if field.type == "list":
            value = [part.strip() for part in str(value).split(",") if part.strip()]
        elif field.choices and value not in field.choices:
            raise UserError(f"{field.flag} {value}: there are {', '.join(field.choices)} ({field.help})")
        elif isinstance(value, str):
            check_text(field.flag, value)
        values[field.name] = value
    return make_params(experiment.params, values)


def check_text(flag: str, value: str) -> None:
    """Raises UserError for bytes of the command line that were no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{flag}: this is not UTF-8 text") from None
