"""One prompt under the microscope: what its parts do to what comes next. Plain data and numpy outside.

A study is made of a traced prompt (`trace.py`): edits of it run in batches from the first block that they change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from workbench.edits import Positions
from workbench.lab import metrics
from workbench.lab.added import change_added
from workbench.lab.applying import PassLayout, edit_hooks
from workbench.lab.attribution import Attribution, attribute, first_counted, joined, value
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.changes import AddByPosition, Change, Fill, ReplaceByPosition
from workbench.lab.compiling import switched_off
from workbench.lab.controls import Controls
from workbench.lab.dla import Parts, direct
from workbench.lab.editing import CLEAN, AnyEdit, Plan
from workbench.lab.loaded import Model
from workbench.lab.metric import Metric
from workbench.lab.model import Lab
from workbench.lab.parts import Heads, Part, Whole
from workbench.lab.prompts import Prompt
from workbench.lab.rounding import DRAWS, rounding_plans
from workbench.lab.sae.part import Features
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.trace import Trace, groups_by_layer, run_from, trace_prompt
from workbench.report import Report
from workbench.units import ADDED_AS, Feature, Head, Neuron, Site


@dataclass(frozen=True)
class Results:
    """The last position of one batch of plans, and of a row without them in the same batch.

    Sums depend on a batch's shape, so an edit is compared with a clean row of its own batch, never with a pass of
    another shape. Rows of one batch that do the same have the same bits in bfloat16, and in float32 on one thread of a
    CPU; on more, float32 rows of batches of a few tokens may differ by rounding (a KL of about 1e-13).
    """

    indices: np.ndarray
    """int64 [row]: which of the plans these are"""
    logits: torch.Tensor
    """[row, vocabulary]"""
    clean: torch.Tensor
    """of the row without any of the plans, [vocabulary]"""
    study_logits: torch.Tensor
    """of the study itself, [vocabulary]"""

    def value(self, metric: Metric) -> np.ndarray:
        """The study's own value and what each plan changes of it, float64 [row]."""
        with torch.inference_mode():
            clean_value, study_value = (
                value(metric, metrics.as_float64(logits[None])) for logits in (self.clean, self.study_logits)
            )
            change = value(metric, metrics.as_float64(self.logits)) - clean_value
            return np.asarray((study_value + change).cpu().numpy())

    def kl(self) -> np.ndarray:
        """KL(clean ‖ edited) of the next token, nats, float64 [row]."""
        with torch.inference_mode():
            return np.asarray(metrics.kl(self.clean.expand_as(self.logits), self.logits).cpu().numpy())


