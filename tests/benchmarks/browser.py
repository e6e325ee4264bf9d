"""The neuron browser over 500,000 synthetic neurons: opening, sorting, filtering; keys in a 120×40 pty.

    python -m tests.benchmarks.browser [--folder DIR] [--keys 100]

The index is made in a temporary folder (about .7 GB; DIR keeps it). Prints goal, measured, passed; exits 1 on a miss.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import Pty, Results, machine, median, percentile

LAYERS, D_MLP = 32, 15_625
FILTER = "layer 4-28 vr>=.2 positive<60%"
BROWSER = """
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp
raise SystemExit(WorkbenchApp(None, None, Settings()).run())
"""
F6 = "\x1b[17~"


def best_of(work: Callable[[], object], times: int = 5) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def make_index(root: Path) -> Path:
    from tests.index.synthetic import make

    folder = root / "indexes"
    existing = sorted(folder.glob("synthetic-*")) if folder.is_dir() else []
    if existing:
        return existing[0]
    print(f"making {LAYERS * D_MLP:,} neurons in {folder} …", flush=True)
    return make(folder, LAYERS, D_MLP)


def in_process(folder: Path, results: Results) -> None:
    from workbench.index.reader import NeuronIndex
    from workbench.tui.screens.neurons.browse import Browse

    def open_it() -> Browse:
        browse = Browse()
        browse.open(NeuronIndex.open(folder))
        return browse

    browse = open_it()
    took = best_of(open_it)
    results.add("opening the index", "< 300 ms", f"{took * 1e3:.0f} ms", took < 0.3)

    columns = ["vr", "kurtosis", "w_out", "best", "mean"]
    slowest = 0.0
    for column in columns:
        for descending in (True, False):
            start = time.perf_counter()
            browse.sort(column, descending)
            slowest = max(slowest, time.perf_counter() - start)
    results.add(f"sorting (slowest of {2 * len(columns)} orders)", "< 200 ms", f"{slowest * 1e3:.0f} ms", slowest < 0.2)

    took = best_of(lambda: browse.filter(FILTER))
    words = f"{took * 1e3:.0f} ms, {len(browse.ids):,} pass"
    results.add(f"filter {FILTER!r}", "< 100 ms", words, took < 0.1)
    took = best_of(lambda: browse.filter("fires:' May',' January'>=.25 layer 4-28"))
    results.add("filter by what it fires on", "< 300 ms", f"{took * 1e3:.0f} ms", took < 0.3)

    browse.filter("")
    cards = []
    for neuron in range(0, 100_000, 1000):
        start = time.perf_counter()
        assert browse.index is not None
        browse.index.card(*divmod(neuron, D_MLP))
        cards.append(time.perf_counter() - start)
    p95 = percentile(cards, 95)
    results.add("reading a card, p95", "< 15 ms", f"{p95 * 1e3:.1f} ms", p95 < 0.015)


def keys(pty: Pty, key: str, times: int, warm: int = 5) -> tuple[list[float], list[int]]:
    seconds, sizes = [], []
    for at in range(times + warm):
        took, received = pty.repaint(key)
        pty.settle(0.15)
        if at >= warm:
            seconds.append(took)
            sizes.append(received)
    return seconds, sizes


def in_terminal(cache: Path, results: Results, n: int) -> None:
    with tempfile.TemporaryDirectory(prefix="wb-") as scratch:
        env = {
            "WORKBENCH_CACHE": str(cache),
            "WORKBENCH_DATA": scratch,
            "WORKBENCH_CONFIG": f"{scratch}/settings.toml",
            "PYTHONPATH": os.getcwd(),
        }
        pty = Pty([sys.executable, "-c", BROWSER], env=env)
        try:
            pty.wait_for("Timeline")
            pty.settle(0.3)
            start = time.perf_counter() - pty.started
            pty.send(F6)
            took = pty.wait_for("L0.N3 ") - start
            results.add("the screen, key to its first rows", "< 600 ms", f"{took * 1e3:.0f} ms", took < 0.6)
            pty.wait_for("top examples")
            pty.settle(0.3)
            # The cursor stays within the page: down and up again in turns.
            page = 25
            for closed, most in ((False, 16_000), (True, 4_000)):
                if closed:
                    pty.send("C")
                    pty.settle(0.3)
                seconds: list[float] = []
                sizes: list[int] = []
                while len(seconds) < n:
                    for key in ("j", "k"):
                        took_s, size = keys(pty, key, page, warm=0)
                        seconds += took_s
                        sizes += size
                what = "card closed" if closed else "card open"
                p95, largest = percentile(seconds, 95), max(sizes)
                goal = f"≤ {most / 1000:g} KB a key"
                results.add(
                    f"key to repaint, {what}, p95 of {len(seconds)}", "< 50 ms", f"{p95 * 1e3:.0f} ms", p95 < 0.05
                )
                measured = f"largest {largest / 1000:.1f} KB, median {median(sizes) / 1000:.1f} KB"
                results.add(f"bytes, {what}", goal, measured, largest <= most)
            pty.send("C")
            pty.settle(0.3)
            held = 60
            start = time.perf_counter()
            for _ in range(held):
                pty.send("j")
                pty._read(1 / 30)
            sent = time.perf_counter()
            pty.settle(0.2)
            lag = max(0.0, pty.read_at - sent)
            done = f"L0.N{held} " in next(line for line in pty.screen.display if "▌" in line)
            results.add(
                f"{held} keys at 30/s: still painting after the last",
                "< 250 ms",
                f"{lag * 1e3:.0f} ms",
                done and lag < 0.25,
            )
        finally:
            pty.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keys", type=int, default=100)
    arguments = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory(prefix="wb-browser-") as scratch:
        cache = arguments.folder or Path(scratch)
        folder = make_index(cache)
        print(machine())
        in_process(folder, results)
        in_terminal(cache, results, arguments.keys)
    print(results.markdown())
    return 0 if all(passed for *_, passed in results.rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
