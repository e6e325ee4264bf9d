"""The scale under a drawing of filled cells: the ramp itself, its numbers, and what both ends mean."""

from __future__ import annotations

from workbench.drawing.layout import joined, paragraph, plain
from workbench.drawing.scale import Scale
from workbench.drawing.style import Line
from workbench.text import number, width

_LEAST, _MOST = 24, 36
"""cells of a ramp"""
_DIGITS = "0123456789"
_SIGNED_DIGITS = "ihgfedcba" + _DIGITS


def ramp_legend(scale: Scale, low_label: str, high_label: str, cells: int, digits: bool) -> list[Line]:
    """One line, or two where there is no room: the ramp in its own colours, with the numbers on it.

    `digits`: the cells say their values by one digit each, which the ramp then shows in their order.
    """
    style = scale.style
    ends = [style.clean_text(number(value, 2)) for value in (scale.low, scale.high)]
    meanings = [style.clean_text(label) for label in (low_label, high_label)]
    if not scale.has_values:
        return [plain("no values", "dim")]
    if scale.low == scale.high:
        return [plain(style.shorten(style.clean_text(joined(f"all values {ends[0]}", meanings[0])), cells), "dim")]
    if digits:
        ramp = plain("")
        letters = _SIGNED_DIGITS if scale.signed else _DIGITS
        for at, letter in enumerate(letters):
            value = scale.low + (scale.high - scale.low) * at / (len(letters) - 1)
            ramp.append(letter, scale.fill(value))
    elif style.color:
        middle = style.clean_text(number((scale.low + scale.high) / 2, 2))
        ramp = _filled(scale, [ends[0], middle, ends[1]], max(_LEAST, min(_MOST, cells // 3)))
    else:
        ramp = plain("to", "dim")
    if not digits and style.color:
        left, right = meanings
    else:
        left, right = (" ".join(filter(None, pair)) for pair in ((meanings[0], ends[0]), (ends[1], meanings[1])))
    if width(left) + ramp.cell_len + width(right) + 2 <= cells:
        return [plain(f"{left} " if left else "", "dim").append_text(ramp).append(f" {right}" if right else "", "dim")]
    explained = joined(*(f"{end}: {meaning}" for end, meaning in zip(ends, meanings, strict=True) if meaning))
    ramp.truncate(cells)
    return (
        [ramp, *paragraph(explained, cells, style, "dim")]
        if digits or style.color
        else paragraph(explained, cells, style, "dim")
    )


def _filled(scale: Scale, texts: list[str], cells: int) -> Line:
    """The ramp in `cells` filled cells, with texts at its start, in its middle and at its end."""
    low, middle, high = texts
    letters = list(f" {low}".ljust(cells))
    letters[cells - len(high) - 1 : cells - 1] = high
    start = (cells - len(middle)) // 2
    if len(low) + 2 < start and start + len(middle) < cells - len(high) - 2:
        letters[start : start + len(middle)] = middle
    ramp = plain("")
    for at, letter in enumerate(letters):
        value = scale.low + (scale.high - scale.low) * at / (cells - 1)
        ramp.append(letter, scale.fill(value))
    return ramp
