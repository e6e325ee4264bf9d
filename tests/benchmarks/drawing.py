"""Drawing what is large: a text of 2,000 tokens, a table of 1,000 rows, a plot of 600 points, two series and a band.

    python -m tests.benchmarks drawing

Each at 120 cells in 24-bit colours, to the strips that a screen shows; heat maps are in `tests.benchmarks.maps`.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import Results, median
from workbench.drawing import DARK, draw
from workbench.views import AnyView, Column, Lines, Series, Table, TokenRow, Tokens

CELLS, LINES = 120, 30
TIMES = 9
WORDS = (" the", " capital", " of", " France", " is", " Paris", ".", "\n", " 日本", "ing", " under", " 12")


def text() -> Tokens:
    random = np.random.default_rng(0)
    tokens = [WORDS[at] for at in random.integers(0, len(WORDS), 2000)]
    values = random.exponential(1, 2000)
    return Tokens(
        title="a text", tokens=tokens, rows=[TokenRow(name="", values=values)], value_label="surprise, nats",
        low_label="expected", high_label="surprising",
    )  # fmt: skip


def table() -> Table:
    random = np.random.default_rng(0)
    columns = [
        Column(key="unit", name="neuron", kind="unit"),
        Column(key="estimate", name="estimate, log p", kind="signed"),
        Column(key="exact", name="exact, log p", kind="signed"),
        Column(key="left", name="then", kind="probability"),
        Column(key="n", name="n", kind="int"),
    ]
    rows = [[f"L{at % 30}.N{at}", *map(float, random.normal(size=2)), float(random.random()), at] for at in range(1000)]
    return Table(title="a table", columns=columns, rows=rows)


def plot() -> Lines:
    random = np.random.default_rng(0)
    walks = random.normal(size=(2, 600)).cumsum(1)
    series = [Series(name=name, y=walk, low=walk - 2, high=walk + 2) for name, walk in zip("ab", walks, strict=True)]
    series[1] = Series(name="b", y=walks[1])
    return Lines(title="a plot", x=np.arange(600.0), series=series, x_label="position", y_label="KL, nats")


def seconds(view: AnyView, height: int | None) -> float:
    """Median of several, as strips."""
    from rich.console import Console

    from workbench.tui.widgets.view_panel import as_strips

    console, taken = Console(width=CELLS, color_system="truecolor"), []
    as_strips(draw(view, CELLS, height, DARK), console)  # imports
    for _ in range(TIMES):
        start = time.thread_time()
        as_strips(draw(view, CELLS, height, DARK), console)
        taken.append(time.thread_time() - start)
    return median(taken)


def run(results: Results, env: dict[str, str], work: Path) -> None:
    for name, view, height in (
        ("a text of 2,000 tokens", text(), None),
        ("a table of 1,000 rows", table(), 1003),
        ("a plot of 600 points, two series, a band", plot(), LINES),
    ):
        took = seconds(view, height)
        results.add(f"drawing {name}", "< 50 ms", f"{took * 1e3:.0f} ms", took < 0.05)
