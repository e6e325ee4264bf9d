"""The definitions behind the numbers, section by section, as `workbench methods` prints them."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.widget import Widget

from workbench.methods import introduction, sections
from workbench.tui.page import Page
from workbench.tui.theme import Ink
from workbench.tui.widgets.scroller import Scroller
from workbench.tui.widgets.words import Words


class Methods(Page):
    NAME = "Methods"
    ABOUT = "How each number is defined, and in which paper: KL, controls, standard errors, SAE errors and the others."
    AUTO_FOCUS = "Scroller"

    def body(self) -> ComposeResult:
        with Scroller():
            yield Words(id="text")

    def default_focus(self) -> Widget:
        return self.query_one(Scroller)

    def on_mount(self) -> None:
        self.query_one("#text", Words).show(_text)


def _text(colors: Ink) -> Text:
    text = Text(introduction() + "\n", colors.plain)
    for section in sections():
        text.append(f"\n{section.name}\n", colors.strong)
        for paragraph in section.paragraphs:
            text.append(f"{paragraph}\n", colors.quiet if paragraph.startswith("Source: ") else colors.plain)
    return text
