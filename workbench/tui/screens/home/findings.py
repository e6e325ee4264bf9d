"""What the session in use has found, newest first: where the screen has room for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.widget import Widget

from workbench.text import fit, safe
from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.theme import ink
from workbench.tui.widgets.frame import rule

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRow
    from workbench.tui.context import Context


class Findings(Widget):
    """The session's last steps with what each found; `t` shows all of them."""

    DEFAULT_CSS = "Findings { height: 1fr; margin: 1 0 0 0; padding: 0 2; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rows: list[StepRow] = []
        self._title = ""
        self._reading = Following(self, self._read, lambda sentence: None)  # the frame says what can't be read

    @property
    def workbench(self) -> Context:
        return self.app  # type: ignore[return-value]

    def on_resize(self) -> None:
        self.read_again()

    def read_again(self) -> None:
        """The session has changed, or another one is open."""
        self._reading.ask()

    async def _read(self) -> None:
        most = max(0, self.content_size.height - 1)
        if not most:
            return

        def last_rows(reader: SessionReader) -> list[StepRow]:
            total = reader.count()
            return reader.rows(max(0, total - most), total)

        try:
            rows = (await self.workbench.feed.read(last_rows))[::-1]
        except NothingYet:
            rows = []
        title = self.workbench.session_title
        if (rows, title) != (self._rows, self._title):
            self._rows, self._title = rows, title
            self.refresh()

    def render(self) -> Text:
        if not self._rows:
            return Text("")
        colors, cells = ink(self.app), self.content_size.width
        number_cells = len(str(self._rows[0].id))
        name_cells = max(len(row.experiment) for row in self._rows)
        text = rule(f"last findings of {self._title} · t shows all", cells, self.app)
        for row in self._rows:
            text.append(f"\n{fit(str(row.id), number_cells, right=True)}  ", colors.quiet)
            text.append(f"{fit(safe(row.experiment), name_cells)}  ", colors.plain)
            words = safe(row.headline or row.status)
            text.append(fit(words, max(0, cells - number_cells - name_cells - 4)), colors.quiet)
        return text
