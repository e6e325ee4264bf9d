"""Units and edits complete while they are typed: from pins, recent edits, and the model's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.suggester import Suggester

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workbench.tui.page import Page


class UnitSuggester(Suggester):
    """The likeliest way to go on, shown behind the cursor; → takes it."""

    def __init__(self, page: Page) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._page = page

    async def get_suggestion(self, value: str) -> str | None:
        return next(iter(completions(self._page, value, 1)), None)


def completions(page: Page, text: str, most: int) -> list[str]:
    """Whole texts that go on from `text`, most useful first."""
    from itertools import islice

    from workbench.units import complete

    info = page.workbench.model_info
    if info is None or "=" in text or not text:
        return []
    term = text.replace(",", " ").split(" ")[-1]
    before = text[: len(text) - len(term)]
    offered: Iterable[str] = complete(text, info, page.workbench.known_units())
    return [before + term + word[len(term) :] for word in islice(offered, most) if len(word) > len(term)]
