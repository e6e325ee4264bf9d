"""Do the parts of a view fit each other? What is read from a file is checked before anything draws it."""

from __future__ import annotations

import numpy as np

from workbench.errors import UserError
from workbench.views import (
    AnyView,
    Bars,
    Heatmap,
    Histogram,
    Lines,
    Scatter,
    Series,
    Table,
    Tokens,
)


def check_shapes(view: AnyView) -> None:
    """Raises UserError naming the part that does not fit."""
    match view:
        case Lines():
            points = _length_of(view.x, "x")
            _check_series(view.series, points)
            _check_length(view.x_ticks, points, "x_ticks")
        case Bars():
            _check_length(view.keys or None, len(view.labels), "keys")
            _check_series(view.series, len(view.labels))
        case Histogram():
            edges = _length_of(view.edges, "edges")
            if edges < 2:
                raise UserError("a histogram without bins")
            _check_series(view.series, edges - 1)
        case Heatmap():
            rows, columns = len(view.row_labels), len(view.column_labels)
            if view.values.shape != (rows, columns):
                raise UserError("a heatmap's values do not fit its labels")
            _check_length(view.texts, rows, "texts")
            for texts in view.texts or []:
                _check_length(texts, columns, "texts")
        case Scatter():
            points = _length_of(view.x, "x")
            _check_shape(view.y, points, "y")
            _check_length(view.labels, points, "labels")
        case Table():
            _check_length(view.row_keys or None, len(view.rows), "row_keys")
            for row in view.rows:
                if not isinstance(row, list):
                    raise UserError("a table's row is no list")
                _check_length(row, len(view.columns), "row")
                if not all(cell is None or isinstance(cell, str | int | float) for cell in row):
                    raise UserError("a table's cell is neither text nor number")
        case Tokens():
            _check_length(view.labels or None, len(view.tokens), "labels")
            for colouring in view.rows:
                _check_shape(colouring.values, len(view.tokens), "values")


def _length_of(array: np.ndarray, name: str) -> int:
    if array.ndim != 1:
        raise UserError(f"{name} has {array.ndim} axes where one is expected")
    return int(array.shape[0])


def _check_shape(array: np.ndarray, points: int, name: str) -> None:
    if array.shape != (points,):
        raise UserError(f"{name} has the shape {array.shape} where ({points},) is expected")


def _check_series(series: list[Series], points: int) -> None:
    for item in series:
        _check_shape(item.y, points, "y")
        for bound in (item.low, item.high):
            if bound is not None:
                _check_shape(bound, points, "a bound")


def _check_length(items: list[object] | list[str] | list[list[str]] | None, expected: int, name: str) -> None:
    if items is not None and len(items) != expected:
        raise UserError(f"{name} has {len(items)} entries where {expected} are expected")
