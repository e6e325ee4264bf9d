"""The screens by name, each imported when it is first shown; and which screen an experiment is shown on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.experiment import Experiment
    from workbench.tui.page import Page

OWN_SCREENS = {"why": "why"}
"""experiments whose results have a screen made for them"""


def make_page(name: str) -> Page:
    """The screen of the folder `workbench/tui/screens/NAME`, whose class is called as the folder is."""
    page: Page = getattr(importlib.import_module(f"workbench.tui.screens.{name}"), name.capitalize())()
    return page


def runs_on(experiment: Experiment) -> str:
    """The screen that has its form: Prompt for those that take one, Run for the others."""
    from workbench.params import PROMPT, fields

    takes_prompt = any(field.kind is PROMPT for field in fields(experiment.params))
    return "prompt" if takes_prompt else "run"


def page_of(name: str) -> str:
    """The screen that shows what the experiment `name` has found, also where this version has none of that name."""
    from workbench.experiments import experiments

    if name in OWN_SCREENS:
        return OWN_SCREENS[name]
    return runs_on(experiments()[name]) if name in experiments() else "prompt"
