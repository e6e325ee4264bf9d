"""Views as files: text as drawn, CSV, JSON, figures of a paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from workbench.drawing.export import export_csv, export_text
from workbench.drawing.svg import export_svg
from workbench.views import AnyView, to_builtins

SCREEN = "screen (SVG)"
ENDINGS: dict[str, str] = {
    "text": ".txt", "CSV": ".csv", "JSON": ".json", "figure (SVG)": ".svg", "narrow figure": ".svg", SCREEN: ".svg",
}  # fmt: skip
WRITERS: dict[str, Callable[[AnyView], str]] = {
    "text": lambda view: export_text(view, 120),
    "CSV": export_csv,
    "JSON": lambda view: msgspec.json.format(msgspec.json.encode(to_builtins(view))).decode() + "\n",
    "figure (SVG)": lambda view: export_svg(view, 2),
    "narrow figure": lambda view: export_svg(view, 1),
}


def free_path(stem: str, ending: str) -> Path:
    """`stem.csv` in the present folder, or the first of `stem-2.csv` … that is not taken."""
    path, number = Path(stem + ending), 1
    while path.exists():
        number += 1
        path = Path(f"{stem}-{number}{ending}")
    return path
