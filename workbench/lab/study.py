"""One prompt under the microscope: what its parts do to what comes next. Plain data and numpy outside.

A study is made of a traced prompt (`trace.py`): edits of it run in batches from the first block that they change.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from workbench.edits import Positions
from workbench.lab import metrics
from workbench.lab.attribution import Attribution, attribute, first_counted, value
from workbench.lab.batches import is_out_of_memory
from workbench.lab.dla import Parts, direct
from workbench.lab.editing import CLEAN, Change, Plan, switched_off
from workbench.lab.loaded import Model
from workbench.lab.metric import Metric
from workbench.lab.prompts import Prompt
from workbench.lab.trace import Trace, batches_by_layer, run_from, trace_prompt
from workbench.report import Report
from workbench.units import Head, Neuron, Site

TOKENS_PER_BATCH = {"cpu": 640}
"""tokens of a batch that takes about a second or less; others than the CPU take OTHERS"""
OTHERS = 16384


@dataclass(frozen=True)
class Results:
    """The last position of one batch of plans."""

    indices: np.ndarray
    """int64 [row]: which of the plans these are"""
    logits: torch.Tensor
    """[row, vocabulary]"""
    clean: torch.Tensor
    """[vocabulary]"""

    def value(self, metric: Metric) -> np.ndarray:
        """float64 [row]"""
        with torch.inference_mode():
            return np.asarray(value(metric, self.logits).double().cpu().numpy())

    def kl(self) -> np.ndarray:
        """KL(study's own ‖ edited) of the next token, nats, float64 [row]."""
        with torch.inference_mode():
            return np.asarray(metrics.kl(self.clean.expand_as(self.logits), self.logits).cpu().numpy())


class Study:
    """A prompt under the edits of its job, and what further edits, gradients and patches say of it."""

    def __init__(self, model: Model, prompt: Prompt, plan: Plan = CLEAN, report: Report | None = None) -> None:
        self._model = model
        self._report = report
        self._trace: Trace = trace_prompt(model, prompt, plan)
        self.prompt = prompt
        self.first = first_counted(len(prompt))
        """the first position that counts: 0 only where there is no other"""
        self._tokens = TOKENS_PER_BATCH.get(model.info.device, OTHERS)

    # --- the study's own numbers ---------------------------------------------------------------

    def value(self, metric: Metric) -> float:
        return float(Results(np.zeros(1, np.int64), self._trace.last[None], self._trace.last).value(metric)[0])

    def log_prob(self, token: int) -> float:
        """Nats."""
        return self.value(Metric("log-prob", token))

    @cached_property
    def ranking(self) -> np.ndarray:
        """Every token, likeliest first, int64 [vocabulary]."""
        return np.asarray(self._trace.last.argsort(descending=True).cpu().numpy())

    @property
    def rows(self) -> int:
        """How many copies of the prompt make a batch."""
        return max(1, self._tokens // len(self.prompt))

    # --- edits ------------------------------------------------------------------------------------

    def off(self, units: Sequence[Neuron | Head]) -> Plan:
        """Neurons and heads switched off at every position that counts."""
        return switched_off(units, self.first)

    def erased(self, layer: int, position: int) -> Plan:
        """The stream set to zero at a block's input at one position."""
        site = Site(layer, "resid_pre")
        return Plan({site: (Change(site, None, "set", 0.0, Positions("range", position, position)),)})

    def run(self, plans: Sequence[Plan]) -> Iterator[Results]:
        """Every plan, on top of the study's own edits, batch by batch; a batch that is too large is halved."""
        rows = self.rows
        for layer, indices in batches_by_layer(plans, self._model.info.n_layers, rows):
            at = 0
            while at < len(indices):
                chosen = indices[at : at + rows]
                try:
                    logits = run_from(self._model, self._trace, layer, [plans[index] for index in chosen]).last
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error) or len(chosen) == 1:
                        raise
                    rows = len(chosen) // 2
                    self._tokens = rows * len(self.prompt)
                    self._freed(rows)
                    continue
                yield Results(chosen, logits, self._trace.last)
                at += len(chosen)

    def track(self, plans: Sequence[Plan], report: Report, unit: str, stage: str = "") -> Iterator[Results]:
        """`run` inside `report.track`, where progress counts plans."""
        for results in report.track(self.run(plans), unit, total=len(plans), stage=stage):
            yield results
            report.progress.done += len(results.indices) - 1  # track counts the batch itself

    def _freed(self, rows: int) -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._report is not None:
            self._report.note(f"memory ran out: went on with batches of {rows}")

    # --- gradients -----------------------------------------------------------------------------

    def attribute(self, asked: Sequence[Metric]) -> Attribution:
        """The estimate of switching off every unit, one row a metric."""
        return attribute(self._model, self._trace, asked)

    def attribute_under(self, plans: Sequence[Plan], metric: Metric) -> Attribution:
        """The same where further edits are on, one row a plan."""
        return attribute(self._model, self._trace, [metric], plans)

    def direct(self, metric: Metric) -> Parts:
        """What each part adds to the answer's logit, or to the logit difference."""
        return direct(self._model, self._trace, metric)

    # --- activations --------------------------------------------------------------------------

    def activations(self, sites: Sequence[Site], plan: Plan = CLEAN) -> dict[Site, torch.Tensor]:
        """Sites over the prompt, [position, …] each."""
        kept = run_from(self._model, self._trace, 0, [plan], capture=sites).captured
        return {site: tensor[0] for site, tensor in kept.items()}

    def pattern(self, layer: int) -> np.ndarray:
        """Attention of every head of a layer, float32 [head, query, key]."""
        found = self.activations([Site(layer, "pattern")])[Site(layer, "pattern")]
        return np.asarray(found.float().cpu().numpy())

    def same_distance(self, plan: Plan, n: int, seed: int) -> list[Plan]:
        """Controls that move the stream as far as a plan of neurons or heads does, in random directions (METHODS 0).

        For each block the plan edits: ‖Δ‖ · g/‖g‖ added where attention or the MLP adds to the stream, position by
        position, Δ being what that block's edits alone change there.
        """
        random = torch.Generator().manual_seed(seed)
        moved: list[tuple[Site, torch.Tensor]] = []
        for layer, name in sorted(
            {(site.layer, "attn_out" if site.name == "z" else "mlp_out") for site in plan.changes}
        ):
            out = Site(layer, name)
            delta = self.activations([out], plan.at_layer(layer))[out] - self.activations([out])[out]
            moved.append((out, delta.float().norm(dim=-1, keepdim=True)))
        plans = []
        for _ in range(n):
            changes: dict[Site, tuple[Change, ...]] = {}
            for out, lengths in moved:
                noise = torch.randn(len(lengths), self._model.info.d_model, generator=random).to(lengths.device)
                shift = lengths * noise / noise.norm(dim=-1, keepdim=True)
                where = Positions("range", 0, len(self.prompt) - 1)
                changes[out] = (Change(out, None, "shift table", 0.0, where, values=shift),)
            plans.append(Plan(changes))
        return plans

    def patches(self, source: Study, places: Sequence[tuple[Site, int | None, int | None]]) -> list[Plan]:
        """Plans that put another study's activations into this one: (site, head or None, position or None for all)."""
        taken = source.activations(list(dict.fromkeys(site for site, _, _ in places)))
        plans = []
        for site, head, position in places:
            values = taken[site]
            indices = None
            if head is not None:
                values = values.reshape(len(self.prompt), self._model.info.n_heads, -1)[:, head : head + 1]
                indices = (head,)
            last = len(self.prompt) - 1
            where = Positions("range", 0, last) if position is None else Positions("range", position, position)
            plans.append(Plan({site: (Change(site, indices, "table", 0.0, where, values=values),)}))
        return plans
