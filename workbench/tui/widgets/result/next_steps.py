"""What could follow a result: up to three steps by number, in sight whatever is scrolled above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.events import Resize

from workbench.text import safe, width
from workbench.tui.theme import Ink
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.tui.context import Context
    from workbench.tui.widgets.result.snapshot import Snapshot

_GAP = 3


class NextSteps(Words):
    """Keys 1 to 3 of the page take one, from wherever the cursor is on it."""

    DEFAULT_CSS = "NextSteps { height: auto; width: 1fr; display: none; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._snapshot: Snapshot | None = None

    @property
    def steps(self) -> list[NextStep]:
        """None while the step is not finished."""
        snapshot = self._snapshot
        return snapshot.record.next_steps[:3] if snapshot is not None and snapshot.finished else []

    def on_mount(self) -> None:
        self.screen.next_steps.append(self)  # type: ignore[attr-defined]

    def follow(self, snapshot: Snapshot | None) -> None:
        """The steps of this result from now on."""
        self._snapshot = snapshot
        self._draw()

    def take(self, number: int) -> None:
        """Runs one of them, where there is one, under the result."""
        if self._snapshot is not None and number <= len(self.steps):
            app: Context = self.app  # type: ignore[assignment]
            app.ask(self.steps[number - 1], parent=self._snapshot.record.id)

    def on_resize(self, event: Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        steps = self.steps
        if self.display is not bool(steps):
            self.display = bool(steps)
        app: Context = self.app  # type: ignore[assignment]
        title = "what next" if app.link else "what next, with a model"
        labels, cells = [safe(step.label) for step in steps], self.content_size.width
        self.show(lambda colors: packed(title, labels, cells, colors))


def packed(title: str, labels: list[str], cells: int, colors: Ink) -> Text:
    """Numbered, side by side, none of them broken where a line has room for it."""
    text, used, indent = Text(title, colors.quiet), width(title), width(title) + _GAP
    for number, label in enumerate(labels, 1):
        needed = 2 + width(label)
        if used + _GAP + needed > cells and number > 1:
            text.append("\n" + " " * indent)
            used = indent
        else:
            text.append(" " * _GAP)
            used += _GAP
        text.append(f"{number} ", colors.strong).append(label, colors.plain)
        used += needed
    return text
