"""Experiments without a prompt: an index, a neuron's card, the neurons that a rule finds."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from workbench.tui import keys
from workbench.tui.screens.run.runner import Runner


class Run(Runner):
    NAME = "Run"
    SCREEN = "run"
    FIRST = "index"
    ABOUT = (
        "Run is for experiments that take no prompt: turn to one with [ ], fill in its fields, Enter runs it. The "
        "answer leads with its sentence and its main view, the other views are folded below. Every run is a step of "
        "the session. 1, 2 and 3 take the next steps that a result suggests; the line after $ is what it stands for "
        "in a shell."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(keys.RUN)

    def details(self) -> str:
        return f" · {self.experiment}"
