"""Tables as they are set in papers: three rules, no boxes, numbers under each other at their points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.drawing.style import LIGHT
from workbench.drawing.svg.page import FONT, INK, LINE, QUIET, Page, label
from workbench.drawing.table_cells import NUMERIC, Cells
from workbench.drawing.table_layout import importance
from workbench.text import count, number, shorten, width
from workbench.views import Scalars, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 200
"""more are said to be left out: a table of a paper is read, not searched"""
_GAP = 1.6
"""between columns, in characters"""
_CHARACTER = 0.6
"""of a font's size, on average, with some room: the reader's font may be wider than ours"""
_LEAST_FONT, _LEAST_TEXT = 6.0, 10


@dataclass
class _Column:
    name: str
    texts: list[str]
    numeric: bool
    gives_way: int = 1
    """0 never, 1 late, 2 early"""

    def cells(self) -> float:
        """Its width in characters."""
        if not self.numeric:
            return max([1, width(self.name), *map(width, self.texts)])
        return max([width(self.name), self.before() + self.after()])

    def before(self) -> int:
        """Characters before the point, of the longest."""
        return max((width(text.partition(".")[0]) for text in self.texts), default=0)

    def after(self) -> int:
        return max((width("".join(text.partition(".")[1:])) for text in self.texts), default=0)


def table_figure(view: Table, page: Page) -> Figure:
    rows = view.rows[:_ROWS]
    columns = [
        _Column(
            label(column.name, 40),
            [label(text.strip(), 120) for text in Cells(column, [row[at] for row in rows], LIGHT).texts],
            column.kind in NUMERIC,
            importance(column),
        )
        for at, column in enumerate(view.columns)
    ]
    if len(rows) < len(view.rows):
        page.notes.append(f"the first {count(len(rows))} of {count(len(view.rows))} rows")
    return _set(columns, len(rows), page)


def scalars_figure(view: Scalars, page: Page) -> Figure:
    items = view.items
    texts = [
        ("", [item.name for item in items], False),
        ("value", [number(item.value) for item in items], True),
        ("edited", ["" if item.edited is None else number(item.edited) for item in items], True),
        ("±", ["" if item.se is None else number(item.se, 2) for item in items], True),
        ("unit", [item.unit for item in items], False),
        ("n", ["" if item.n is None else count(item.n) for item in items], True),
        ("", [item.help for item in items], False),
    ]
    columns = [
        _Column(
            name, [label(text, 120) for text in cells], numeric, 2 if name in ("unit", "n") else 0 if numeric else 1
        )
        for name, cells, numeric in texts
        if any(cells)
    ]
    return _set(columns, len(items), page)


def _set(columns: list[_Column], n_rows: int, page: Page) -> Figure:
    """The columns on the page; smaller letters first, then shorter texts, then fewer columns, which are named."""
    size = FONT
    while _characters(columns) * size * _CHARACTER > page.width and size > _LEAST_FONT:
        size -= 0.25
    most = page.width / (size * _CHARACTER)
    while _characters(columns) > most:
        longest = max((c for c in columns if not c.numeric), key=_Column.cells, default=None)
        if longest is None or longest.cells() <= _LEAST_TEXT:
            break
        room = max(_LEAST_TEXT, int(longest.cells() - max(1, (_characters(columns) - most) / 2)))
        longest.name = shorten(longest.name, room)
        longest.texts = [shorten(text, room) for text in longest.texts]
    left_out: list[str] = []
    columns = list(columns)
    while _characters(columns) > most and len(columns) > 1:
        goes = max(range(1, len(columns)), key=lambda at: (columns[at].gives_way, at))
        left_out.insert(0, columns.pop(goes).name)
    if left_out:
        page.notes.append(f"left out, too wide: {', '.join(left_out)}")
    if not n_rows:
        page.notes.append("no rows")
    pitch = size * LINE * 1.08
    figure, axes = page.sheet((n_rows + 1) * pitch + 16)
    left = 2.0
    spare = max(0.0, page.width - 4 - _characters(columns) * size * _CHARACTER)
    gap = _GAP * size * _CHARACTER + min(3 * size, spare / max(1, len(columns) - 1) if len(columns) > 1 else 0)
    for column in columns:
        _put(axes, column, left, pitch, size)
        left += column.cells() * size * _CHARACTER + gap
    right = min(page.width, left - gap + 2)
    for down, thick in ((1.5, 0.9), (pitch + 6, 0.5), ((n_rows + 1) * pitch + 12, 0.9)):
        axes.plot([0, right], [down, down], color=INK, linewidth=thick, solid_capstyle="butt")
    return figure


def _characters(columns: list[_Column]) -> float:
    return sum(column.cells() for column in columns) + _GAP * (len(columns) - 1)


def _put(axes: Axes, column: _Column, left: float, pitch: float, size: float) -> None:
    right = left + column.cells() * size * _CHARACTER
    heading = (right, "right") if column.numeric else (left, "left")
    axes.text(heading[0], 4 + pitch / 2, column.name, ha=heading[1], va="center", fontsize=size, color=QUIET)
    point = right - column.after() * size * _CHARACTER
    for row, text in enumerate(column.texts):
        down = 9 + (row + 1.5) * pitch
        look: dict[str, Any] = {"va": "center_baseline", "fontsize": size, "color": INK}
        if not column.numeric:
            axes.text(left, down, text, ha="left", **look)
            continue
        before, mark, after = text.partition(".")
        axes.text(point, down, before, ha="right", **look)
        if mark:
            axes.text(point, down, mark + after, ha="left", **look)
