"""Scalars: one number a line, with its unit, its ± and its n; edited beside clean.

Where there is no room for all, what it means goes to a line of its own (or is shortened), names are shortened to what
tells them apart, then units go, then n; never a number or its ±.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.drawing.layout import align_points, joined, paragraph, plain
from workbench.drawing.look import NO_LOOK, Look
from workbench.drawing.style import Line, Style
from workbench.drawing.table_cells import Cells
from workbench.text import count, number, width
from workbench.views import Column, Scalar, Scalars

_GAP = 2
_LEAST_HELP = 10
"""cells below which the start of a meaning says nothing"""
_NUMBERS = ("clean", "edited", "se")
_GO = {"unit": "units", "n": "n"}
"""parts that go where there is no room, in this order"""


def draw_scalars(
    view: Scalars, cells: int, height: int | None, style: Style, look: Look = NO_LOOK
) -> tuple[list[Line], str]:
    """Aligned lines; what the note must add."""
    brief = look.brief or height is not None
    items = view.items[:height] if height else view.items
    names = Cells(Column(name=""), [item.name for item in items], style)
    names.keep_rows_apart()
    parts = {part: [_part(item, part, style) for item in items] for part in (*_NUMBERS, *_GO)}
    for part in _NUMBERS:
        parts[part] = [text if text.strip() else "" for text in align_points(parts[part])]
    arrow, sign = style.glyphs("→", "->"), style.glyphs("±", "+-")
    marks = {"edited": f" {arrow} ", "se": f"{' ' * _GAP}{sign} ", "n": " " * _GAP + "n ", "unit": " " * _GAP}
    gone = []
    for part, words in _GO.items():
        if names.least + _GAP + _taken(parts, marks) > cells and any(parts[part]):
            del parts[part]
            gone.append(words)
    rest = _taken(parts, marks)
    name_cells = max(1, min(names.whole, cells - _GAP - rest))
    lines, cut = [], False
    for at, name in enumerate(names.fit(name_cells)):
        line = plain(name + " " * _GAP)
        for part in ("clean", "edited", "unit", "se", "n"):
            _append(line, part, parts.get(part, []), at, marks.get(part, ""), style)
        text, start = style.clean_text(items[at].help), name_cells + rest + 2 * _GAP
        fits = start + width(text) <= cells
        if not fits and brief:
            cut, text = True, style.shorten(text, cells - start) if cells - start >= _LEAST_HELP else ""
        if text and (fits or brief):
            line.append(" " * (start - line.cell_len) + text, "dim")
        line.rstrip()
        line.truncate(cells)
        lines.append(line)
        if text and not fits and not brief:
            lines += paragraph(items[at].help, cells, style, "dim", indent=" " * _GAP)
    left_out = len(view.items) - len(items)
    return lines, joined(
        f"{count(left_out)} more" if left_out else "",
        f"hidden, too narrow: {', '.join(gone)}" if gone else "",
        f"meanings shortened ({look.shows_hidden} shows them)" if cut and look.shows_hidden else "",
    )


def _part(item: Scalar, part: str, style: Style) -> str:
    """One item's text in a part of the line; empty where it has none."""
    if part == "unit":
        return style.clean_text(item.unit)
    if part == "n":
        return count(item.n) if item.n is not None else ""
    value = {"clean": item.value, "edited": item.edited, "se": item.se}[part]
    if value is None and part != "clean":
        return ""
    return style.clean_text(number(value, 2 if part == "se" else 3))


def _taken(parts: dict[str, list[str]], marks: dict[str, str]) -> int:
    """Cells of all parts but the name."""
    return sum(
        max(map(width, texts)) + width(marks.get(part, ""))
        for part, texts in parts.items()
        if any(map(str.strip, texts))
    )


def _append(line: Line, part: str, texts: Sequence[str], at: int, mark: str, style: Style) -> None:
    """This part of the line, as wide as it is in every line."""
    if not any(texts):
        return
    text = style.fit(texts[at], max(map(width, texts)), right=part != "unit")
    line.append(mark if texts[at] else " " * width(mark), "dim")
    line.append(text, style.paint(part, "bold") if part in ("clean", "edited") else "dim")
