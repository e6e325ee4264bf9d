"""The states that a widget's drawing can be in, for the sheets of `test_sheets.py`: few and many, nan, hard text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from workbench.drawing import Line, Style, draw
from workbench.drawing.heatmap import DrawnMap
from workbench.drawing.look import Look
from workbench.views import (
    AnyView,
    Bars,
    Column,
    Heatmap,
    Histogram,
    Level,
    Lines,
    Mark,
    Scatter,
    Series,
    Table,
    TokenRow,
    Tokens,
)

WORDS = [" Paris", " the", "日本", "\n", " un", "believ", "able", "👩\u200d🔬"]


@dataclass(frozen=True)
class State:
    """A drawing with what it shows. `draw(cells, style)` gives its lines."""

    name: str
    draw: Callable[[int, Style], list[Line]]


def _drawn(view: AnyView, lines: int | None, narrower: float, look: Look, cells: int, style: Style) -> list[Line]:
    return draw(view, int(cells * narrower), lines, style, look)


def _state(
    name: str, view: AnyView, lines: int | None = None, narrower: float = 1.0, look: Look | None = None
) -> State:
    return State(name, partial(_drawn, view, lines, narrower, look or Look()))


def _with_cursor(view: Heatmap, lines: int, cell: tuple[int, int], cells: int, style: Style) -> list[Line]:
    return DrawnMap(view, cells, lines, style, Look(cell=cell)).lines(cell)


# --- heat maps -------------------------------------------------------------------------------------------


def _map(values: np.ndarray, signed: bool = False, texts: bool = False) -> Heatmap:
    rows, columns = values.shape
    return Heatmap(
        title="", values=values, signed=signed,
        row_labels=["embed", *(f"L{at}" for at in range(rows - 1))],
        column_labels=[["·The", "·capital", "·of", "日本", "·France"][at % 5] for at in range(columns)],
        row_axis="layer", column_axis="position",
        low_label="less likely" if signed else "unsure", high_label="more likely" if signed else "certain",
        value_label="change of log p, nats" if signed else "probability",
        texts=[[WORDS[(row + at) % len(WORDS)] for at in range(columns)] for row in range(rows)] if texts else None,
    )  # fmt: skip


def _waves(rows: int, columns: int, signed: bool) -> np.ndarray:
    row, column = np.mgrid[0:rows, 0:columns]
    wave = np.sin(row / 3) * np.cos(column / 5 + row / 7)
    return wave * 2 if signed else np.abs(wave)


def heatmaps() -> list[State]:
    holes = _waves(4, 8, signed=True)
    holes[1, 2:5] = np.nan
    holes[2, 6] = np.inf
    return [
        _state("few, with texts", _map(_waves(5, 5, signed=False), texts=True)),
        _state("few, signed", _map(_waves(5, 8, signed=True), signed=True)),
        State("a cursor", partial(_with_cursor, _map(_waves(5, 8, signed=True), signed=True), 9, (2, 3))),
        _state("nan and infinite", _map(holes, signed=True)),
        _state("one value everywhere", _map(np.full((3, 6), 0.25))),
        _state("one cell", _map(np.array([[0.771]]))),
        _state("more rows than lines", _map(_waves(31, 24, signed=False)), lines=14),
        _state("more columns than cells", _map(_waves(6, 200, signed=True), signed=True), lines=10),
        _state("narrow", _map(_waves(6, 12, signed=True), signed=True), lines=10, narrower=0.4),
    ]


# --- text with numbers on it -------------------------------------------------------------------------------


def _tokens(tokens: list[str], *rows: np.ndarray, signed: bool = False, generated_from: int | None = None) -> Tokens:
    return Tokens(
        title="", tokens=tokens, signed=signed, generated_from=generated_from,
        rows=[TokenRow(name=name, values=values) for name, values in zip(("clean", "edited"), rows, strict=False)],
        value_label="activation" if signed else "surprise, nats",
        low_label="off" if signed else "expected", high_label="on" if signed else "surprising",
    )  # fmt: skip


TEXT = [
    "The", " capital", " of", " France", " is", " Paris", ",", " and", " the", " capital", " of", " Japan", " is",
    " 東京", ".", "\n", "It", " was", " un", "believ", "ably", " crowded", " on", " the", " first", " day", " of",
    " spring", ",", " 👩\u200d🔬", " said", ".",
]  # fmt: skip


def token_texts() -> list[State]:
    at = np.arange(len(TEXT))
    surprise = np.where(at == 0, np.nan, 2 + 2 * np.sin(at * 1.7) + (at == 13) * 6)
    signed = np.round(4 * np.sin(at * 0.9), 2)
    long = [" word" if place % 9 else " other\n" for place in range(600)]
    return [
        _state("a prompt and what was generated", _tokens(TEXT, surprise, generated_from=16)),
        _state("clean and edited", _tokens(TEXT, surprise, surprise[::-1].copy())),
        _state("signed", _tokens(TEXT, signed, signed=True)),
        _state("one value everywhere", _tokens(TEXT[:6], np.full(6, 1.5))),
        _state("no number at all", _tokens(TEXT[:6], np.full(6, np.nan))),
        _state("one token", _tokens([" Paris"], np.array([3.2]))),
        _state("long, in few lines", _tokens(long, np.abs(np.sin(np.arange(600) / 40)) ** 8 * 5), lines=10),
        _state("narrow", _tokens(TEXT, surprise), narrower=0.4),
    ]


# --- tables ---------------------------------------------------------------------------------------------------


def _effects(rows: int) -> Table:
    return Table(
        title="",
        columns=[
            Column(key="rank", name="rank", kind="int"),
            Column(key="unit", name="edit", kind="unit"),
            Column(key="token", name="token", kind="token"),
            Column(key="clean", name="clean", kind="probability", quantity="probability"),
            Column(key="edited", name="edited", kind="probability", quantity="probability", edited=True),
            Column(key="change", name="change", kind="signed", quantity="change of log p, nats", gives_way="never"),
            Column(key="se", name="±", kind="number", gives_way="never"),
            Column(key="n", name="n", kind="int", gives_way="early"),
            Column(key="examples", name="an example of it", kind="text", gives_way="early"),
        ],
        rows=[
            [
                at + 1, f"L{at % 30}.N{at * 37 % 1536}", WORDS[at % len(WORDS)], 0.9 / (at + 1), 0.4 / (at + 1),
                (-1) ** at * 3.2 / (at + 1), 0.05 * (at + 1), 64, "the capital of France is Paris, they said",
            ]
            for at in range(rows)
        ],
        note="bars from 0, one scale",
    )  # fmt: skip


def tables() -> list[State]:
    holes = _effects(4)
    holes.rows[1][3:7] = [None, None, math.nan, math.inf]
    few = _effects(8)
    return [
        _state("few rows", _effects(5)),
        _state("missing, nan, infinite", holes),
        _state("its hidden columns", few, look=Look(column_page=1, shows_hidden=">")),
        _state("more rows than lines", _effects(300), lines=9),
        _state("no rows", _effects(0)),
        _state("narrow", _effects(4), narrower=0.5, look=Look(shows_hidden=">")),
    ]


# --- plots ------------------------------------------------------------------------------------------------------


def plots() -> list[State]:
    x = np.arange(31.0)
    clean = np.tanh((x / 31 - 0.6) * 6) * 8
    edges = np.linspace(-3, 5, 41)
    middle = (edges[:-1] + edges[1:]) / 2
    counts = np.round(4000 * np.exp(-((middle) ** 2) / 0.8))
    others = np.round(1500 * np.exp(-((middle - 2) ** 2) / 0.4))
    points = np.linspace(-2, 2, 120)
    return [
        _state(
            "curves with a band and a level",
            Lines(
                title="", x=x, x_label="layer", y_label="logit difference", levels=[Level(y=0.0, label="chance")],
                series=[
                    Series(name="clean", y=clean, low=clean - 1, high=clean + 1),
                    Series(name="edited", y=clean * 0.5 - 2),
                ],
            ),
        ),
        _state(
            "one point",
            Lines(title="", x=np.array([4.0]), series=[Series(name="clean", y=np.array([1.5]))], x_label="layer",
                  y_label="nats"),
        ),
        _state(
            "nan within",
            Lines(title="", x=x, series=[Series(name="clean", y=np.where(x % 9 < 3, np.nan, clean))], x_label="layer",
                  y_label="nats"),
        ),
        _state(
            "two histograms, a mark, the middle of one",
            Histogram(
                title="", edges=edges, series=[Series(name="rest", y=counts), Series(name="upper case", y=others)],
                x_label="projection", marks=[Mark(x=1.2, label="this prompt")], band=(-1.1, 1.2), median=0.0,
            ),
        ),
        _state(
            "points",
            Scatter(
                title="", x=points, y=points * 0.7 + 0.4 * np.sin(points * 40), x_label="estimate", y_label="exact"
            ),
        ),
        _state(
            "bars, clean and edited",
            Bars(
                title="", labels=[f"L{at}.H{at}" for at in range(5)], y_label="logits",
                series=[
                    Series(name="clean", y=np.linspace(-1.5, 3, 5), low=np.linspace(-1.7, 2.8, 5),
                           high=np.linspace(-1.3, 3.2, 5)),
                    Series(name="edited", y=np.linspace(2, -1, 5)),
                ],
            ),
        ),
    ]  # fmt: skip


SHEETS: dict[str, Callable[[], list[State]]] = {
    "heatmap": heatmaps, "tokens": token_texts, "table": tables, "plots": plots,
}  # fmt: skip
