"""Heat maps: drawing one of 30 × 200 cells, and a key of the cursor in it, in a 120×40 pty with 24-bit colours.

    python -m tests.benchmarks.maps

Prints goal, measured, passed; exits 1 on a miss.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.measure import Pty, Results, machine, median, percentile
from workbench.drawing.heatmap import DrawnMap
from workbench.drawing.style import DARK
from workbench.session.writer import SessionWriter
from workbench.tui.widgets.view_panel import as_strips
from workbench.views import Heatmap

REPLAY = """
import sys
from pathlib import Path
from workbench.tui.entry import run_replay
raise SystemExit(run_replay(Path(sys.argv[1])))
"""
DOWN, UP, RIGHT, LEFT = "\x1b[B", "\x1b[A", "\x1b[C", "\x1b[D"


def make_map(rows: int, columns: int) -> Heatmap:
    return Heatmap(
        title="a map", values=np.random.default_rng(0).normal(size=(rows, columns)),
        row_labels=[f"L{at}" for at in range(rows)], column_labels=[f"' t{at}'" for at in range(columns)],
        row_axis="layer", column_axis="position", low_label="less likely", high_label="more likely", signed=True,
    )  # fmt: skip


def drawing(results: Results) -> None:
    from rich.console import Console

    view, console = make_map(30, 200), Console(width=240, color_system="truecolor")
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        as_strips(DrawnMap(view, 240, None, DARK).lines(None), console)
        seconds.append(time.perf_counter() - start)
    took = median(seconds)
    results.add("drawing 30 × 200 cells", "< 50 ms", f"{took * 1e3:.0f} ms", took < 0.05)


def keys(results: Results, folder: Path, view: Heatmap, what: str) -> None:
    path = folder / f"{view.values.shape[1]}.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("dla", {"prompt": "a b"})
        writer.publish(step, headline="a map", views={"heads": view})
        writer.finish(step, "done")
    env = {"WORKBENCH_DATA": str(folder), "WORKBENCH_CONFIG": f"{folder}/settings.toml", "PYTHONPATH": os.getcwd()}
    pty = Pty([sys.executable, "-c", REPLAY, str(path)], env=env)
    try:
        pty.wait_for(" L1")
        pty.settle(0.5)
        pty.send("\r")
        pty.settle(0.5)
        pty.send("\r")
        pty.wait_for("farthest from 0 of")
        pty.settle(0.5)
        pty.send("\x1b[F")  # the row's last cell, which is shown
        pty.settle(0.5)
        seconds: list[float] = []
        sizes: list[int] = []
        for key in [*(LEFT, UP, RIGHT, DOWN) * 10, *(LEFT,) * 10]:
            took, size = pty.repaint(key)
            pty.settle(0.15)
            seconds.append(took)
            sizes.append(size)
    finally:
        pty.close()
    p95 = percentile(seconds, 95)
    results.add(f"a key in {what}, p95 of {len(seconds)}", "< 50 ms", f"{p95 * 1e3:.0f} ms", p95 < 0.05)
    measured = f"largest {max(sizes) / 1000:.1f} KB, median {median(sizes) / 1000:.1f} KB"
    results.add(f"bytes, {what}", "≤ 4 KB a key", measured, max(sizes) <= 4000)


def main() -> int:
    results = Results()
    print(machine())
    drawing(results)
    with tempfile.TemporaryDirectory(prefix="wb-maps-") as folder:
        keys(results, Path(folder), make_map(30, 200), "30 × 200 cells")
        keys(results, Path(folder), make_map(20, 12), "20 × 12 cells with values")
    print(results.markdown())
    return 0 if all(passed for *_, passed in results.rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
