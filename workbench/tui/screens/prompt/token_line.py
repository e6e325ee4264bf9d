"""Under the prompt: its tokens as the tokenizer sees them, a moment after the key. Peeks: nothing of it is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import to_builtins
from rich.text import Text
from textual.timer import Timer
from textual.widget import Widget

from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.result_keys import TokenIds
from workbench.text import safe, shorten, shorten_left, show_token, width
from workbench.tui.theme import ink
from workbench.tui.worker_words import ready

if TYPE_CHECKING:
    from workbench.tui.context import Context
    from workbench.worker.protocol import PeekAnswer

SLOT = "tokens"
PAUSE = 0.25
"""seconds without a key before a text is asked about: no key waits for the repaint of another's answer"""
LONGEST = 200_000
"""characters; a longer text would keep the model from other work while it is only being written"""


Asked = tuple[str, bool, tuple[Turn, ...]]
"""text, chat template, and the chat's turns before the text"""


class Split(NamedTuple):
    """A text as tokens."""

    summary: str
    """`5 tokens, no BOS`"""
    tokens: tuple[str, ...]
    """the text's own tokens, without BOS and template"""


class TokenLine(Widget):
    """One line, always there: `5 tokens, no BOS   The· capital· of· France· is`. Empty where it can't be known."""

    DEFAULT_CSS = "TokenLine { height: 1; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._current: Asked | None = None
        """None while there is no text or no worker"""
        self._requested: Asked | None = None
        self._timer: Timer | None = None
        self._split: Split | None = None

    def follow(self, text: str, chat: bool, turns: tuple[Turn, ...]) -> None:
        """This is the text now. Cheap, and to be called whenever it or the worker may have changed."""
        app: Context = self.app  # type: ignore[assignment]
        if not (text and len(text) <= LONGEST and app.link and app.link.connected and ready(app.link)):
            self._current = self._requested = None
            self._show(None)
            return
        if self._current == (text, chat, turns):
            return
        self._current = (text, chat, turns)
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._ask)

    def _ask(self) -> None:
        self._timer = None
        if self._current is not None and self._current != self._requested:
            self._requested = self._current
            self.run_worker(self._peek(*self._current), group=SLOT, exclusive=True)

    async def _peek(self, text: str, chat: bool, turns: tuple[Turn, ...]) -> None:
        from workbench.worker.protocol import Peek

        app: Context = self.app  # type: ignore[assignment]
        params: dict[str, Any] = {"prompt": text, "chat": chat}
        if turns:
            params["messages"] = to_builtins(turns)
        try:
            answer = await app.request(Peek(slot=SLOT, experiment="tokens", params=params))
            split = _split(answer)
        except UserError:
            split = None  # running it says why
        else:
            if answer.replaced:
                return
        if self._current is not None:
            self._show(split)

    def _show(self, split: Split | None) -> None:
        if split != self._split:
            self._split = split
            self.refresh()

    def render(self) -> Text:
        if self._split is None:
            return Text("")
        cells = self.size.width
        tokens = "·".join(show_token(token)[1:-1] for token in self._split.tokens[-cells:])
        summary = shorten(self._split.summary, cells - min(width(tokens), cells // 2) - 3)
        return Text(
            f"{summary}   {shorten_left(tokens, cells - width(summary) - 3)}", ink(self.app).quiet, no_wrap=True
        )


def _split(answer: PeekAnswer) -> Split | None:
    """Raises UserError for the answer's error."""
    from workbench.views import Table
    from workbench.worker.peeks import peek_views

    table = next((view for view in peek_views(answer) if isinstance(view, Table)), None)
    if table is None:
        return None
    rows = table.records()
    tokens = tuple(
        str(row.get(TokenIds.TOKEN)) for row in rows if row.get(TokenIds.ORIGIN) in (TokenIds.TEXT, TokenIds.CHAT)
    )
    return Split(safe(table.tokenization), tokens)
