"""A card as files: the text as it is seen, and everything in it as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.style import Style

from workbench.drawing.style import DARK
from workbench.errors import UserError
from workbench.tui.screens.neurons.card_lines import NeuronContext, card_lines
from workbench.views import to_builtins

if TYPE_CHECKING:
    from workbench.index.card import Card

_CELLS = 110


class Plain:
    """An Ink without colours."""

    def __getattr__(self, name: str) -> Style:
        return Style()


def write_card(card: Card, notes: tuple[str, ...] = (), folder: Path | None = None) -> str:
    """`UNIT.txt` and `UNIT.json` in the working folder; their names. Raises UserError where that can't be written."""
    folder = folder or Path.cwd()
    context, style = NeuronContext(notes=notes), replace(DARK, color=False)
    lines = card_lines(card, _CELLS, True, context, Plain(), style, 60)  # type: ignore[arg-type]
    head = (
        f"{card.corpus}, {card.n_tokens:,} tokens, {card.n_documents:,} documents" if card.n_tokens else "weights alone"
    )
    text = "\n".join([head, *(line.plain.rstrip() for line in lines)]) + "\n"
    name = card.unit.replace("/", "-")  # a feature's address has its SAE's name behind a slash
    try:
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        data = json.dumps(_finite(to_builtins(card)), ensure_ascii=False, indent=1)
        (folder / f"{name}.json").write_text(data, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the card cannot be written to {folder}: {error.strerror}") from None
    return f"{name}.txt and {name}.json in {folder}"


def _finite(value: Any) -> Any:
    """JSON has no nan."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
