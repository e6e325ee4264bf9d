"""A set's texts with their labels: on characters at once, on the model's tokens once it says which they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll

from workbench.datasets.labelled.shown import texts_in_turn
from workbench.errors import UserError
from workbench.tui import keys
from workbench.tui.screens.probes.lines import labelled_text
from workbench.tui.widgets.words import Words
from workbench.tui.worker_words import ready
from workbench.views import Tokens

if TYPE_CHECKING:
    from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText
    from workbench.tui.context import Context

SLOT = "labels"
TEXTS = 40
"""of a set that are shown"""
LONGEST = 100_000
"""characters of these, beyond which the model isn't asked about them"""


class LabelledTexts(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Peeks: nothing of it is logged."""

    DEFAULT_CSS = """
    LabelledTexts { height: 1fr; padding: 0 2; }
    LabelledTexts Words { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.SCROLL)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._labelled: LabelledSet | None = None
        self._texts: list[LabelledText] = []
        self._tokens: list[Tokens] = []
        """of the set that is shown; empty until the model has answered"""
        self._asked = False

    def compose(self) -> ComposeResult:
        yield Words()

    def show(self, labelled: LabelledSet | None, seen: bool) -> None:
        """This set now, and whether it is seen. Cheap, and to be called whenever it or the worker may have changed."""
        if labelled is not self._labelled:
            self._labelled, self._tokens, self._asked = labelled, [], False
            self._texts = texts_in_turn(labelled)[:TEXTS] if labelled is not None else []
            self.scroll_home(animate=False)
        app: Context = self.app  # type: ignore[assignment]
        can_ask = seen and app.link is not None and app.link.connected and ready(app.link)
        short = sum(len(text.text) for text in self._texts) <= LONGEST
        if labelled is not None and can_ask and short and not self._asked:
            self._asked = True
            self.run_worker(self._peek(labelled), group=SLOT, exclusive=True)
        self._draw()

    async def _peek(self, labelled: LabelledSet) -> None:
        from workbench.worker.peeks import peek_views
        from workbench.worker.protocol import Peek

        app: Context = self.app  # type: ignore[assignment]
        few = msgspec.to_builtins(msgspec.structs.replace(labelled, texts=self._texts))
        try:
            answer = await app.request(Peek(slot=SLOT, experiment="labels", params={"data": few, "texts": TEXTS}))
            views = [view for view in peek_views(answer) if isinstance(view, Tokens)]
        except UserError:
            return  # the characters stay: running `labels` says why
        if labelled is self._labelled and len(views) == len(self._texts):
            self._tokens = views
            self._draw()

    def _draw(self) -> None:
        labelled = self._labelled
        self.query_one(Words).show(
            lambda colors: (
                labelled_text(labelled, self._texts, self._tokens, colors) if labelled is not None else Text()
            )
        )
