"""From what is typed into a form to an experiment's checked parameters; the experiments of a screen. No widget here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.errors import UserError
from workbench.params import STORED, SWITCH, TEXT, WHOLE_NUMBER, Field
from workbench.text import number

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.experiment import Experiment
    from workbench.model_info import ModelInfo
    from workbench.tui.theme import Ink

EXPECT = Field(
    name="expect", kind=TEXT, default="", example="Paris, clearly",
    help="what you expect, written before the result: the timeline shows both",
)  # fmt: skip
SEED = Field(name="seed", kind=WHOLE_NUMBER, default=0, help="for what is random: sampling, controls", more=True)
TRANSFER = Field(
    name="transfer", kind=SWITCH, default=False, more=True,
    help="use directions that were made on another model of this width: the step says so",
)  # fmt: skip
OF_EVERY_RUN = (EXPECT.name, SEED.name, TRANSFER.name)
"""what every run takes beside the experiment's own parameters"""


def invitation(experiment: Experiment, colors: Ink) -> Text:
    text = Text.assemble(
        (f"Enter runs {experiment.name}", colors.strong),
        (f": {experiment.summary[:1].lower()}{experiment.summary[1:]}.", colors.plain),
    )
    explanation = experiment.help.partition("\n")[2].strip()
    if explanation:
        text.append("\n\n" + re.sub(r"(?<!\n)\n(?!\n)", " ", explanation), colors.quiet)
    return text


def experiments_of(page: str) -> dict[str, Experiment]:
    """The experiments that can be run from this screen."""
    from workbench.experiments import experiments
    from workbench.tui.pages import runs_on

    return {name: experiment for name, experiment in experiments().items() if runs_on(experiment) == page}


def fields_of(name: str) -> tuple[Field, ...]:
    from workbench.experiments import experiment
    from workbench.params import fields

    return fields(experiment(name).params)


def checked_params(name: str, values: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Parameters as plain data, and what they are about. Raises UserError naming the field."""
    from workbench.experiments import experiment
    from workbench.params import label_of, params_builtins, read_params

    params = experiment(name).params
    checked = params_builtins(read_params(params, values))
    return checked, label_of(params, checked)


def names_of_sets(params: Mapping[str, Any]) -> dict[str, str]:
    """What sets and probes that came as what they hold are called, by parameter: what their fields show."""
    return {name: value["name"] for name, value in params.items() if isinstance(value, Mapping) and value.get("name")}


def read_prompt_sets(name: str, typed: dict[str, Any], session: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed with the sets, and their names. Raises UserError."""
    from workbench.experiments import experiment
    from workbench.session.typed_sets import read_sets

    return read_sets(experiment(name).params, typed, session)


def read_seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"seed: a whole number is expected, such as {number(1)}, not {text!r}") from None


def cost_of(name: str, typed: dict[str, str], screen_values: dict[str, Any], info: ModelInfo, free: int) -> str:
    """What a run with these values would take, in words; empty where it is not known, or the values are not valid.

    `free` are the bytes of memory that are left to it.
    """
    from workbench.cost import cost_line
    from workbench.experiments import experiment
    from workbench.params import read_params

    if any(typed.get(field.name) for field in fields_of(name) if field.kind in STORED):
        return ""  # what it holds is read only when the experiment runs
    try:
        params = read_params(experiment(name).params, {**screen_values, **typed})
    except UserError:
        return ""
    return cost_line(name, params, info, free)
