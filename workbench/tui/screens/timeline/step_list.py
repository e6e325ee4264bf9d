"""The timeline's lines: read from the file in pages, drawn only where they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.text import count, fit, safe, seconds, shorten, width
from workbench.tui.latest import Following
from workbench.tui.screens.timeline.tree import Tree
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.session.records import StepRow
    from workbench.tui.context import Context

_TOOK = 7
"""cells for how long it took"""
_KEPT = 4_000
"""rows kept in memory"""


class StepList(LineList):
    """One step a line; rows that are not read yet show their number and come a moment later."""

    DEFAULT_CSS = "StepList { height: 1fr; min-height: 3; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.steps = Tree([])
        self.marked: int | None = None
        """the step to compare with"""
        self._parents: list[tuple[int, int | None]] = []
        """every step of the session with the one it came from"""
        self._words: list[str] = []
        """what a step has to say to be in the list"""
        self._rows: dict[int, StepRow] = {}
        self._stale = False
        self._reading = Following(self, self._read, self._failed)

    @property
    def workbench(self) -> Context:
        return self.app  # type: ignore[return-value]

    @property
    def settled(self) -> bool:
        """Every line that is seen has been read."""
        return not self._reading.busy and not self._stale and not self._missing()

    def step_at(self, index: int) -> int | None:
        return self.steps.order[index] if 0 <= index < len(self.steps) else None

    @property
    def current(self) -> int | None:
        """The step under the cursor."""
        return self.step_at(self.cursor)

    def row_of(self, step: int) -> StepRow | None:
        return self._rows.get(step)

    # --- reading ---

    def restart(self) -> None:
        """Another session."""
        self.steps, self._parents, self.marked = Tree([]), [], None
        self._rows.clear()
        self.set_count(0)
        self.reread()

    @property
    def total(self) -> int:
        """Steps in the session, also those that are not in the list."""
        return len(self._parents)

    def narrow(self, text: str) -> None:
        """Only steps that say all these words from now on; all where there are none."""
        words = text.split()
        if words != self._words:
            self._words = words
            self.reread()

    def reread(self) -> None:
        """The file has changed."""
        self._stale = True
        self._reading.ask()

    async def _read(self) -> None:
        """New steps, then the rows in sight and a page around them."""
        feed = self.workbench.feed
        if self._stale:
            self._stale = False
            after, words = self._parents[-1][0] if self._parents else 0, self._words
            new_steps = await feed.read(lambda reader: reader.tree(after))
            self._parents += new_steps
            matching = await feed.read(lambda reader: reader.find(words)) if words else None
            kept = None if matching is None else set(matching)
            parents = [(step, parent) for step, parent in self._parents if kept is None or step in kept]
            if [step for step, _ in parents] != self.steps.history or not self._parents:
                current, tree = self.current, Tree(parents)
                self.steps = tree
                place = tree.place.get(current, 0) if current is not None else len(tree) - 1
                self.set_count(len(tree), place)
                self.post_message(self.Moved(self, self.cursor))
            steps = [step for step in self._window() if step not in self._rows or self._unfinished(step)]
            steps += [step for step in self._in_sight() if step not in steps]  # a note may be new
        else:
            steps = self._missing()
        if not steps:
            return

        rows = await feed.read(lambda reader: reader.rows_of(steps))
        if len(self._rows) > _KEPT:
            self._rows = {step: row for step, row in self._rows.items() if step in self._in_sight()}
        for step, row in rows.items():
            if self._rows.get(step) != row:
                self._rows[step] = row
                if step in self.steps.place:
                    self.forget(self.steps.place[step])

    def _unfinished(self, step: int) -> bool:
        return self._rows[step].status in ("queued", "running")

    def _in_sight(self) -> list[int]:
        top = round(self.scroll_y)
        return self.steps.order[top : top + self.size.height + 1]

    def _window(self) -> list[int]:
        top, page = round(self.scroll_y), self.size.height
        return self.steps.order[max(0, top - page) : top + 2 * page]

    def _missing(self) -> list[int]:
        """Nothing while all in sight is there; else the whole window, so that the next page is there already."""
        if all(step in self._rows for step in self._in_sight()):
            return []
        return [step for step in self._window() if step not in self._rows]

    def _failed(self, sentence: str) -> None:
        from workbench.tui.page import Page

        page = self.screen
        if isinstance(page, Page):
            page.trouble(self, sentence)
        if sentence:
            self._stale = True  # what was to be read was not

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._missing():
            self._reading.ask()

    def on_resize(self) -> None:
        super().on_resize()
        if self._missing():
            self._reading.ask()

    # --- drawing ---

    def line(self, index: int, cells: int) -> Text:
        colors = ink(self.app)
        step = self.steps.order[index]
        digits = max(2, len(str(self.steps.newest)))
        mark = "d" if step == self.marked else " "
        text = Text.assemble((f"{step:>{digits}}", colors.quiet), (f"{mark} ", colors.second))
        text.append(self.steps.branch[index], colors.line)
        row = self._rows.get(step)
        if row is None:
            return text.append("…", colors.quiet)
        name_cells = max(13, min(20, cells // 5)) - width(self.steps.branch[index])
        text.append(fit(safe(row.experiment), max(8, name_cells)) + " ", colors.plain)
        room = cells - width(text.plain) - _TOOK - 2
        target_cells = max(8, min(36, room * 2 // 5))
        target = self._target_words(row)
        text.append(fit(safe(target), target_cells) + "  ", colors.second if row.edits else colors.quiet)
        outcome_cells = max(0, room - target_cells - 2)
        outcome = _outcome(row, colors)
        aside = _aside(row, colors)
        # What was expected, or noted, is seen even where the sentence has to be cut for it.
        outcome.truncate(
            max(outcome_cells - min(aside.cell_len, outcome_cells // 3), outcome_cells - aside.cell_len),
            overflow="ellipsis",
        )
        outcome.append_text(aside)
        outcome.truncate(outcome_cells, overflow="ellipsis")
        text.append_text(outcome)
        text.append(" " * max(1, cells - width(text.plain) - _TOOK - 1))
        text.append(fit(seconds(row.seconds) if row.seconds is not None else "", _TOOK, right=True), colors.quiet)
        return text if width(text.plain) <= cells else Text(shorten(text.plain, cells))

    def _target_words(self, row: StepRow) -> str:
        """What it was done to; the prompt is left out where it is that of the step above it in the tree."""
        above = self._rows.get(row.parent) if row.parent is not None else None
        repeated = bool(row.edits) and above is not None and above.label == row.label
        label = f"'{row.label}'" if row.label and not repeated else ""
        return " ".join(filter(None, [label, f"+ {row.edits}" if row.edits else ""]))


def _aside(row: StepRow, colors: Any) -> Text:
    """What was expected, written before the result, and whether there are notes."""
    aside = Text()
    if row.expected:
        aside.append(f"  ★ expected {safe(row.expected)}", colors.second)
    if row.notes:
        aside.append(f"  {row.notes} note{'' if row.notes == 1 else 's'}", colors.accent)
    return aside


def _outcome(row: StepRow, colors: Any) -> Text:
    """The sentence; where it did not end well, that first."""
    headline = Text(safe(row.headline), colors.plain)
    if row.status == "done":
        return headline
    if row.status in ("queued", "running"):
        return Text(f"{row.status} ", colors.second) + headline
    style = colors.second if row.status == "cancelled" else colors.bad
    outcome = Text(row.status, style)
    if row.error:
        outcome.append(f": {safe(row.error)}", colors.plain)
    return outcome.append("  ") + headline


def steps_words(tree: Tree, total: int) -> str:
    """`14 steps · 2 branches`; `3 of 14 steps` where words narrow the list."""
    if len(tree) != total:
        return f"{count(len(tree))} of {count(total)} steps"
    words = f"{count(total)} step{'' if total == 1 else 's'}"
    return f"{words} · {count(tree.forks)} branches" if tree.forks else words
