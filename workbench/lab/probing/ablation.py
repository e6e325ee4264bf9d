"""Neurons set to 0 at the tokens that examples read: what that does from there on, beside matched controls (METHODS 3).

Setting a neuron to 0 at t changes what is predicted from t on: the KL at t, and the loss of the tokens behind it. The
clean pass of a batch is shared by everything that is done to it, and each of those begins at the neuron's own block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.edits import Positions
from workbench.lab import metrics
from workbench.lab.added import change_added
from workbench.lab.applying import PassLayout
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.changes import AddByPosition
from workbench.lab.compiling import switched_off
from workbench.lab.controls import off_controls
from workbench.lab.editing import Plan
from workbench.lab.loaded import Model
from workbench.lab.model import Lab
from workbench.lab.parts import Whole
from workbench.lab.passes import Entry, Passed, run_pass
from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans
from workbench.report import Report
from workbench.units import ADDED_AS, Neuron, Site


@dataclass(frozen=True)
class Place:
    """Where an example's neuron is set to 0: positions first to last of a window, which is cut some tokens later."""

    ids: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Effects:
    """Of one thing done to every example, as far as they are done; nan before."""

    kl: np.ndarray
    """KL(clean ‖ edited), mean over the positions that are set, nats, float64 [example]"""
    loss: np.ndarray
    """change of the loss of the tokens behind the first of them, summed, nats, float64 [example]"""

    @classmethod
    def empty(cls, n: int) -> Effects:
        return cls(np.full(n, np.nan), np.full(n, np.nan))


@dataclass(frozen=True)
class Ablation:
    """A neuron set to 0, and what stands beside it."""

    neuron: Neuron
    effects: Effects
    controls: list[tuple[Neuron, Effects]]
    kind: str
    """what the controls are: `matched random neurons`"""
    distance: list[Effects]
    """directions drawn at random, added to what the MLP adds, as long as what the ablation changes of it"""
    rounding: list[Effects]
    """draws that change rounding alone"""
    problems: list[str] = field(default_factory=list)
    """why there are fewer controls than asked for, as sentences"""

    @property
    def passes(self) -> int:
        return 1 + len(self.controls) + len(self.distance) + len(self.rounding)


def prepare(lab: Lab, neurons: Sequence[Neuron], n_examples: int, n_controls: int, n_distance: int) -> list[Ablation]:
    """Draws the controls, with the lab's seed; effects are still to be measured."""
    prepared = []
    for neuron in neurons:
        drawn = off_controls([neuron], lab.model, 1, n_controls, lab.seed)
        problems = [drawn.problem] if drawn.problem else []
        problem = lab.model.sites.edit_problem(Site(neuron.layer, ADDED_AS["mlp_post"]))
        if problem:
            problems.append(f"random directions, same norm: none, since {problem}")
        others = [unit for plan in drawn.plans for unit in plan.units if isinstance(unit, Neuron)]
        prepared.append(
            Ablation(
                neuron,
                Effects.empty(n_examples),
                [(other, Effects.empty(n_examples)) for other in others],
                drawn.kind,
                [Effects.empty(n_examples) for _ in range(0 if problem else n_distance)],
                [Effects.empty(n_examples) for _ in range(DRAWS_OF_SETS)],
                problems,
            )
        )
    return prepared


