"""A labelled set as views: its labels on its texts, token by token, and its splits counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from workbench.datasets.labelled.aligning import read_positions
from workbench.datasets.labelled.alignment import token_spans
from workbench.datasets.labelled.examples import SPLITS, Examples
from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText
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
    split = SPLITS[int(examples.split[members[0]])]
    view = _view(ids, values, labels, examples.classes, examples.numeric, token)
    note = "; ".join(filter(None, [f"{split}, document {int(examples.document[members[0]]) + 1}", view.note]))
    return msgspec.structs.replace(view, title=title or f"text {window + 1}", note=note)


def _view(
    ids: Sequence[int],
    values: np.ndarray,
    labels: list[str],
    classes: tuple[str, str],
    numeric: bool,
    token: Callable[[int], str],
) -> Tokens:
    start, end = _shown_range(values)
    note = ""
    if end - start < len(ids):
        note = f"the tokens shown are {count(start)} to {count(end - 1)} of a text of {count(len(ids))}"
    return Tokens(
        title="",
        note=note,
        tokens=[token(index) for index in ids[start:end]],
        rows=[TokenRow(name="label", values=values[start:end])],
        value_label="target" if numeric else "label, 1 or 0 (as −1)",
        low_label="low" if numeric else classes[0],
        high_label="high" if numeric else classes[1],
        signed=not numeric,
        labels=labels[start:end],
    )


def _shown_range(values: np.ndarray) -> tuple[int, int]:
    """Start and end of at most SHOWN_TOKENS: those before and a few behind the first label, or the start of a long one.

    `values`: (token), NaN where no label is.
    """
    labelled = np.flatnonzero(~np.isnan(values))
    if not len(labelled):
        return 0, min(len(values), SHOWN_TOKENS)
    first = int(labelled[0])
    unlabelled = np.flatnonzero(np.isnan(values[first:]))
    last = first + int(unlabelled[0]) - 1 if len(unlabelled) else len(values) - 1
    if last - first >= SHOWN_TOKENS:
        start = max(0, first - 1)
        return start, min(start + SHOWN_TOKENS, len(values))
    end = min(len(values), max(last + 1 + SHOWN_TOKENS // 4, SHOWN_TOKENS))
    return max(0, end - SHOWN_TOKENS), end


def token_views(
    labelled: LabelledSet, tokenizer: Any, texts: Sequence[LabelledText], token: Callable[[int], str]
) -> tuple[list[Tokens], int]:
    """Texts of a set as `text_view` draws them, without a split, and how many of their labels read no token.

    Raises UserError for a tokenizer without offsets.
    """
    views, unread = [], 0
    for text, spans in zip(texts, token_spans(tokenizer, [text.text for text in texts]), strict=True):
        values, labels = np.full(len(spans.ids), np.nan), [""] * len(spans.ids)
        for place in read_positions(text, spans, labelled.read):
            if place is None:
                unread += 1
                continue
            first, last, label = place
            values[first : last + 1] = label if labelled.numeric else 2 * label - 1
            labels[first : last + 1] = [f"{label:g}"] * (last + 1 - first)
        views.append(_view(spans.ids, values, labels, labelled.classes, labelled.numeric, token))
    return views, unread


def texts_in_turn(labelled: LabelledSet) -> list[LabelledText]:
    """In turn one with an example of label 1 and one without, in their order."""

    def is_positive(text: LabelledText) -> bool:
        return labelled.numeric or any(span.label == 1 for span in text.spans)

    positive = [text for text in labelled.texts if is_positive(text)]
    others = [text for text in labelled.texts if not is_positive(text)]
    mixed = [text for pair in zip(positive, others, strict=False) for text in pair]
    shorter = min(len(positive), len(others))
    return [*mixed, *positive[shorter:], *others[shorter:]]


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
