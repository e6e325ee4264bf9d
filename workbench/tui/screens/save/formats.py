"""Views as files: text as drawn, CSV, JSON."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from workbench.drawing.export import export_csv, export_text
from workbench.errors import UserError
from workbench.views import AnyView, to_builtins

SVG = "screen (SVG)"
ENDINGS: dict[str, str] = {"text": ".txt", "CSV": ".csv", "JSON": ".json", SVG: ".svg"}
WRITERS: dict[str, Callable[[AnyView], str]] = {
    "text": lambda view: export_text(view, 120),
    "CSV": export_csv,
    "JSON": lambda view: msgspec.json.format(msgspec.json.encode(to_builtins(view))).decode() + "\n",
}


def free_path(stem: str, ending: str) -> Path:
    """`stem.csv` in the present folder, or the first of `stem-2.csv` … that is not taken."""
    path, number = Path(stem + ending), 1
    while path.exists():
        number += 1
        path = Path(f"{stem}-{number}{ending}")
    return path


def write(path: Path, text: str, overwrite: bool) -> Path:
    """Whole or not at all. Raises UserError, also for a file that is there."""
    path = path.expanduser().absolute()
    if path.is_dir():
        raise UserError(f"{path} is a folder: add a file name")
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already: Enter again writes over it, or choose another name")
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="replace")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path} can't be written: {error.strerror}") from None
    return path