def study(lab: Lab, prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> Study:
    """One prompt traced: attribution, edits from their own layer on, patches."""
    return Study(lab.model, prompt, lab.plan(edits, chat=prompt.template), lab.report)


def has_same_distance(plan: Plan) -> bool:
    """Whether `same_distance` can be asked of a plan: it edits neurons, heads or features, and nothing else."""
    return not plan.has_functions and all(
        site.name in ADDED_AS or isinstance(change.part, Features)
        for site, changes in plan.changes.items()
        for change in changes
    )


def same_distance(lab: Lab, traced: Study, plan: Plan, n: int) -> Controls:
    """Random directions that move the stream as far as a plan of neurons or heads does."""
    kind = "random directions, same norm"
    problem = next(filter(None, (lab.model.sites.edit_problem(site) for site in map(_added, plan.changes))), "")
    if problem:
        return Controls((), kind, f"{kind}: none, since {problem}")
    return Controls(tuple(traced.same_distance(plan, n, lab.seed)), kind, "")


def _added(site: Site) -> Site:
    """What attention or the MLP adds to the stream of it; a site of the stream itself."""
    return Site(site.layer, ADDED_AS.get(site.name, site.name))


class Study:
    """A prompt under the edits of its job, and what further edits, gradients and patches say of it."""

    def __init__(self, model: Model, prompt: Prompt, plan: Plan = CLEAN, report: Report | None = None) -> None:
        self._model = model
        self._report = report
        self._trace: Trace = trace_prompt(model, prompt, plan)
        self.prompt = prompt
        self.sae: PlacedSae | None = None
        """whose features are attributed, beside neurons, heads and places"""
        self.first = first_counted(len(prompt))
        """the first position that counts: 0 only where there is no other"""

    # --- the study's own numbers ---------------------------------------------------------------

    def value(self, metric: Metric) -> float:
        with torch.inference_mode():
            return float(value(metric, metrics.as_float64(self._trace.last[None]))[0])

    def log_prob(self, token: int) -> float:
        """Nats."""
        return self.value(Metric("log-prob", token))

    @cached_property
    def ranking(self) -> np.ndarray:
        """Every token, likeliest first, int64 [vocabulary]."""
        return np.asarray(self._trace.last.argsort(descending=True).cpu().numpy())

    # --- edits ------------------------------------------------------------------------------------

    def off(self, units: Sequence[Neuron | Head | Feature]) -> Plan:
        """Units switched off at every position that counts; features with their SAE's error kept."""
        return switched_off(units, self._model.info, self.first, model=self._model)

    def erased(self, layer: int, position: int) -> Plan:
        """The stream set to zero at a block's input at one position."""
        site = Site(layer, "resid_pre")
        return Plan({site: (Fill(site, Whole(), Positions("range", position, position), 0.0),)})

    def rounding(self, plan: Plan = CLEAN, n: int = DRAWS, seed: int = 0) -> list[Plan]:
        """Plans that change rounding alone, from where `plan` begins on."""
        return rounding_plans(plan, self._model.info.n_layers, n, seed)

    def run(self, plans: Sequence[Plan]) -> Iterator[Results]:
        """Every plan, on top of the study's own edits, in batches that halve when memory runs out.

        Plans that begin at one layer go in batches of one shape, each with a clean row; the last is filled up.
        """
        room = max(1, rows_at_once(self._model, len(self.prompt), "last") - 1)
        for layer, indices in groups_by_layer(plans, self._model.info.n_layers):
            n_batches = -(-len(indices) // room)
            size = -(-len(indices) // n_batches)
            for batch in batches(indices.tolist(), size, self._report, self._model, progress_per_row=0):
                results = None
                with batch:
                    filling = [CLEAN] * (batch.size - len(batch.rows))
                    rows = [CLEAN, *(plans[index] for index in batch.rows), *filling]
                    logits = run_from(self._model, self._trace, layer, rows).last
                    assert logits is not None
                    edited = logits[1 : len(batch.rows) + 1]
                    results = Results(np.asarray(batch.rows), edited, logits[0], self._trace.last)
                if results is not None:
                    yield results

    def track(self, plans: Sequence[Plan], report: Report, unit: str, stage: str = "") -> Iterator[Results]:
        """`run` inside `report.track`, where progress counts plans."""
        for results in report.track(self.run(plans), unit, total=len(plans), stage=stage):
            yield results
            report.progress.done += len(results.indices) - 1  # track counts the batch itself

    # --- gradients -----------------------------------------------------------------------------

    @property
    def gradient_rows(self) -> int:
        """How many metrics or plans share a backward pass."""
        return rows_at_once(self._model, len(self.prompt), "gradients")

    def attribute(self, metrics: Sequence[Metric]) -> Attribution:
        """The estimate of switching off every unit, one row a metric."""
        return self._attribute([(metric, CLEAN) for metric in metrics])

    def attribute_under(self, plans: Sequence[Plan], metric: Metric) -> Attribution:
        """The same where further edits are on, one row a plan."""
        return self._attribute([(metric, plan) for plan in plans])

    def _attribute(self, rows: Sequence[tuple[Metric, Plan]]) -> Attribution:
        parts = []
        for batch in batches(rows, self.gradient_rows, self._report, self._model, progress_per_row=0):
            with batch:
                parts.append(attribute(self._model, self._trace, batch.rows, self.sae))
        return joined(parts)

    def direct(self, metric: Metric) -> Parts:
        """What each part adds to the answer's logit, or to the logit difference."""
        return direct(self._model, self._trace, metric)

    # --- activations --------------------------------------------------------------------------

    def activations(self, sites: Sequence[Site], plan: Plan = CLEAN) -> dict[Site, torch.Tensor]:
        """Sites over the prompt, [position, …] each."""
        captured = run_from(self._model, self._trace, 0, [plan], capture=sites).captured
        return {site: tensor[0] for site, tensor in captured.items()}

    def pattern(self, layer: int) -> np.ndarray:
        """Attention of every head of a layer, float32 [head, query, key]."""
        pattern = self.activations([Site(layer, "pattern")])[Site(layer, "pattern")]
        return np.asarray(pattern.float().cpu().numpy())

    def same_distance(self, plan: Plan, n: int, seed: int) -> list[Plan]:
        """Controls that move the stream as far as a plan of neurons or heads does, in random directions (METHODS,
        "Controls").

        For each block the plan edits: ‖Δ‖ · g/‖g‖ added where attention or the MLP adds to the stream, position by
        position, Δ being what that block's edits alone change there: computed in float32 from what W_out or W_O
        multiplies, since a difference of rounded outputs is longer than a small change.
        """
        random = torch.Generator().manual_seed(seed)
        moved: list[tuple[Site, torch.Tensor]] = []
        for site in sorted(plan.changes):
            delta = self._moved(site, plan.at_layer(site.layer))
            moved.append((_added(site), delta.norm(dim=-1, keepdim=True)))
        plans = []
        for _ in range(n):
            changes: dict[Site, tuple[Change, ...]] = {}
            for output_site, lengths in moved:
                noise = torch.randn(len(lengths), self._model.info.d_model, generator=random).to(lengths.device)
                shift = lengths * noise / noise.norm(dim=-1, keepdim=True)
                positions = Positions("range", 0, len(self.prompt) - 1)
                changes[output_site] = (AddByPosition(output_site, Whole(), positions, shift),)
            plans.append(Plan(changes))
        return plans

    def _moved(self, site: Site, plan: Plan) -> torch.Tensor:
        """What a block's edits alone change of the stream at `site`, float32 [position, d_model]."""
        if site.name in ADDED_AS:
            edited = self.activations([site], plan)[site]
            return change_added(self._model, site, self.activations([site])[site], edited)
        hooks = edit_hooks([plan], PassLayout((len(self.prompt),), self._model.info.n_heads))
        reads = [other for other in hooks if other not in plan.changes]
        clean = {each: values.float()[None] for each, values in self.activations([site, *reads]).items()}
        with torch.inference_mode():
            for other in reads:
                hooks[other](clean[other], None)
            before = clean[site].clone()
            edited = hooks[site](clean[site], None)
        # A hook gives back what the site becomes, or has written it into what it was given.
        return (clean[site] if edited is None else edited)[0] - before[0]

    def patches(self, source: Study, places: Sequence[tuple[Site, int | None, int | None]]) -> list[Plan]:
        """Plans that put another study's activations into this one: (site, head or None, position or None for all)."""
        source_values = source.activations(list(dict.fromkeys(site for site, _, _ in places)))
        plans = []
        for site, head, position in places:
            part: Part = Whole() if head is None else Heads((head,))
            values = part.take(source_values[site].flatten(1), self._model.info.n_heads)
            last = len(self.prompt) - 1
            positions = Positions("range", 0, last) if position is None else Positions("range", position, position)
            plans.append(Plan({site: (ReplaceByPosition(site, part, positions, values),)}))
        return plans
