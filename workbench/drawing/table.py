"""Tables: few columns, numbers aligned at the point, a bar for shares and effects, straight under any characters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.drawing.layout import joined, paragraph, plain
from workbench.drawing.look import NO_LOOK, Look
from workbench.drawing.style import Line, Style
from workbench.drawing.table_bars import MOST, Bars, barred, least_cells
from workbench.drawing.table_cells import Cells
from workbench.drawing.table_layout import GAP, Layout, lay_out
from workbench.text import count, width
from workbench.views import Table

MAX_ROWS = 1000
"""Rows drawn where no height is given; exports have all."""


@dataclass(frozen=True)
class Plan:
    """How a table is drawn in so many cells: for drawing it, and for what moves over it."""

    rows: int
    """how many are drawn, the first ones"""
    columns: list[Cells]
    layout: Layout
    headings: list[list[str]]
    """[place][line], the last line just above the rows"""
    bars: Bars | None
    legend: list[Line]
    """[line] of the bars"""

    is_meanings: bool = False
    """the page after all columns: what they mean, instead of rows"""

    @property
    def header_lines(self) -> int:
        return len(self.headings[0])

    @property
    def pages(self) -> int:
        """Those of columns, then what the columns mean, where that is said."""
        return self.layout.pages + any(column.column.help for column in self.columns)


def plan_table(view: Table, cells: int, height: int | None, style: Style, look: Look = NO_LOOK) -> Plan:
    """How the table is drawn in `cells`, and in `height` lines where that is given."""
    seen = view.rows[: MAX_ROWS if height is None else max(1, height - 1)]
    columns = [Cells(column, [row[at] for row in seen], style) for at, column in enumerate(view.columns)]
    names = next((at for at, column in enumerate(columns) if column.keep_rows_apart()), 0)
    bar = barred(columns)
    barred_columns = [columns[at] for at in bar]
    layout = lay_out(columns, names, cells, look.column_page, bar, least_cells(barred_columns, style) if bar else 0)
    bars = Bars(barred_columns, style, min(MOST, layout.bar_cells)) if layout.bar_cells else None
    headings = [columns[at].heading(wide) for at, wide in zip(layout.shown, layout.cells, strict=True)]
    legend = bars.legend() if bars else []
    lines = max(len(legend), *map(len, headings))
    headings = [[""] * (lines - len(heading)) + heading for heading in headings]
    rows = len(seen) if height is None else min(len(seen), max(1, height - lines))
    plan = Plan(rows, columns, layout, headings, bars, [plain("")] * (lines - len(legend)) + legend)
    return replace(plan, rows=0, is_meanings=True) if layout.pages <= look.column_page < plan.pages else plan


def draw_table(
    view: Table, cells: int, height: int | None, style: Style, look: Look = NO_LOOK
) -> tuple[list[Line], str]:
    """The table's lines and what its note must add (rows and columns left out)."""
    plan = plan_table(view, cells, height, style, look)
    if plan.is_meanings:
        return _meanings(plan, cells, style), f"{look.shows_hidden} shows the rows" if look.shows_hidden else ""
    lines = _header(plan, style)
    shown = [plan.columns[at] for at in plan.layout.shown]
    texts = [column.fit(wide) for column, wide in zip(shown, plan.layout.cells, strict=True)]
    for row in range(plan.rows):
        line = plain("")
        for place, column in enumerate(shown):
            line.append((" " * GAP if place else "") + texts[place][row], column.rich_style(row))
        if plan.bars:
            line.append(" " * GAP)
            plan.bars.draw(line, row)
        line.rstrip()
        lines.append(line)
    left_out = len(view.rows) - plan.rows
    return lines, joined(
        f"{count(plan.rows)} of {count(len(view.rows))} rows shown" if left_out else "",
        *_cut_headings(plan),
        _hidden(plan, look),
        "" if view.rows else "no rows",
    )


def _header(plan: Plan, style: Style) -> list[Line]:
    lines = []
    for at in range(plan.header_lines):
        line = plain("")
        for place, (heading, wide) in enumerate(zip(plan.headings, plan.layout.cells, strict=True)):
            column = plan.columns[plan.layout.shown[place]]
            line.append((" " * GAP if place else "") + style.fit(heading[at], wide, right=column.numeric), "dim")
        if plan.bars:
            line.append(" " * GAP)
            line.append_text(plan.legend[at])
        line.rstrip()
        lines.append(line)
    return lines


def _meanings(plan: Plan, cells: int, style: Style) -> list[Line]:
    """What each column holds, as far as that is said: its name, then the sentence."""
    explained = [column for column in plan.columns if column.column.help]
    side = min(cells // 3, max(width(column.name) for column in explained))
    lines = []
    for column in explained:
        text = paragraph(column.column.help, cells - side - GAP, style, "dim")
        for at, line in enumerate(text):
            lines.append(plain(style.fit(column.name if not at else "", side) + " " * GAP).append_text(line))
    return lines


def _cut_headings(plan: Plan) -> list[str]:
    """What shortened headings stand for."""
    cut = []
    for heading, at, wide in zip(plan.headings, plan.layout.shown, plan.layout.cells, strict=True):
        column = plan.columns[at]
        if column.is_heading_cut(wide):
            cut.append(f"{' '.join(filter(None, heading))}: {column.name}")
    return cut


def _hidden(plan: Plan, look: Look) -> str:
    names = [
        column.name or column.column.key.replace("_", " ") or "a column without a name"
        for at, column in enumerate(plan.columns)
        if at not in plan.layout.shown
    ]
    if not names:
        return ""
    shows = f" ({look.shows_hidden} shows {'it' if len(names) == 1 else 'them'})" if look.shows_hidden else ""
    return f"hidden, too narrow: {', '.join(names)}{shows}"
