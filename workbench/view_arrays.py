"""Views as NumPy arrays under names that say what they are: `title.part`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from workbench.views import AnyView, Bars, Heatmap, Histogram, Lines, Scalars, Scatter, Series, Table, Text, Tokens


def view_arrays(views: Iterable[AnyView]) -> dict[str, np.ndarray]:
    """Every number and text of the views; texts as arrays of strings, nothing as nan."""
    arrays: dict[str, np.ndarray] = {}
    for view in views:
        for part, array in _parts(view).items():
            arrays[_free(f"{_slug(view.title)}.{part}", arrays)] = array
    return arrays


def _parts(view: AnyView) -> dict[str, np.ndarray]:
    if isinstance(view, Lines):
        ticks = {"x_ticks": _strings(view.x_ticks)} if view.x_ticks else {}
        return {"x": view.x, **ticks, **_series(view.series)}
    if isinstance(view, Bars):
        return {"labels": _strings(view.labels), **_series(view.series)}
    if isinstance(view, Histogram):
        return {"edges": view.edges, **_series(view.series)}
    if isinstance(view, Heatmap):
        texts = {"texts": np.array(view.texts, dtype=np.str_)} if view.texts else {}
        labels = {"row_labels": _strings(view.row_labels), "column_labels": _strings(view.column_labels)}
        return {"values": view.values, **labels, **texts}
    if isinstance(view, Scatter):
        return {"x": view.x, "y": view.y, **({"labels": _strings(view.labels)} if view.labels else {})}
    if isinstance(view, Tokens):
        labels = {"labels": _strings(view.labels)} if view.labels else {}
        values = {_slug(row.name) or "values": row.values for row in view.rows}
        return {"tokens": _strings(view.tokens), **labels, **values}
    if isinstance(view, Table):
        return {_slug(column.name): _column([row[at] for row in view.rows]) for at, column in enumerate(view.columns)}
    if isinstance(view, Scalars):
        numbers = {_slug(item.name): _column([item.value]) for item in view.items}
        changed = [item for item in view.items if item.edited is not None]
        edited = {f"{_slug(item.name)}.edited": _column([item.edited]) for item in changed}
        return {**numbers, **edited}
    assert isinstance(view, Text)
    return {"text": _strings([view.text])}


def _series(curves: list[Series]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for curve in curves:
        name = _slug(curve.name) or "y"
        for ending, values in (("", curve.y), (".low", curve.low), (".high", curve.high)):
            if values is not None:
                arrays[name + ending] = values
    return arrays


def _strings(texts: list[str]) -> np.ndarray:
    return np.array(texts, dtype=np.str_)


def _column(values: list[object]) -> np.ndarray:
    """Numbers as numbers, with nan for none; anything else as strings."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        if all(isinstance(value, int) for value in values) and values:
            return np.array(values)
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)


def _slug(text: str) -> str:
    return re.sub(r"[^\w]+", "_", text, flags=re.ASCII).strip("_").lower()


def _free(name: str, taken: dict[str, np.ndarray]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
