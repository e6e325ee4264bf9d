"""Whether a view's parts fit together: session files come from anywhere."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from workbench.views import AnyView, Bars, Heatmap, Histogram, Lines, Scatter, Series, Table, Tokens


def mismatch(view: AnyView) -> str:
    """What does not fit, as half a sentence; empty where all does."""
    if isinstance(view, Lines):
        return _vector("x", view.x) or _series(view.series, len(view.x))
    if isinstance(view, Bars):
        return _series(view.series, len(view.labels))
    if isinstance(view, Histogram):
        return _edges(view.edges) or _series(view.series, len(view.edges) - 1) or _histogram(view)
    if isinstance(view, Scatter):
        return _vector("x", view.x) or _vector("y", view.y, len(view.x))
    if isinstance(view, Heatmap):
        if not _numeric(view.values) or view.values.ndim != 2:
            return "its values are no table of numbers"
        return _extent("a value", view.values)
    if isinstance(view, Tokens):
        return next(filter(None, (_vector(f"row {row.name}", row.values) for row in view.rows)), "")
    if isinstance(view, Table):
        if not view.columns:
            return "it has no columns"
        wrong = next((at for at, row in enumerate(view.rows) if len(row) != len(view.columns)), None)
        return "" if wrong is None else f"row {wrong} has {len(view.rows[wrong])} cells for {len(view.columns)} columns"
    return ""


_LARGEST = 1e150
"""a number that is drawn is not larger"""


def _numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _edges(edges: np.ndarray) -> str:
    problem = _vector("edges", edges)
    if problem:
        return problem
    if len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        return "its edges are not finite numbers that rise"
    return ""


def _histogram(view: Histogram) -> str:
    if not all(np.isfinite(series.y).all() for series in view.series):
        return "its counts are not finite"
    return _extent("a mark", np.array([mark.x for mark in view.marks], float))


def _extent(name: str, array: np.ndarray) -> str:
    """Scales multiply: what is drawn stays where that does not overflow. Infinity and nan are no places."""
    if (np.abs(array[np.isfinite(array)].astype(float)) > _LARGEST).any():
        return f"{name} is beyond {_LARGEST:.0e}"
    return ""


def _vector(name: str, array: np.ndarray, length: int | None = None) -> str:
    if not _numeric(array) or array.ndim != 1:
        return f"{name} is no row of numbers"
    if length is not None and len(array) != length:
        return f"{name} has {len(array)} numbers for {length} points"
    return _extent(name, array)


def _series(curves: Iterable[Series], length: int) -> str:
    for curve in curves:
        for name, values in (
            (curve.name, curve.y),
            (f"{curve.name}, low end", curve.low),
            (f"{curve.name}, high end", curve.high),
        ):
            problem = _vector(name, values, length) if values is not None else ""
            if problem:
                return problem
    return ""
