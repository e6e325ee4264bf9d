"""Two data indexes of one model, corpus and settings, over different documents, as one.

Sums, counts and histograms add, extremes and top lists compare: the result is the index of both parts' text, exactly
(sums to the last bits of float64; top lists up to ties). A sharded build rests on this.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from workbench.errors import UserError
from workbench.index.derived import derived_columns, weight_columns
from workbench.index.format import (
    BuildProgress,
    Counts,
    IndexFile,
    map_shapes,
    open_array,
    read_index_file,
    versions,
)
from workbench.index.writer import MAPS, IndexWriter

ADDED = (
    "sums", "positive_counts", "positive_squares", "clusters", "histogram", "features", "feature_counts", "sign_counts",
    "sign_sums", "part_sums",
)  # fmt: skip
AT_ONCE = 1024
"""neurons whose windows are merged at a time"""
_LISTS = {"example": (1.0, -1.0), "sign": (1.0, -1.0, -1.0, 1.0)}
"""top lists and the sign that makes each series' best its highest"""


def merge(first: Path, second: Path, target: Path, home: Path) -> None:
    """Write the merged index into the new folder `target`; the weights part is in `home`.

    Raises UserError where the two don't belong together or share a document to its end.
    """
    a, b = read_index_file(first), read_index_file(second)
    _check(a, b, first, second)
    parts = [_arrays(first, a), _arrays(second, b)]
    document_numbers = [part["documents"][:, 0] for part in parts]
    shared = np.intersect1d(document_numbers[0], document_numbers[1])
    if not np.isin(shared, parts[0]["open_documents"]).all() or not np.isin(shared, parts[1]["open_documents"]).all():
        raise UserError(f"{first.name} and {second.name} hold the same documents: merging would count them twice")
    file = IndexFile(
        kind="data",
        model=a.model,
        corpus=a.corpus,
        settings=a.settings,
        progress=BuildProgress(
            blocks=a.progress.blocks + b.progress.blocks,
            documents=a.progress.documents + b.progress.documents - len(shared),
            tokens=a.progress.tokens + b.progress.tokens,
            goal=a.progress.goal + b.progress.goal,
            done=a.progress.done and b.progress.done,
        ),
        counts=_add_counts(a.counts, b.counts),
        features=a.features,
        versions=versions(),
        seconds=a.seconds + b.seconds,
        created=time.time(),
        facts={**a.facts, "merged": a.facts.get("merged", 1) + b.facts.get("merged", 1)},
    )
    with IndexWriter(target, file) as writer:
        if writer.arrays:
            raise UserError(f"{target} is there already: merge into a new folder")
        arrays = _sums(*parts)
        for at, (name, signs) in enumerate(_LISTS.items()):
            if f"{name}_values" in parts[0]:
                arrays |= _lists(name, np.array(signs), parts, (first, second), writer, MAPS[at])
        for folder, part in zip((first, second), parts, strict=True):
            _documents(writer, folder, part)
        writer.checkpoint(arrays, derived_columns(arrays, file, weight_columns(home, file.model)))
        writer.finish()


def _check(a: IndexFile, b: IndexFile, first: Path, second: Path) -> None:
    same = (
        ("model", a.model.fingerprint, b.model.fingerprint),
        ("corpus", a.corpus and a.corpus.hash, b.corpus and b.corpus.hash),
        ("settings", a.settings, b.settings),
        ("token features", a.features, b.features),
    )
    for name, of_first, of_second in same:
        if of_first != of_second:
            raise UserError(f"{first.name} and {second.name} can't be merged: their {name} differ")
    if a.kind != "data" or b.kind != "data":
        raise UserError(
            "only indexes of neurons on text can be merged: the weights part is the same for all, and an SAE's "
            "features are read anew"
        )


def _arrays(folder: Path, file: IndexFile) -> dict[str, np.ndarray]:
    return {name: open_array(folder / file.state, name, shape) for name, shape in file.shapes.items()}


