"""Loss and KL, token by token, clean against edited, over documents. Position 0 counts nowhere. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from workbench.statistics import Mean, clustered_mean
from workbench.text import safe, shorten, show_token
from workbench.views import Column, Lines, Series, Table

MIN_DOCUMENTS = 5
"""documents; a mean over fewer is marked as uncertain, and so is one that its error reaches half of"""
POSITION_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
TOKEN_CLASSES = (
    "number",
    "line break or space",
    "punctuation",
    "word with a capital",
    "word",
    "part of a word",
    "other",
)


@dataclass(frozen=True)
class DocumentLosses:
    """One prompt, or one document of a corpus. All arrays [position], with nan or nothing of position 0."""

    tokens: list[str]
    clean: np.ndarray
    """−log p of each token, nats; nan at position 0"""
    edited: np.ndarray
    kl: np.ndarray
    """KL(clean ‖ edited) of what follows each position, nats"""

    @property
    def change(self) -> np.ndarray:
        return np.asarray(self.edited - self.clean)


def token_class(token: str) -> str:
    """What kind of token it is, by its text."""
    bare = token.strip()
    if not bare:
        return "line break or space"
    if bare.isdigit():
        return "number"
    if not re.search(r"\w", bare):
        return "punctuation"
    if not bare.isalpha():
        return "other"
    if token[0].isspace():
        return "word with a capital" if bare[0].isupper() else "word"
    return "word with a capital" if bare[0].isupper() else "part of a word"


def token_mean(documents: Sequence[DocumentLosses], values_of: Any) -> Mean:
    """The mean over tokens of `pick(document)`, an array with nan where nothing counts; clustered by document."""
    parts = [np.asarray(values_of(document), dtype=np.float64) for document in documents]
    parts = [part[np.isfinite(part)] for part in parts]
    return clustered_mean([float(part.sum()) for part in parts], [len(part) for part in parts])


def loss_change(documents: Sequence[DocumentLosses]) -> Mean:
    return token_mean(documents, lambda document: document.change)


def kl_mean(documents: Sequence[DocumentLosses]) -> Mean:
    """From position 1 on."""
    return token_mean(documents, lambda document: document.kl[1:])


def uncertain(mean: Mean) -> bool:
    return bool(mean.n < MIN_DOCUMENTS or not np.isfinite(mean.se) or 2 * mean.se > abs(mean.value))


def by_class(documents: Sequence[DocumentLosses]) -> Table:
    """Mean change of the loss for each kind of token."""
    rows: list[list[Any]] = []
    kinds = [np.asarray([token_class(token) for token in document.tokens]) for document in documents]
    for name in TOKEN_CLASSES:
        masks = [kind == name for kind in kinds]
        parts = [document.change[mask] for document, mask in zip(documents, masks, strict=True)]
        parts = [part[np.isfinite(part)] for part in parts]
        change = clustered_mean([float(part.sum()) for part in parts], [len(part) for part in parts])
        if change.n:
            rows.append(_class_row(name, change, sum(map(len, parts))))
    rows.sort(key=lambda row: -abs(row[1]))
    columns = [
        Column(key="token_class", name="tokens that are"),
        Column(key="loss_change", name="loss change", kind="signed", help="nats, edited − clean"),
        Column(key="se", name="±", kind="number", help="one standard error, clustered by document", gives_way="never"),
        Column(key="tokens", name="tokens", kind="int"),
        Column(key="documents", name="documents", kind="int"),
        Column(
            key="uncertain",
            name="",
            help=f"? where there are under {MIN_DOCUMENTS} documents, or the error is over half of the mean",
            gives_way="never",
        ),
    ]
    return Table(title="By kind of token", columns=columns, rows=rows)


def _class_row(name: str, change: Mean, tokens: int) -> list[Any]:
    se = None if np.isnan(change.se) else change.se
    return [name, change.value, se, tokens, change.n, "?" if uncertain(change) else ""]


def by_position(documents: Sequence[DocumentLosses]) -> Lines:
    """Mean KL by position, in bins that double."""
    longest = max(len(document.tokens) for document in documents)
    edges = [edge for edge in POSITION_EDGES if edge < longest] + [longest]
    bins = list(pairwise(edges))
    means = [token_mean(documents, lambda document, low=low, high=high: document.kl[low:high]) for low, high in bins]
    errors = np.asarray([0 if np.isnan(mean.se) else mean.se for mean in means])
    values = np.asarray([mean.value for mean in means])
    return Lines(
        title="KL by position",
        note="± one standard error, clustered by document; position 0 left out",
        x=np.asarray([low for low, _ in bins], dtype=np.float64),
        x_ticks=[str(low) if high == low + 1 else f"{low}–{high - 1}" for low, high in bins],
        series=[Series(name="KL", y=values, low=values - errors, high=values + errors)],
        x_label="position",
        y_label="KL, nats",
    )


def extremes(documents: Sequence[DocumentLosses], n: int = 10) -> Table:
    """The tokens that the edits hurt most, then those they help most, with what stands before them."""
    places = [
        (float(change), document, position)
        for document in documents
        for position, change in enumerate(document.change)
        if np.isfinite(change)
    ]
    places.sort(key=lambda place: -place[0])
    chosen = [place for place in places[:n] if place[0] > 0] + [place for place in places[-n:] if place[0] < 0]
    rows: list[list[Any]] = []
    for change, document, position in chosen:
        before = safe("".join(document.tokens[max(0, position - 8) : position]))
        loss = [float(document.clean[position]), float(document.edited[position])]
        rows.append([change, show_token(document.tokens[position]), f"…{shorten(before[-40:], 40)}", *loss])
    columns = [
        Column(key="loss_change", name="loss change", kind="signed", help="nats; above 0 the edits hurt"),
        Column(key="token", name="token"),
        Column(key="before", name="after"),
        Column(key="loss", name="clean", kind="number", help="−log p, nats"),
        Column(key="loss_edited", name="edited", kind="number", help="−log p, nats", edited=True),
    ]
    return Table(title="Tokens hurt and helped most", note=f"of {len(places):,}", columns=columns, rows=rows)
