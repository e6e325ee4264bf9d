"""Type words, choose a line, Enter does it."""

from __future__ import annotations

import inspect
import re
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.text import fit, safe, width
from workbench.tui import keys
from workbench.tui.page import Page
from workbench.tui.screens.palette.commands import Command, commands
from workbench.tui.theme import ink
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.line_list import LineList


class CommandList(LineList):
    DEFAULT_CSS = "CommandList { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[Command] = []

    def line(self, index: int, cells: int) -> Text:
        colors, command = ink(self.app), self.commands[index]
        longest = max(width(safe(other.words)) for other in self.commands)
        words_cells = max(20, min(longest, cells - 34))
        text = Text.assemble((fit(safe(command.words), words_cells), colors.plain))
        key_cells = width(command.key) + 2 if command.key else 1
        text.append("   " + fit(command.about, max(0, cells - words_cells - 3 - key_cells)), colors.quiet)
        return text.append(fit(command.key, max(0, cells - width(text.plain) - 1), right=True), colors.accent)


class Palette(Page):
    NAME = "Ask or do"
    ABOUT = "Questions and commands from anywhere: type words to narrow, ↑ ↓ to choose, Enter does it, Esc leads back."
    AUTO_FOCUS = "#words"
    DEFAULT_CSS = """
    Palette #row { height: 1; padding: 0 2; margin: 1 0; }
    Palette #row Static { width: 12; color: $quiet; margin-left: 2; text-align: right; }
    Palette Field { width: 1fr; }
    Palette #none { padding: 0 2; color: $quiet; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.PALETTE)

    def __init__(self) -> None:
        super().__init__()
        self._caller: Page = self
        self._all: list[Command] = []

    def body(self) -> ComposeResult:
        with Horizontal(id="row"):
            yield Field(id="words", placeholder="words of a question or a command")
            yield Static("", id="matches")
        yield CommandList()
        yield Static("No question or command has all of these words: fewer find more.", id="none")

    @property
    def lines(self) -> CommandList:
        return self.query_one(CommandList)

    def default_focus(self) -> Widget:
        return self.lines

    def set_caller(self, page: Page) -> None:
        self._caller = page
        if self.is_mounted:
            self._fill()

    def on_mount(self) -> None:
        self.query_one("#words", Field).on_text_change = self._narrow
        self._fill()

    def _fill(self) -> None:
        self._all = commands(self.workbench, self._caller)
        field = self.query_one("#words", Field)
        field.value = ""
        field.focus()
        self._narrow()

    def _narrow(self) -> None:
        words = re.findall(r"\w[\w-]*", self.query_one("#words", Field).value.lower())

        def fits(command: Command) -> bool:
            command_words = re.findall(r"\w[\w-]*", f"{command.words} {command.about} {command.synonyms}".lower())
            return all(any(command_word.startswith(word) for command_word in command_words) for word in words)

        self.lines.commands = [command for command in self._all if fits(command)]
        self.lines.set_count(len(self.lines.commands), 0)
        matches = f"{self.lines.count} of {len(self._all)}" if words else ""
        self.query_one("#matches", Static).update(Text(matches), layout=False)
        self.lines.display = bool(self.lines.commands)
        self.query_one("#none").display = not self.lines.commands

    def action_move(self, by: int) -> None:
        self.lines.action_move(by)

    def action_page(self, by: int) -> None:
        self.lines.action_page(by)

    def action_type(self) -> None:
        self.query_one("#words", Field).focus()

    def field_keys(self) -> list[tuple[str, str]]:
        return [("Enter", "do it"), ("↑ ↓", "choose"), ("Esc", "back")]

    async def leave_field(self) -> None:
        self.app.pop_screen()

    @on(Input.Submitted, "#words")
    def _enter(self, event: Input.Submitted) -> None:
        event.stop()
        self.lines.action_open()

    @on(CommandList.Opened)
    async def _chosen(self, event: CommandList.Opened) -> None:
        command = self.lines.commands[event.index]
        self.app.pop_screen()
        done = command.do()
        if inspect.isawaitable(done):
            await done
