"""Where to, and as what: a view as text, CSV or JSON, or the screen as it was as SVG."""

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

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui.page import Page
from workbench.tui.screens.save.formats import ENDINGS, SVG, WRITERS, free_path, write
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import ShownView


class Save(Page):
    NAME = "Save"
    ABOUT = (
        "Saves a view as text, CSV (whole, unrounded) or JSON, or the screen as it was as SVG. Enter writes the file."
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
        choice.words = list(ENDINGS) if has_view else [SVG]
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
    async def _write(self, event: Input.Submitted) -> None:
        event.stop()
        path = Path(event.value or free_path(self._stem, ENDINGS[self._format]))
        try:
            text = await asyncio.to_thread(self._text, self._format)
            written = await asyncio.to_thread(write, path, text, self._overwrite_path == path)
        except UserError as error:
            self._overwrite_path = path
            self.say(str(error), bad=True)
            return
        self._overwrite_path = None
        self.app.pop_screen()
        self.workbench.page_now.say(f"saved as {written}")

    def _text(self, format_: str) -> str:
        if format_ == SVG or self._shown is None or self._shown.view is None:
            return self._svg
        return WRITERS[format_](self._shown.view)
