"""Views: typed results that can be drawn, stored and exported. Plain data and numpy arrays.

Axes are named in each field's docstring. `tag` is the kind as stored and as printed by `--json`.
A view knows nothing of screens; `workbench.drawing` draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np


class View(msgspec.Struct, kw_only=True, tag_field="kind", tag=str.lower):
    """What all views have. `note` is one line under it: n, the baseline, what is compared."""

    title: str
    note: str = ""
    tokenization: str = ""
    """of a view of one prompt: how that was split, `6 tokens (no BOS)`"""


class Series(msgspec.Struct, kw_only=True):
    """One named curve or group of bars over a view's shared axis."""

    name: str
    y: np.ndarray
    """[point]"""
    low: np.ndarray | None = None
    """[point], lower end of a band or error bar"""
    high: np.ndarray | None = None
    """[point]"""


class Level(msgspec.Struct, kw_only=True):
    """A labelled value that curves are compared with: chance, a baseline."""

    y: float
    label: str


class Lines(View, kw_only=True):
    x: np.ndarray
    """[point]"""
    series: list[Series]
    x_label: str
    y_label: str
    x_ticks: list[str] | None = None
    """[point], names of the points where they have names (tokens)"""
    log_y: bool = False
    """`y` is drawn on a logarithmic scale; values of 0 and below have no place on it"""
    levels: list[Level] = []


class Bars(View, kw_only=True):
    labels: list[str]
    """[bar]"""
    keys: list[str] = []
    """[bar], what programs read bars by, where they differ in meaning"""
    series: list[Series]
    """clean beside edited: one series each, `y` [bar]"""
    y_label: str


class Mark(msgspec.Struct, kw_only=True):
    """A labelled place on a histogram's axis."""

    x: float
    label: str
    """what is there; drawn with its number"""


class Histogram(View, kw_only=True):
    edges: np.ndarray
    """[bin + 1]"""
    series: list[Series]
    """`y` [bin] counts"""
    x_label: str
    log_counts: bool = False
    log_x: bool = False
    """`edges` (all above 0) are drawn on a logarithmic scale"""
    marks: list[Mark] = []
    band: tuple[float, float] | None = None
    """where the middle of what is counted lies: its 5th and 95th percentile, from the values themselves"""
    median: float | None = None


class Heatmap(View, kw_only=True):
    values: np.ndarray
    """[row, column]; the first row is drawn at the bottom if `first_row_low`"""
    row_labels: list[str]
    column_labels: list[str]
    row_axis: str
    column_axis: str
    low_label: str
    """what small (or negative) values mean"""
    high_label: str
    value_label: str = ""
    """what the values are, with their unit: `probability`, `change of log p, nats`"""
    texts: list[list[str]] | None = None
    """[row][column], shown in the cells (a logit lens' top tokens)"""
    signed: bool = False
    """the scale is centred on zero"""
    first_row_low: bool = True


class Scatter(View, kw_only=True):
    x: np.ndarray
    """[point]"""
    y: np.ndarray
    """[point]"""
    labels: list[str] | None = None
    """[point]"""
    x_label: str
    y_label: str


class Column(msgspec.Struct, kw_only=True):
    """A table's column.

    Kinds: text, token, unit, prompt, position, int, number, probability, logprob, signed. What a row stands for follows
    from the kinds of its columns; programs read cells by `key`.
    """

    key: str = ""
    """ascii snake_case, unlike any other of the table; empty in sessions of before there were keys"""
    name: str
    """the heading, for people"""
    kind: str = "text"
    help: str = ""
    quantity: str = ""
    """what its numbers are, with the unit, as an axis would say it"""
    edited: bool = False
    """under the edits; a column of the same kind beside it is without them"""
    gives_way: Literal["", "never", "late", "early"] = ""
    """to others, where there is no room for all: edited values, effects and their ± never do; empty: as its kind
    suggests (in sessions of before there was a choice, too)"""


class Table(View, kw_only=True):
    columns: list[Column]
    rows: list[list[Any]]
    """[row][column]: str, int, float or None; the order means something"""
    row_keys: list[str] = []
    """[row], what programs know rows by, where they differ in meaning"""

    def column(self, key: str) -> Column | None:
        """The column with this key."""
        return next((column for column in self.columns if key and column.key == key), None)

    def cells(self, key: str) -> list[Any]:
        """The cells of the column with this key [row]; empty without such a column."""
        at = next((at for at, column in enumerate(self.columns) if key and column.key == key), None)
        return [] if at is None else [row[at] for row in self.rows]

    def records(self) -> list[dict[str, Any]]:
        """Every row's cells by the keys of their columns; columns without a key are left out."""
        keys = [column.key for column in self.columns]
        return [{key: cell for key, cell in zip(keys, row, strict=False) if key} for row in self.rows]


class TokenRow(msgspec.Struct, kw_only=True):
    """One colouring of the tokens, for example `clean` or `L3.N7`."""

    name: str
    values: np.ndarray
    """[token]; nan where there is none (no surprise at the first token)"""


class Tokens(View, kw_only=True):
    tokens: list[str]
    """[token], as the tokenizer decodes each"""
    rows: list[TokenRow]
    value_label: str
    """what is shown, with its unit: `surprise, nats`"""
    low_label: str
    high_label: str
    signed: bool = False
    labels: list[str] = []
    """[token], what kind each is (who wrote it, a class); empty where there are none"""
    generated_from: int | None = None
    """position of the first token that the model generated, after the prompt's"""
    differs_at: int | None = None
    """position of the first token unlike the one of the text it is compared with (clean and edited)"""


class Text(View, kw_only=True):
    text: str


class Scalar(msgspec.Struct, kw_only=True):
    """A number with what is needed to read it."""

    name: str
    value: float | None
    unit: str = ""
    se: float | None = None
    """standard error, clustered by document or prompt"""
    n: int | None = None
    edited: float | None = None
    """the same under the edits"""
    help: str = ""


class Scalars(View, kw_only=True):
    items: list[Scalar]


AnyView = Lines | Bars | Histogram | Heatmap | Scatter | Table | Tokens | Text | Scalars

ArrayStore = Callable[[np.ndarray], Any]
"""Takes an array, returns what stands for it in the encoded view (a dict)."""
ArrayLoad = Callable[[dict[str, Any]], np.ndarray]


def view_kind(view: AnyView) -> str:
    return type(view).__name__.lower()


def to_builtins(view: Any, store: ArrayStore | None = None) -> Any:
    """A view (or any struct) as dicts, lists, strings and numbers; arrays through `store`, else as nested lists."""

    def encode(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return store(value) if store else value.tolist()
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} has no place in a view")

    return msgspec.to_builtins(view, enc_hook=encode)


def from_builtins(data: Any, load: ArrayLoad | None = None, as_type: Any = AnyView) -> Any:
    """The reverse of `to_builtins`. Raises msgspec.ValidationError for data that is no view."""

    def decode(kind: Any, value: Any) -> Any:
        if kind is np.ndarray:
            if isinstance(value, np.ndarray):
                return value
            if isinstance(value, list):
                return np.asarray([np.nan if item is None else item for item in value])
            if isinstance(value, dict) and load:
                return load(value)
            raise ValueError("an array is expected here")
        raise TypeError(f"unexpected type {kind}")

    return msgspec.convert(data, as_type, dec_hook=decode)
