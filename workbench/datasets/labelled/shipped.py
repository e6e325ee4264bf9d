"""Labelled sets that ship, ours: the first probe runs offline."""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.labelled.reading import read_labelled

_FOLDER = Path(__file__).parent / "sets"
SHIPPED = {
    "is_python": "Python code against English prose (mean over the text)",
    "past": "sentences about the past against sentences about the future (last token)",
    "months": "names of months against other capitalised words (tokens in sentences)",
    "capitals": "true statements of a country's capital against false ones (last token)",
    "plural": "plural nouns against singular ones (tokens in sentences)",
}
"""names, and what they hold"""


def shipped_set(name: str) -> LabelledSet:
    """One of SHIPPED."""
    return read_labelled(_FOLDER / f"{name}.json")
