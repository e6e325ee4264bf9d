"""What stands under the fields before a question was asked: what asking does, what it takes, what is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.text import Text

from workbench.tui.latest import Latest
from workbench.tui.screens.why.finding import EXPERIMENT
from workbench.tui.screens.why.words import invitation
from workbench.tui.widgets.words import Words
from workbench.tui.worker_words import free_memory, ready, stage, trouble

if TYPE_CHECKING:
    from workbench.tui.context import Context
    from workbench.tui.screens.why.fields import QuestionFields
    from workbench.tui.screens.why.state import WhyState
    from workbench.tui.theme import Ink

REPLAY = "this is a replay, without worker or model: `workbench` alone opens one"


class Invite(Words):
    """`restate()` says it anew, as the fields and the worker are now."""

    DEFAULT_CSS = "Invite { display: none; height: 1fr; padding: 0 2; }"

    def __init__(self, state: WhyState, fields: Callable[[], QuestionFields]) -> None:
        super().__init__()
        self._state, self._fields = state, fields
        self._cost = ""
        self._costs = Latest(self, self._price, lambda sentence: None)

    @property
    def _program(self) -> Context:
        return self.app  # type: ignore[return-value]

    def restate(self) -> None:
        self.show(self._words)
        self._costs.ask()

    def _words(self, colors: Ink) -> Text:
        link = self._program.link
        if link is None:
            return Text(f"No `why` was asked in this session. {REPLAY[0].upper()}{REPLAY[1:]}.", colors.plain)
        waits = trouble(link)
        if not waits and not ready(link):
            waits = f"{stage(link)}: what is asked now waits for it"
        if self._state.pending:
            return Text(f"asking{f' · {waits}' if waits else ''} · Ctrl+C takes it back", colors.second)
        size = self._fields().field("size").value
        picked = int(size) if size.isdecimal() else 5
        return invitation(self._cost, picked, waits, self.size.width, colors)

    async def _price(self) -> None:
        """What the question would take, as it stands in the fields."""
        from workbench.cost import cost_line

        info = self._program.model_info
        free = free_memory(self._program.link)
        if info is not None:
            cost = await asyncio.to_thread(cost_line, EXPERIMENT, self._fields().values(), info, free)
            if cost != self._cost:
                self._cost = cost
                self.show(self._words)