def _add_counts(a: Counts, b: Counts) -> Counts:
    return Counts(
        tokens=[x + y for x, y in zip(a.tokens, b.tokens, strict=True)],
        sampled=a.sampled + b.sampled,
        closed_documents=a.closed_documents + b.closed_documents,
        closed_squares=a.closed_squares + b.closed_squares,
        skipped=a.skipped + b.skipped,
    )


def _sums(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    merged = {name: a[name] + b[name] for name in ADDED if name in a}
    merged["minimum"] = np.minimum(a["minimum"], b["minimum"])
    merged["maximum"] = np.maximum(a["maximum"], b["maximum"])
    if "part_extremes" in a:
        low = np.minimum(a["part_extremes"][:, 0], b["part_extremes"][:, 0])
        high = np.maximum(a["part_extremes"][:, 1], b["part_extremes"][:, 1])
        merged["part_extremes"] = np.stack([low, high], axis=1)
    sums: dict[int, np.ndarray] = {}
    tokens: dict[int, int] = {}
    for part in (a, b):
        for at, number in enumerate(part["open_documents"].tolist()):
            sums[number] = sums.get(number, 0) + part["open_sums"][at]
            tokens[number] = tokens.get(number, 0) + int(part["open_counts"][at])
    numbers = sorted(sums)
    merged["open_documents"] = np.array(numbers, dtype=np.int32)
    merged["open_sums"] = np.array([sums[number] for number in numbers]).reshape(-1, a["clusters"].shape[1])
    merged["open_counts"] = np.array([tokens[number] for number in numbers], dtype=np.int64)
    return merged


def _lists(
    name: str,
    signs: np.ndarray,
    parts: list[dict[str, np.ndarray]],
    folders: tuple[Path, Path],
    writer: IndexWriter,
    map_name: str,
) -> dict[str, np.ndarray]:
    """The best k of both lists, at most one of a document, with their windows."""
    values, documents, positions = (
        np.concatenate([part[f"{name}_{kind}"] for part in parts], axis=2)
        for kind in ("values", "documents", "positions")
    )
    k = values.shape[2] // 2
    score = np.where(documents >= 0, values * signs[:, None, None], -np.inf)
    # Best first; of a document's two entries the lower one goes behind everything.
    order = np.lexsort((positions, documents, -score), axis=2)
    ranked = np.take_along_axis(documents, order, axis=2)
    doubled = np.zeros(ranked.shape, dtype=bool)
    for at in range(1, 2 * k):
        doubled[:, :, at] = ((ranked[:, :, :at] == ranked[:, :, at : at + 1]) & (ranked[:, :, at : at + 1] >= 0)).any(2)
    order = np.take_along_axis(order, np.argsort(doubled, axis=2, kind="stable"), axis=2)
    doubled = np.sort(doubled, axis=2)
    order, empty = order[:, :, :k], doubled[:, :, :k]
    shape = list(map_shapes(writer.file)[map_name])
    maps = [open_array(folder, map_name, shape) for folder in folders]
    n = shape[1]
    for start in range(0, n, AT_ONCE):
        part = slice(start, min(start + AT_ONCE, n))
        both = np.concatenate([window_map[:, part] for window_map in maps], axis=2)
        windows = np.take_along_axis(both, order[:, part, :, None], axis=2)
        slots = np.arange(np.prod(shape[:3])).reshape(shape[:3])[:, part]
        writer.log(map_name, slots.ravel(), windows.reshape(-1, windows.shape[3]))
    kept = {
        f"{name}_{kind}": np.take_along_axis(array, order, axis=2)
        for kind, array in (("values", values), ("documents", documents), ("positions", positions))
    }
    kept[f"{name}_documents"][empty] = -1
    return kept


def _documents(writer: IndexWriter, folder: Path, part: dict[str, np.ndarray]) -> None:
    store = open_array(folder, "tokens")
    for number, offset, length in part["documents"].tolist():
        writer.add_document(number, np.array(store[offset : offset + length]))