def n_passes(lab: Lab, places: Sequence[Place], ablations: Sequence[Ablation]) -> int:
    """How often `measure` yields, where memory lasts."""
    size = _size(lab.model, places)
    return -(-len(places) // size) * sum(ablation.passes for ablation in ablations)


def measure(lab: Lab, places: Sequence[Place], ablations: Sequence[Ablation], report: Report) -> Iterator[bool]:
    """Fills in the effects of every example, batch by batch; yields after each pass, True where a batch is done."""
    model = lab.model
    order = sorted(range(len(places)), key=lambda at: len(places[at].ids))
    for batch in batches(order, _size(model, places), report, model, progress_per_row=0):
        measured: list[tuple[Effects, int, float, float]] = []
        with batch:
            for rows in model.rotations.alike([len(places[at].ids) for at in batch.rows]):
                one = _Batch(lab, [batch.rows[row] for row in rows], places, ablations)
                for values in one.run():
                    measured += values
                    yield False
        if not batch.failed:
            for effects, at, kl, loss in measured:
                effects.kl[at], effects.loss[at] = kl, loss
            yield True


def _size(model: Model, places: Sequence[Place]) -> int:
    longest = max(len(place.ids) for place in places)
    return min(rows_at_once(model, longest, "forward"), rows_at_once(model, longest, "stream"))


class _Batch:
    """Some examples that are rotated alike."""

    def __init__(
        self, lab: Lab, examples: Sequence[int], places: Sequence[Place], ablations: Sequence[Ablation]
    ) -> None:
        self._lab, self._model, self._examples, self._ablations = lab, lab.model, examples, ablations
        self._places = [places[at] for at in examples]
        lengths = tuple(len(place.ids) for place in self._places)
        padded = np.zeros((len(lengths), max(lengths)), np.int64)
        for row, place in zip(padded, self._places, strict=True):
            row[: len(place.ids)] = place.ids
        self._ids = torch.from_numpy(padded).to(self._model.hf.device)
        self._layout = PassLayout(lengths, self._model.info.n_heads)
        self._ends = [length - 1 for length in lengths]
        sites = {Site(ablation.neuron.layer, "mlp_post") for ablation in ablations}
        self._clean = run_pass(
            self._model,
            self._ids,
            layout=self._layout,
            head="every",
            ends=self._ends,
            capture=sorted(sites),
            keep_starts=True,
        )
        places_set = [(row, at) for row, place in enumerate(self._places) for at in range(place.first, place.last + 1)]
        self._set = torch.tensor(places_set, device=self._ids.device).T
        self._clean_there = self._logits(self._clean)[self._set[0], self._set[1]]
        self._surprise = metrics.surprise(self._logits(self._clean), self._ids)

    def run(self) -> Iterator[list[tuple[Effects, int, float, float]]]:
        """What each pass gives: effects to fill in, the example, its KL and its change of loss."""
        for ablation in self._ablations:
            layer = ablation.neuron.layer
            yield self._pass(layer, ablation.effects, self._off(ablation.neuron))
            for neuron, effects in ablation.controls:
                yield self._pass(layer, effects, self._off(neuron))
            if ablation.distance:
                lengths = self._moved(ablation.neuron)
                for draw, effects in enumerate(ablation.distance):
                    yield self._pass(layer, effects, self._pushed(ablation.neuron, lengths, draw))
            off = switched_off([ablation.neuron], self._model.info)
            draws = rounding_plans(off, self._model.info.n_layers, len(ablation.rounding), self._lab.seed)
            for effects, plan in zip(ablation.rounding, draws, strict=True):
                yield self._pass(layer, effects, [plan])

    def _off(self, neuron: Neuron) -> list[Plan]:
        info = self._model.info
        return [switched_off([neuron], info, place.first, place.last) for place in self._places]

    def _moved(self, neuron: Neuron) -> list[torch.Tensor]:
        """How far setting it to 0 moves what the MLP adds, [position] of each example from its first one on."""
        site = Site(neuron.layer, "mlp_post")
        lengths = []
        for row, place in enumerate(self._places):
            before = self._clean.captured[site][row, place.first : place.last + 1]
            after = before.clone()
            after[:, neuron.index] = 0
            lengths.append(change_added(self._model, site, before, after).norm(dim=-1))
        return lengths

    def _pushed(self, neuron: Neuron, lengths: Sequence[torch.Tensor], draw: int) -> list[Plan]:
        """‖Δ‖ · g/‖g‖ added at the same positions."""
        site = Site(neuron.layer, ADDED_AS["mlp_post"])
        plans = []
        for at, place, length in zip(self._examples, self._places, lengths, strict=True):
            random = np.random.default_rng([self._lab.seed, draw, at])
            noise = torch.from_numpy(random.standard_normal((len(length), self._model.info.d_model))).float()
            noise = noise.to(length.device)
            shift = length.new_zeros(place.last + 1, noise.shape[1])
            shift[place.first :] = length[:, None] * noise / noise.norm(dim=-1, keepdim=True)
            positions = Positions("range", place.first, place.last)
            plans.append(Plan({site: (AddByPosition(site, Whole(), positions, shift),)}))
        return plans

    def _pass(self, layer: int, effects: Effects, plans: Sequence[Plan]) -> list[tuple[Effects, int, float, float]]:
        starts = self._clean.starts
        first_block = layer if self._model.restarts else 0
        passed = run_pass(
            self._model,
            self._ids,
            plans,
            self._layout,
            head="every",
            ends=self._ends,
            entry=Entry(starts, first_block, starts[first_block].stream),
        )
        edited = self._logits(passed)
        with torch.inference_mode():
            kl = metrics.kl(self._clean_there, edited[self._set[0], self._set[1]]).cpu().numpy()
            change = (metrics.surprise(edited, self._ids) - self._surprise).double().cpu().numpy()
        sizes = [place.last + 1 - place.first for place in self._places]
        means = [float(part.mean()) for part in np.split(kl, np.cumsum(sizes)[:-1])]
        return [
            (
                effects,
                at,
                means[row],
                float(change[row, place.first + 1 : len(place.ids)].sum()),
            )
            for row, (at, place) in enumerate(zip(self._examples, self._places, strict=True))
        ]

    @staticmethod
    def _logits(passed: Passed) -> torch.Tensor:
        assert passed.logits is not None
        return passed.logits
