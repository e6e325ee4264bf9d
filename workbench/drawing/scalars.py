"""Scalars: one number a line, with its unit, its ± and its n; edited beside clean."""

from __future__ import annotations

from workbench.drawing.layout import align_points, plain
from workbench.drawing.style import Line, Style
from workbench.text import count, number, width
from workbench.views import Scalar, Scalars

_PARTS = ("name", "clean", "edited", "unit", "rest")


def draw_scalars(view: Scalars, cells: int, height: int | None, style: Style) -> tuple[list[Line], str]:
    """Aligned lines; what the note must add."""
    items = view.items[:height] if height else view.items
    rows = [_parts(item, style) for item in items]
    for part in ("clean", "edited"):
        for row, text in zip(rows, align_points([row[part] for row in rows]), strict=True):
            row[part] = text if text.strip() else ""
    widths = {part: max((width(row[part]) for row in rows), default=0) for part in _PARTS}
    widths["name"] = min(widths["name"], max(8, cells // 2))
    arrow = style.glyphs("→", "->")
    lines = []
    for row in rows:
        line = plain(style.fit(row["name"], widths["name"]))
        line.append("  " + style.fit(row["clean"], widths["clean"], right=True), style.paint("clean", "bold"))
        if widths["edited"]:
            sign = f" {arrow if row['edited'] else ' ' * len(arrow)} "
            line.append(sign, "dim")
            line.append(style.fit(row["edited"], widths["edited"], right=True), style.paint("edited", "bold"))
        if widths["unit"]:
            line.append("  " + style.fit(row["unit"], widths["unit"]), "dim")
        if row["rest"]:
            line.append("  " + row["rest"], "dim")
        line.rstrip()
        lines.append(_cut(line, cells, style))
    left_out = len(view.items) - len(items)
    return lines, f"{count(left_out)} more" if left_out else ""


def _parts(item: Scalar, style: Style) -> dict[str, str]:
    name, unit, text = (style.clean_text(part) for part in (item.name, item.unit, item.help))
    spread = f"{style.glyphs('±', '+-')} {style.clean_text(number(item.se, 2))}" if item.se is not None else ""
    counted = f"n {count(item.n)}" if item.n is not None else ""
    return {
        "name": name,
        "clean": style.clean_text(number(item.value)),
        "edited": style.clean_text(number(item.edited)) if item.edited is not None else "",
        "unit": unit,
        "rest": "  ".join(part for part in (spread, counted, text) if part),
    }


def _cut(line: Line, cells: int, style: Style) -> Line:
    """The line in at most `cells`, with a mark where something was cut."""
    if line.cell_len > cells:
        line.truncate(max(0, cells - 1))
        line.append(style.glyphs("…", "~"), "dim")
    return line
