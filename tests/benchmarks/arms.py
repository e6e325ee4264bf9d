"""What edits cost while the model writes: arms side by side in a batch, against as many rows without edits."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.measure import Results, median

TOKENS = 24
PROMPTS = 5
ROUNDS = 3


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    from workbench.edits import Add, SetTo
    from workbench.lab.continuation import Continuation, Row
    from workbench.lab.finding.source import resolve
    from workbench.lab.generate import continue_all
    from workbench.lab.model import load_lab

    lab = load_lab(resolve("default"))
    direction = "L12.N345.out"
    edits = [[], [SetTo(f"@{direction}", 0.0)], [Add("L14.resid_pre", -1.0, direction)]]
    plans = [lab.plan(stack) for stack in edits]
    prompts = [lab.prompt(f"Tell me {n} things about the sea.", chat=True) for n in range(2, 2 + PROMPTS)]
    seconds: dict[str, list[float]] = {"clean": [], "arms": []}
    for _ in range(ROUNDS):
        for name in seconds:
            rows = [Row(prompt, plan if name == "arms" else plans[0]) for prompt in prompts for plan in plans]
            continuations = [Continuation() for _ in rows]
            start = time.perf_counter()
            tokens = sum(continue_all(lab, rows, continuations, TOKENS, group=len(plans)))
            seconds[name].append((time.perf_counter() - start) / tokens)
    clean, arms = (1 / median(seconds[name]) for name in ("clean", "arms"))
    results.add(
        f"three arms side by side, {PROMPTS} prompts × {TOKENS} tokens",
        "at least .9 of the tokens/s without edits",
        f"{arms / clean:.2f} ({arms:.0f} and {clean:.0f} tokens/s)",
        arms >= 0.9 * clean,
    )
