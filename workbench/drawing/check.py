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
        return _vector("edges", view.edges) or _series(view.series, len(view.edges) - 1)
    if isinstance(view, Scatter):
        return _vector("x", view.x) or _vector("y", view.y, len(view.x))
    if isinstance(view, Heatmap):
        if not _numeric(view.values) or view.values.ndim != 2:
            return "its values are no table of numbers"
        return ""
    if isinstance(view, Tokens):
        return next(filter(None, (_vector(f"row {row.name}", row.values) for row in view.rows)), "")
    if isinstance(view, Table):
        if not view.columns:
            return "it has no columns"
        wrong = next((at for at, row in enumerate(view.rows) if len(row) != len(view.columns)), None)
        return "" if wrong is None else f"row {wrong} has {len(view.rows[wrong])} cells for {len(view.columns)} columns"
    return ""


def _numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _vector(name: str, array: np.ndarray, length: int | None = None) -> str:
    if not _numeric(array) or array.ndim != 1:
        return f"{name} is no row of numbers"
    if length is not None and len(array) != length:
        return f"{name} has {len(array)} numbers for {length} points"
    return ""


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
