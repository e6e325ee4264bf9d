"""What busy neighbours on the same cores cost the model process, and what its settings cost alone."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.measure import Results, median
from workbench.worker.cores import PASSIVE_WAIT

SECONDS, ROUNDS = 2.0, 8
CHILD = """
import os, sys, time
import torch
from workbench.lab.finding.source import resolve
from workbench.lab.model import load_lab
from workbench.worker.cores import use_batch_scheduling
from workbench.worker.engine import limit_threads

if sys.argv[1] != "plain":
    limit_threads()
    use_batch_scheduling()
hf = load_lab(resolve("default"), "cpu").model.hf
ids = torch.randint(0, 40000, (2, 256), generator=torch.Generator().manual_seed(0))

def forward():
    with torch.inference_mode():
        hf(input_ids=ids, use_cache=False)

forward()
print("ready", flush=True)
for line in sys.stdin:
    start, tokens = time.perf_counter(), 0
    while not tokens or time.perf_counter() - start < float(line):
        forward()
        tokens += ids.numel()
    print(tokens / (time.perf_counter() - start), flush=True)
"""
KINDS = {
    "ours": PASSIVE_WAIT,
    "plain": {},
    "one thread": {**PASSIVE_WAIT, "OMP_NUM_THREADS": "1"},
}


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    with ExitStack() as running:
        children = {}
        for kind, settings in KINDS.items():
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, kind],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**clean, **env, **settings},
            )  # fmt: skip
            running.callback(child.wait)
            running.callback(child.kill)
            children[kind] = child
        for child in children.values():
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
        rates = {busy: _rates(children, busy) for busy in (0, 1, 2)}
    alone = _ratio(rates[0], "ours", "plain")
    results.add(
        f"the model process' settings alone, 2 × 256 tokens, {ROUNDS} interleaved rounds",
        "≥ .97 × torch's own settings",
        f"{alone:.2f} × ({median(rates[0]['ours']):.0f} against {median(rates[0]['plain']):.0f} tokens/s)",
        alone >= 0.97,
    )
    kept = median(rates[1]["ours"]) / median(rates[0]["ours"])
    threads = _ratio(rates[1], "ours", "one thread")
    beside, plain = median(rates[1]["ours"]), median(rates[1]["plain"])
    results.add(
        "the same beside one busy process",
        "≥ .35 × alone, ≥ 1 × one thread there",
        f"{kept:.2f} × and {threads:.2f} × ({beside:.0f} tokens/s; torch's own settings: {plain:.0f})",
        kept >= 0.35 and round(threads, 2) >= 1,
    )
    better = _ratio(rates[2], "ours", "plain")
    results.add(
        "the same beside two busy processes",
        "≥ 1 × torch's own settings",
        f"{better:.2f} × ({median(rates[2]['ours']):.0f} against {median(rates[2]['plain']):.0f} tokens/s)",
        better >= 1,
    )


def _ratio(rates: dict[str, list[float]], numerator: str, denominator: str) -> float:
    """Median over the rounds, in each of which both ran."""
    return median([a / b for a, b in zip(rates[numerator], rates[denominator], strict=True)])


def _rates(children: dict[str, subprocess.Popen[str]], busy: int) -> dict[str, list[float]]:
    """Tokens a second of each kind in each round, beside so many processes that do nothing but compute."""
    measured: dict[str, list[float]] = {kind: [] for kind in children}
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        for _ in range(ROUNDS):
            for kind, child in children.items():
                assert child.stdin
                assert child.stdout
                print(SECONDS, file=child.stdin, flush=True)
                measured[kind].append(float(child.stdout.readline()))
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
    return measured
