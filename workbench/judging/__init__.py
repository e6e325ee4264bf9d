"""Judging what a model wrote: rules of ours, with their definitions, and a command of the user's."""

from __future__ import annotations

from workbench.judging.command import JudgeCommand, RunningJudge, read_command
from workbench.judging.rules import LABELS, Answer, Label, read_part, verdicts

__all__ = [
    "LABELS",
    "Answer",
    "JudgeCommand",
    "Label",
    "RunningJudge",
    "read_command",
    "read_part",
    "verdicts",
]
