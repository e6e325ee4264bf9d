"""A chat's earlier turns, above the text that is its next one; and the turns that go on from an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import ValidationError, convert
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.result_keys import Continued
from workbench.text import safe
from workbench.tui.theme import Ink
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import Snapshot

REPLIES = "generate"
"""the experiment whose text is the chat's next turn"""


class Turns(VerticalScroll, can_focus=False):
    """One paragraph a turn, who says it in front; the last ones, where there are more than fit."""

    DEFAULT_CSS = """
    Turns { height: auto; max-height: 25vh; margin: 0 0 0 1; padding: 0 1; scrollbar-size: 1 1; display: none; }
    Turns Words { width: 1fr; height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._words = Words()

    def compose(self) -> ComposeResult:
        yield self._words

    def show(self, turns: list[Turn]) -> None:
        self.display = bool(turns)
        self._words.show(lambda colors: _paragraphs(turns, colors))
        self.scroll_end(animate=False)


def _paragraphs(turns: list[Turn], colors: Ink) -> Text:
    text = Text()
    for number, turn in enumerate(turns):
        text.append(f"{chr(10) * bool(number)}{turn.role}  ", colors.quiet)
        text.append(safe(turn.content, newlines=True), colors.plain if turn.role == "assistant" else colors.second)
    return text


def turns_after(snapshot: Snapshot | None) -> list[Turn]:
    """The conversation up to the answer of a finished step of `generate` in the chat template; empty for other steps.

    Under edits the answer is the edited one: that is what the model said while they were on.
    """
    if snapshot is None or not snapshot.finished:
        return []
    params = snapshot.record.params
    if (
        snapshot.record.experiment != REPLIES
        or not params.get("chat")
        or params.get("prompts")
        or not params.get("prompt")
    ):
        return []
    texts = {shown.key: getattr(shown.view, "text", "") for shown in snapshot.views}
    answer = texts.get(Continued.EDITED) or texts.get(Continued.CLEAN)
    if not answer:
        return []
    try:
        return [*read_turns(params.get("messages", [])), Turn("user", params["prompt"]), Turn("assistant", answer)]
    except UserError:
        return []


def read_turns(value: Any) -> list[Turn]:
    """Turns as a step's parameters have them. Raises UserError for what is none: a session may be damaged."""
    try:
        return convert(value, list[Turn])
    except ValidationError as error:
        raise UserError(f"messages: these are no turns of a chat ({error})") from None
