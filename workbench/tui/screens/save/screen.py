"""Where to, and as what: a view as text, CSV, JSON or a figure, or the screen as it was as SVG."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker

from workbench.errors import UserError
from workbench.files import save_text
from workbench.text import safe
from workbench.tui.page import Page
from workbench.tui.screens.save.formats import ENDINGS, SCREEN, WRITERS, free_path
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import ShownView


_PATIENCE = 0.5
"""seconds after which it is said that a figure is being drawn"""


class Save(Page):
    NAME = "Save"
    ABOUT = (
        "Saves a view as text, CSV (whole, unrounded), JSON, a figure for a paper (SVG; 6.75 inches wide, narrow: 3.25)"
        " or the screen as it was. Enter writes the file."
    )
    AUTO_FOCUS = "#path"
    DEFAULT_CSS = """
    Save .row { height: 1; padding: 0 2; margin: 1 0 0 0; }
    Save .row Static { width: 6; color: $quiet; }
    Save .row Field { width: 1fr; }
    Save #wherein { height: auto; padding: 0 2 0 8; margin: 0 0 1 0; color: $quiet; }
    Save ViewPanel { padding: 0 2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: ShownView | None = None
        self._stem = "workbench"
        self._svg = ""
        self._saving: Worker[None] | None = None
        self._overwrite_path: Path | None = None
        """a file that is there already, and whose overwriting was asked about"""

    def body(self) -> ComposeResult:
        with Horizontal(classes="row"):
            yield Static("as")
            yield Choice(list(ENDINGS), "text", id="format")
        with Horizontal(classes="row"):
            yield Static("file")
            yield Field(id="path")
        yield Words(id="wherein")
        yield Rule("what is saved")
        yield ViewPanel()

    def offer(self, shown: ShownView | None, stem: str, svg: str) -> None:
        """This view, and the picture of the screen it was on."""
        self._shown, self._svg = shown, svg
        self._stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "workbench"
        if self.is_mounted:
            self._fill()

    def on_mount(self) -> None:
        self._fill()

    def default_focus(self) -> Widget:
        return self.query_one("#format")

    def field_keys(self) -> list[tuple[str, str]]:
        return [("Enter", "write the file"), ("Shift+Tab", "format"), ("Esc", "back")]

    async def leave_field(self) -> None:
        self.app.pop_screen()  # there is nothing else here: one Esc is enough

    def _fill(self) -> None:
        choice = self.query_one("#format", Choice)
        has_view = self._shown is not None and self._shown.view is not None
        choice.words = list(ENDINGS) if has_view else [SCREEN]
        choice.value = choice.words[0]
        choice.refresh(layout=True)
        self.say("")
        self._name_file()
        panel = self.query_one(ViewPanel)
        panel.show(self._shown.view if self._shown else None)

    def _name_file(self) -> None:
        path = free_path(self._stem, ENDINGS[self._format])
        field = self.query_one("#path", Field)
        field.fill(str(path))
        field.focus()
        words = f"in {safe(str(Path.cwd()))}; Enter writes it, Shift+Tab and ← → choose the format"
        self.query_one("#wherein", Words).show(lambda colors: Text(words, colors.quiet))

    @property
    def _format(self) -> str:
        return self.query_one("#format", Choice).value

    @on(Choice.Changed, "#format")
    def _turned(self) -> None:
        choice, field = self.query_one("#format", Choice), self.query_one("#path", Field)
        field.fill(str(free_path(self._stem, ENDINGS[choice.value])))

    @on(Input.Submitted, "#path")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        path = Path(event.value or free_path(self._stem, ENDINGS[self._format]))
        if self._saving is None or self._saving.is_finished:
            self._saving = self.run_worker(self._write(path))

    async def _write(self, path: Path) -> None:
        saving = asyncio.ensure_future(asyncio.to_thread(self._save, path, self._format, self._overwrite_path == path))
        await asyncio.wait([saving], timeout=_PATIENCE)
        if not saving.done():
            self.say(f"drawing {safe(path.name)} …")
        try:
            written = await saving
        except UserError as error:
            self._overwrite_path = path
            self.say(str(error), bad=True)
            return
        self._overwrite_path = None
        self.app.pop_screen()
        self.workbench.page_now.say(f"saved as {written}")

    def _save(self, path: Path, format_: str, overwrite: bool) -> Path:
        how = "Enter again writes over it, or choose another name"
        return save_text(path, self._text(format_), overwrite, how)

    def _text(self, format_: str) -> str:
        if format_ == SCREEN or self._shown is None or self._shown.view is None:
            return self._svg
        return WRITERS[format_](self._shown.view)
