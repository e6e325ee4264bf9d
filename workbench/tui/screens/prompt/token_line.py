"""Under the prompt: its tokens as the tokenizer sees them, a moment after the key. Peeks: nothing of it is logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text
from textual.timer import Timer
from textual.widget import Widget

from workbench.errors import UserError
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


class Split(NamedTuple):
    """A text as tokens."""

    said: str
    """`5 tokens, no BOS`"""
    own: tuple[str, ...]
    """the text's own tokens, without BOS and template"""


class TokenLine(Widget):
    """One line, always there: `5 tokens, no BOS   The· capital· of· France· is`. Empty where it can't be known."""

    DEFAULT_CSS = "TokenLine { height: 1; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._wanted: tuple[str, bool] | None = None
        """text and chat; None while there is nothing to ask, or nobody"""
        self._asked: tuple[str, bool] | None = None
        self._timer: Timer | None = None
        self._split: Split | None = None

    def follow(self, text: str, chat: bool) -> None:
        """This is the text now. Cheap, and to be called whenever it or the worker may have changed."""
        app: Context = self.app  # type: ignore[assignment]
        if not (text and len(text) <= LONGEST and app.link and app.link.connected and ready(app.link)):
            self._wanted = self._asked = None
            self._show(None)
            return
        if self._wanted == (text, chat):
            return
        self._wanted = (text, chat)
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._ask)

    def _ask(self) -> None:
        self._timer = None
        if self._wanted is not None and self._wanted != self._asked:
            self._asked = self._wanted
            self.run_worker(self._peek(*self._wanted), group=SLOT, exclusive=True)

    async def _peek(self, text: str, chat: bool) -> None:
        from workbench.worker.protocol import Peek

        app: Context = self.app  # type: ignore[assignment]
        try:
            answer = await app.request(Peek(slot=SLOT, experiment="tokens", params={"prompt": text, "chat": chat}))
            split = _split(answer)
        except UserError:
            split = None  # running it says why
        else:
            if answer.replaced:
                return
        if self._wanted is not None:
            self._show(split)

    def _show(self, split: Split | None) -> None:
        if split != self._split:
            self._split = split
            self.refresh()

    def render(self) -> Text:
        if self._split is None:
            return Text("")
        cells = self.size.width
        own = "·".join(show_token(token)[1:-1] for token in self._split.own[-cells:])
        said = shorten(self._split.said, cells - min(width(own), cells // 2) - 3)
        return Text(f"{said}   {shorten_left(own, cells - width(said) - 3)}", ink(self.app).quiet, no_wrap=True)


def _split(answer: PeekAnswer) -> Split | None:
    """Raises UserError for the answer's error."""
    from workbench.views import Table
    from workbench.worker.peeks import peek_views

    table = next((view for view in peek_views(answer) if isinstance(view, Table)), None)
    if table is None:
        return None
    names = [column.name for column in table.columns]
    token, origin = names.index("token"), names.index("from")
    own = tuple(str(row[token]) for row in table.rows if row[origin] == "text")
    return Split(safe(answer.headline.partition(":")[0]), own)
