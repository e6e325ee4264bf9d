"""A labelled set as views: its labels on its texts, token by token, and its splits counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workbench.datasets.labelled.examples import SPLITS, Examples
from workbench.datasets.labelled.problems import Problems
from workbench.text import count
from workbench.views import Column, Table, TokenRow, Tokens

SHOWN_TOKENS = 160
"""of a text, around the first label in it"""


def text_view(examples: Examples, window: int, token: Callable[[int], str], title: str = "") -> Tokens:
    """A window's tokens, those that are read marked by their label; `token` gives an id's text.

    Of a window of more than SHOWN_TOKENS those around its first example; the note says which.

    Of two classes 1 and −1 stand for label 1 and label 0, nan for what no example reads; targets are themselves.
    """
    ids = examples.windows[window]
    values = np.full(len(ids), np.nan)
    labels = [""] * len(ids)
    members = np.flatnonzero(examples.window == window)
    for at in members:
        first, last, label = int(examples.first[at]), int(examples.last[at]), float(examples.label[at])
        values[first : last + 1] = label if examples.numeric else 2 * label - 1
        labels[first : last + 1] = [f"{label:g}"] * (last + 1 - first)
    note = f"{SPLITS[int(examples.split[members[0]])]}, document {int(examples.document[members[0]]) + 1}"
    start, end = _shown_range(len(ids), int(examples.first[members[0]]), int(examples.last[members[0]]))
    if end - start < len(ids):
        note += f"; the tokens shown are {count(start)} to {count(end - 1)} of a text of {count(len(ids))}"
    return Tokens(
        title=title or f"text {window + 1}",
        note=note,
        tokens=[token(index) for index in ids[start:end]],
        rows=[TokenRow(name="label", values=values[start:end])],
        value_label="target" if examples.numeric else "label, 1 or 0 (as −1)",
        low_label="low" if examples.numeric else examples.classes[0],
        high_label="high" if examples.numeric else examples.classes[1],
        signed=not examples.numeric,
        labels=labels[start:end],
    )


def _shown_range(n: int, first: int, last: int) -> tuple[int, int]:
    """Start and end of at most SHOWN_TOKENS of n: those before and a few behind a label, or the first of a long one."""
    if last - first >= SHOWN_TOKENS:
        return first - 1, min(first - 1 + SHOWN_TOKENS, n)
    end = min(n, max(last + 1 + SHOWN_TOKENS // 4, SHOWN_TOKENS))
    return max(0, end - SHOWN_TOKENS), end


def split_table(examples: Examples, problems: Problems) -> Table:
    """Examples of each class and documents, by split."""
    columns = [Column(key="split", name="split"), Column(key="examples", name="examples", kind="int")]
    if not examples.numeric:
        columns += [
            Column(key="positive", name=examples.classes[1], kind="int", help="of label 1"),
            Column(key="negative", name=examples.classes[0], kind="int", help="of label 0"),
        ]
    columns.append(Column(key="documents", name="documents", kind="int", help="a document is in one split only"))
    rows = [
        [part.split, part.examples, *([] if examples.numeric else [part.positive, part.negative]), part.documents]
        for part in problems.splits
    ]
    return Table(title="Splits, by document", columns=columns, rows=rows)


def shown_windows(examples: Examples, n: int) -> Sequence[int]:
    """Windows to look at: in turn one with an example of label 1 and one without, in their order."""
    positive = set(examples.window[examples.label > (examples.label.mean() if examples.numeric else 0.5)].tolist())
    with_positive = [window for window in range(len(examples.windows)) if window in positive]
    others = [window for window in range(len(examples.windows)) if window not in positive]
    mixed = [window for pair in zip(with_positive, others, strict=False) for window in pair]
    shorter = min(len(with_positive), len(others))
    return [*mixed, *with_positive[shorter:], *others[shorter:]][:n]
