"""What the experiments on an index share: finding it, showing an example in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.artifacts.index import content_of
from workbench.errors import UserError
from workbench.text import safe

if TYPE_CHECKING:
    from workbench.artifacts import Role
    from workbench.index.card import Example
    from workbench.index.reader import NeuronIndex
    from workbench.lab import Lab
    from workbench.report import Report

_PEAK_MARKS = "⟨", "⟩"
"""as texts with numbers on them are drawn without colour"""


def open_index(lab: Lab, report: Report, name: str = "", data: bool = False) -> NeuronIndex:
    """The index named, or the model's fullest. Raises UserError where there is none, or it is another model's.

    Waits until the fingerprint of the model's weights is known.
    """
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import best_index, find_folder
    from workbench.lab.identify import identify

    identify(lab, report)
    info = lab.info
    index = NeuronIndex.open(find_folder(name) if name else best_index(info))
    if index.info.fingerprint != info.fingerprint:
        raise UserError(f"{index.folder.name} is an index of {index.info.name}, and the model here is {info.name}")
    if data and not index.has_data:
        raise UserError(
            "this needs what neurons do on text, and there is only the weights part: "
            "`workbench index build --tokens 20000` takes about half a minute"
        )
    return index


def record_index(index: NeuronIndex, report: Report, role: Role = "used") -> None:
    """That the run has read this index, or added to it, as it is now."""
    report.uses(content_of(index.folder, index.revision, index.info.fingerprint), index.folder.name, role)


def example_text(example: Example, before: int = 12, after: int = 8) -> str:
    """An example in one line with its peak marked."""
    start, end = max(0, example.peak - before), example.peak + after + 1
    words = [safe(token) for token in example.tokens]
    lead = "…" if start else ""
    tail = "…" if end < len(words) else ""
    left, peak, right = (
        "".join(words[start : example.peak]),
        words[example.peak],
        "".join(words[example.peak + 1 : end]),
    )
    body = peak.lstrip(" ") or peak
    space = peak[: len(peak) - len(body)]
    return f"{lead}{left}{space}{_PEAK_MARKS[0]}{body}{_PEAK_MARKS[1]}{right}{tail}"


def index_summary(index: NeuronIndex) -> str:
    """`stdlib, 300,032 tokens of 512 documents`, or that it is weights alone."""
    from workbench.text import count

    if not index.has_data or index.corpus is None:
        return "from the weights alone"
    return f"{index.corpus.name}, {count(index.n_tokens)} tokens of {count(index.n_documents)} documents"
