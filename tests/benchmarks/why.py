"""What `why` costs against the passes it needs, and exact ablation against a loop of whole passes.

Ratios are of the processor's seconds (what else runs on the machine takes none of them); waits are of the clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.benchmarks.measure import Results, median
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab import attribution, dla, study
from workbench.lab.continuation import Continuation, Row
from workbench.lab.controls import off_controls
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.finding.source import resolve
from workbench.lab.generate import continue_all, generate
from workbench.lab.metric import Metric
from workbench.lab.model import Lab, load_lab
from workbench.lab.passes import Passed
from workbench.lab.study import study as new_study
from workbench.lab.trace import Trace, run_from
from workbench.report import Report
from workbench.units import Neuron

PROMPT, ANSWER = "The capital of France is", " Paris"
LONGER = "When Mary and John went to the store, John gave a drink to"
SAMPLE = 96
"""neurons that are switched off both ways"""
GENERATED = 24
SEED = 0
TOGETHER = 16
"""rows that are generated at once"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    lab = load_lab(resolve("default"))
    off_controls([Neuron(0, 0)], lab.model, 1, 1, SEED)  # measured once for a model, and kept
    _why(lab, results)
    _ablation(lab, results)
    _generation(lab, results)


class _Clock:
    """A report's sink that notes when things were first there."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.at: dict[str, float] = {}

    def changed(self, report: Report) -> None:
        if "neurons" in report.views:
            self.at.setdefault("table", time.perf_counter() - self.start)
        if report.scalars.get("controls") == 64:
            self.at.setdefault("sentence", time.perf_counter() - self.start)

    streamed = between_batches = changed


@contextmanager
def _passes(kept: list[tuple[Trace, int, int, bool]]) -> Iterator[None]:
    """Notes every pass: the trace, the block it starts at, its rows, and whether gradients were taken."""

    def noted(model: Any, trace: Trace, layer: int, plans: Sequence[Plan] = (CLEAN,), **how: Any) -> Passed:
        kept.append((trace, layer, len(plans), "gradients" in how))
        return run_from(model, trace, layer, plans, **how)

    modules = [attribution, dla, study]
    for module in modules:
        module.run_from = noted
    try:
        yield
    finally:
        for module in modules:
            module.run_from = run_from


def _bare(lab: Lab, trace: Trace, layer: int, rows: int, gradients: bool) -> None:
    """The same pass and nothing around it: no hooks, no edits, no metrics."""
    plans = [CLEAN] * rows
    if gradients:
        with torch.enable_grad():
            stream = trace.starts[layer].stream.expand(rows, -1, -1).clone().requires_grad_()
            passed = run_from(lab.model, trace, layer, plans, stream=stream, gradients=torch.enable_grad)
            passed.last.logsumexp(-1).sum().backward()
    else:
        run_from(lab.model, trace, layer, plans)


def _why(lab: Lab, results: Results) -> None:
    params = {"prompt": PROMPT, "answer": ANSWER}
    execute(lab, "why", {**params, "n": 20, "controls": 4, "unrelated": 0}, [], SEED, Report(_Clock()))
    kept: list[tuple[Trace, int, int, bool]] = []
    clock = _Clock()
    report = Report(clock)
    began = time.process_time()
    with _passes(kept):
        execute(lab, "why", params, [], SEED, report)
    whole = time.process_time() - began
    began = time.process_time()
    for measured in kept:
        _bare(lab, *measured)
    bare = time.process_time() - began
    results.add("why: first table", "< 5 s", f"{clock.at['table']:.1f} s", clock.at["table"] < 5)
    results.add("why: sentence with 64 controls", "< 60 s", f"{clock.at['sentence']:.1f} s", clock.at["sentence"] < 60)
    rows = sum(rows for _, _, rows, _ in kept)
    results.add(
        f"why against its {len(kept)} passes of {rows:,} rows alone",
        "≤ 1.2",
        f"{whole / bare:.2f} ({whole:.0f} s of processor)",
        whole / bare <= 1.2,
    )


def _ablation(lab: Lab, results: Results) -> None:
    random = np.random.default_rng(SEED)
    units = [
        Neuron(int(layer), int(index))
        for layer, index in zip(
            random.integers(0, lab.info.n_layers, SAMPLE), random.integers(0, lab.info.d_mlp, SAMPLE), strict=True
        )
    ]
    units.sort()
    prompt = lab.prompt(PROMPT)
    ids = torch.from_numpy(prompt.ids)[None]
    metric = Metric("log-prob", lab.answer_token(ANSWER).id)
    bridge = lab.model.bridge
    loop = np.zeros(SAMPLE)
    began = time.process_time()
    with torch.inference_mode():
        for at, unit in enumerate(units):

            def off(activation: torch.Tensor, hook: Any, index: int = unit.index) -> torch.Tensor:
                activation[:, 1:, index] = 0
                return activation

            logits = bridge.run_with_hooks(ids, fwd_hooks=[(f"blocks.{unit.layer}.mlp.hook_post", off)])
            loop[at] = float(logits[0, -1].log_softmax(-1)[metric.answer])
    slow = time.process_time() - began
    began = time.process_time()
    traced = new_study(lab, prompt)
    effects = np.zeros(SAMPLE)
    for batch in traced.run([traced.off([unit]) for unit in units]):
        effects[batch.indices] = batch.value(metric)
    fast = time.process_time() - began
    apart = float(np.abs(effects - loop).max())
    results.add(
        f"exact ablation of {SAMPLE} neurons against a run_with_hooks loop",
        "≥ 5 times, equal to 1e-3",
        f"{slow / fast:.1f} times, apart by {apart:.1e}",
        slow / fast >= 5 and apart < 1e-3,
    )


def _generation(lab: Lab, results: Results) -> None:
    prompt = lab.prompt(PROMPT)
    edits = parse_edits(["L9.N200[1-]*=.99; L20.N7[generated]*=.99; L12.H3*=.99"], lab.info)
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(5):
        for edited in (False, True):
            tokens = generate(lab, prompt, edits if edited else ())
            next(tokens)
            began = time.process_time()
            for _ in range(GENERATED):
                next(tokens)
            rates[edited].append(GENERATED / (time.process_time() - began))
    ratio = median(rates[True]) / median(rates[False])
    results.add("edited generation against unedited, tokens/s", "≥ .9", f"{ratio:.2f}", ratio >= 0.9)
    plans = {False: lab.plan(()), True: lab.plan(edits)}
    together: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(3):
        for edited in (False, True):
            rows = [Row(lab.prompt(PROMPT if at % 2 else LONGER), plans[edited]) for at in range(TOGETHER)]
            began = time.process_time()
            tokens_come = sum(continue_all(lab, rows, [Continuation() for _ in rows], GENERATED))
            together[edited].append(tokens_come / (time.process_time() - began))
    ratio = median(together[True]) / median(together[False])
    name = f"the same, {TOGETHER} prompts of two lengths at once"
    results.add(name, "≥ .9", f"{ratio:.2f}", ratio >= 0.9)
    gain = median(together[False]) / median(rates[False])
    results.add(f"{TOGETHER} prompts at once against one by one, tokens/s", "> 1", f"{gain:.1f} times", gain > 1)
