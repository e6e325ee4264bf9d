"""The questions, group by group: which are shown, and the columns that they share."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from workbench.text import width
from workbench.tui.screens.home.question_line import QuestionLine

_GROUP_CELLS = 12
_GROUPED = 96
"""cells from which a group's name stands beside its first question"""
_LEAST_SENTENCE, _LEAST_ABOUT = 70, 24
"""cells for a question, and for what it is about: less, and that is not shown"""


class Questions(Vertical, can_focus=True):
    """Where Home's focus rests when nobody types."""

    DEFAULT_CSS = "Questions { height: auto; overflow-y: auto; scrollbar-size: 1 1; }"

    def __init__(self, lines: list[QuestionLine]) -> None:
        super().__init__()
        self.lines = lines
        self.shown = list(lines)

    def compose(self) -> ComposeResult:
        yield from self.lines

    def narrow(self, words: str) -> list[QuestionLine]:
        """Shows the questions that these words fit and returns them; where they fit none, shows all."""
        fitting = [line for line in self.lines if line.question.matches(words)]
        self.shown = fitting or list(self.lines)
        for line in self.lines:
            if line.display is not (line in self.shown):
                line.display = not line.display
        return fitting

    def align(self, cells: int) -> None:
        """Groups, questions and what they are about stand in columns, as far as `cells` are enough for them."""
        group_cells = _GROUP_CELLS if cells >= _GROUPED else 0
        longest = max((line.natural_width() for line in self.shown), default=0) + 5 + group_cells
        about = max(width(line.question.about) for line in self.lines)
        about_at = min(longest, max(_LEAST_SENTENCE + group_cells, cells - about - 3))
        group_before = ""
        for line in self.shown:
            leads = line.question.group != group_before
            line.set_class(leads and bool(group_before) and len(self.shown) == len(self.lines), "apart")
            line.align(group_cells, leads, about_at if cells - about_at >= _LEAST_ABOUT else 0)
            group_before = line.question.group
