"""Units and edits complete while they are typed: from pins, recent edits, and the model's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workbench.tui.page import Page


def unit_suggester(page: Page) -> Callable[[str], str]:
    """For a field of units: the likeliest completion of a text, or nothing."""
    return lambda text: next(iter(completions(page, text, 1)), "")


def completions(page: Page, text: str, limit: int) -> list[str]:
    """Completions of `text`, as whole texts, most useful first."""
    from itertools import islice

    from workbench.units import complete

    info = page.workbench.model_info
    if info is None or "=" in text or not text:
        return []
    term = text.replace(",", " ").split(" ")[-1]
    before = text[: len(text) - len(term)]
    offered: Iterable[str] = complete(text, info, page.workbench.suggested_units())
    return [before + term + word[len(term) :] for word in islice(offered, limit) if len(word) > len(term)]
