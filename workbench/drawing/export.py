"""Views as files: CSV for spreadsheets, plain text as drawn. JSON is `views.to_builtins`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.drawing.style import DARK
from workbench.drawing.view import draw
from workbench.views import AnyView, Bars, Heatmap, Histogram, Lines, Scalars, Scatter, Table, Text, Tokens


def export_text(view: AnyView, width: int = 100, ascii: bool = False) -> str:
    """The view as it is drawn, without colour."""
    style = replace(DARK, color=False, ascii=ascii)
    return "\n".join(line.plain.rstrip() for line in draw(view, width, style=style)) + "\n"


def export_csv(view: AnyView) -> str:
    """The view's data, whole and unrounded: a header, then one record a row, point, bar, bin, cell or token.

    Missing numbers are empty. Text that a spreadsheet would run as a formula gets a `'` in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for record in _records(view):
        writer.writerow([_cell(value) for value in record])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def _records(view: AnyView) -> Iterator[Iterable[Any]]:
    if isinstance(view, Table):
        yield [column.name for column in view.columns]
        yield from view.rows
    elif isinstance(view, Scalars):
        yield ["name", "value", "edited", "unit", "se", "n"]
        yield from ([s.name, s.value, s.edited, s.unit, s.se, s.n] for s in view.items)
    elif isinstance(view, Tokens):
        label = ["label"] if view.labels else []
        yield ["position", "token", *(row.name or view.value_label for row in view.rows), *label]
        for at, token in enumerate(view.tokens):
            values = (row.values[at] if at < len(row.values) else None for row in view.rows)
            yield [at, token, *values, *view.labels[at : at + 1]]
    elif isinstance(view, Text):
        yield ["text"]
        yield [view.text]
    elif isinstance(view, Heatmap):
        yield [view.row_axis, *view.column_labels]
        for at, row in enumerate(view.values):
            yield [view.row_labels[at] if at < len(view.row_labels) else at, *row]
    elif isinstance(view, Scatter):
        yield ["label", view.x_label, view.y_label]
        labels = view.labels or []
        for at, (x, y) in enumerate(zip(view.x, view.y, strict=True)):
            yield [labels[at] if at < len(labels) else "", x, y]
    else:
        yield from _series(view)


def _series(view: Lines | Bars | Histogram) -> Iterator[Iterable[Any]]:
    head: list[str]
    keys: list[list[Any]]
    if isinstance(view, Lines):
        head, keys = [view.x_label], [[x] for x in view.x]
        if view.x_ticks:
            head, keys = [*head, "name"], [[*key, name] for key, name in zip(keys, view.x_ticks, strict=False)]
    elif isinstance(view, Bars):
        head, keys = ["label"], [[label] for label in view.labels]
    else:
        head, keys = ["from", "to"], [[a, b] for a, b in zip(view.edges[:-1], view.edges[1:], strict=True)]
    columns: list[np.ndarray] = []
    for series in view.series:
        parts = (("", series.y), (" low", series.low), (" high", series.high))
        for ending, part in parts:
            if part is not None:
                head.append((series.name or "y") + ending)
                columns.append(part)
    yield head
    for at, key in enumerate(keys):
        yield [*key, *(column[at] for column in columns)]
