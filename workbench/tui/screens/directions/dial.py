"""The strength dial: your text, where the direction is added, how strongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from workbench.errors import UserError
from workbench.tui.screens.directions.findings import Question
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field

_LADDER = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
"""strengths that + and − lead to, on either side of 0"""


class Dialled(NamedTuple):
    """What is asked, whole."""

    question: Question
    strength: float


class Dial(Vertical):
    """`dialled()` is what the fields say."""

    DEFAULT_CSS = """
    Dial { height: 2; padding: 0 2; }
    Dial Horizontal { height: 1; }
    Dial Static { width: auto; color: $quiet; }
    Dial #text { width: 1fr; color: $primary; }
    Dial #at { width: 16; color: $primary; }
    Dial #strength { width: 9; color: $primary; }
    Dial .name { padding-left: 3; }
    """

    class Submitted(Message):
        """Enter in one of the fields, or the template was switched."""

    class Changed(Message):
        """Something else stands in one of the fields."""

    def __init__(self, suggest: Callable[[str], str]) -> None:
        super().__init__()
        self._suggest = suggest

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("your text ⟨")
            yield Field(id="text", placeholder="The capital of France is")
            yield Static("⟩")
        with Horizontal():
            yield Static("strength ⟨")
            yield Field(id="strength", placeholder="4")
            yield Static("⟩")
            yield Static("added at ⟨", classes="name")
            yield Field(id="at", placeholder="L14.resid_pre", suggest=self._suggest)
            yield Static("⟩")
            yield Static("chat ", classes="name")
            yield Choice(("off", "on"), "off", id="chat")

    def field(self, name: str) -> Field:
        return self.query_one(f"#{name}", Field)

    def fill(self, at: str, strength: float, chat: bool) -> None:
        """Of another direction; the text stays."""
        self.field("at").fill(at)
        self.set_strength(strength)
        self.query_one("#chat", Choice).set("on" if chat else "off")

    def set_strength(self, strength: float) -> None:
        self.field("strength").fill(f"{strength:g}")

    @property
    def question(self) -> Question:
        text, at = self.field("text").value, self.field("at").value.strip()
        return Question(text, at, self.query_one("#chat", Choice).value == "on")

    def dialled(self) -> Dialled:
        """Raises UserError for a strength that is no number."""
        typed = self.field("strength").value.strip()
        try:
            strength = float(typed.replace("−", "-"))
        except ValueError:
            raise UserError(f"a strength is a number, such as 4 or −2, not {typed!r}") from None
        if strength != strength or strength in (float("inf"), float("-inf")):
            raise UserError(f"a strength is a finite number, such as 4 or −2, not {typed!r}")
        return Dialled(self.question, strength)

    @on(Input.Changed)
    def _changed(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    @on(Choice.Changed)
    def _submitted(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Submitted())


def turned(strength: float, by: int) -> float:
    """The next strength up or down; from −.25 up is .25: 0 is the clean text, which is there anyway."""
    ladder = [-step for step in reversed(_LADDER)] + list(_LADDER)
    if by > 0:
        return next((step for step in ladder if step > strength + 1e-9), strength)
    return next((step for step in reversed(ladder) if step < strength - 1e-9), strength)
