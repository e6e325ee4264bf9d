"""Units set to 0 at the tokens that examples read: what that does from there on, beside matched controls (METHODS,
"Monosemantic").

A unit is a neuron, or a feature of an SAE, whose error stays. Setting it to 0 at t changes what is predicted from t
on: the KL at t, and the loss of the tokens behind it. What comes before, in the text and below the unit's block, is
computed once for everything that is done to a text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.kinds.kind import EditedAt
from workbench.lab.loaded import Model
from workbench.lab.model import Lab
from workbench.lab.parts import Whole
from workbench.lab.passes import BlockStart, Entry, run_pass
from workbench.lab.prompts import Prompt
from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans
from workbench.lab.sae.features import feature_sae
from workbench.report import Report
from workbench.units import ADDED_AS, Feature, Neuron, Site


@dataclass(frozen=True)
class Place:
    """Where an example's unit is set to 0: positions first to last of a window, which is cut some tokens later."""

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
    """A unit set to 0, and what stands beside it."""

    unit: Neuron | Feature
    effects: Effects
    controls: list[tuple[Neuron | Feature, Effects]]
    kind: str
    """what the controls are: `matched random neurons`"""
    distance: list[Effects]
    """directions drawn at random, as long as what the ablation changes of what the MLP adds, or of the SAE's site"""
    rounding: list[Effects]
    """draws that change rounding alone"""
    problems: list[str] = field(default_factory=list)
    """why there are fewer controls than asked for, as sentences"""


def prepare(
    lab: Lab, units: Sequence[Neuron | Feature], places: Sequence[Place], n_controls: int, n_distance: int
) -> list[Ablation]:
    """Draws the controls, with the lab's seed; effects are still to be measured. A feature's fire at these places."""
    n_examples, prepared = len(places), []
    spans = [
        EditedAt(Prompt("", np.asarray(place.ids), [], None, False), place.first, place.last + 1) for place in places
    ]
    for unit in units:
        drawn = off_controls([unit], lab.model, 1, n_controls, lab.seed, spans)
        problems = [drawn.problem] if drawn.problem else []
        problem = lab.model.sites.edit_problem(_pushed_at(_site_out(lab.model, unit)))
        if problem:
            problems.append(f"random directions, same norm: none, since {problem}")
        others = [other for plan in drawn.plans for other in plan.units if isinstance(other, Neuron | Feature)]
        prepared.append(
            Ablation(
                unit,
                Effects.empty(n_examples),
                [(other, Effects.empty(n_examples)) for other in others],
                drawn.kind,
                [Effects.empty(n_examples) for _ in range(0 if problem else n_distance)],
                [Effects.empty(n_examples) for _ in range(DRAWS_OF_SETS)],
                problems,
            )
        )
    return prepared


def _site_out(model: Model, unit: Neuron | Feature) -> Site:
    """Where setting the unit to 0 changes something."""
    return Site(unit.layer, "mlp_post") if isinstance(unit, Neuron) else feature_sae(model, unit).placed.site_out


def _pushed_at(site: Site) -> Site:
    """Where a direction changes the stream as a change at `site` does."""
    return Site(site.layer, ADDED_AS.get(site.name, site.name))


def measure(lab: Lab, places: Sequence[Place], ablations: Sequence[Ablation], report: Report) -> Iterator[None]:
    """Fills in the effects of every example; yields after each, the shortest first."""
    for at in sorted(range(len(places)), key=lambda at: len(places[at].ids)):
        example = _Example(lab, at, places[at], ablations, report)
        measured = [values for ablation in ablations for values in example.run(ablation)]
        for effects, kl, loss in measured:
            effects.kl[at], effects.loss[at] = kl, loss
        yield


class _Example:
    """One text: what is done to it goes through the model as rows of one batch, from the first position that is set on.

    The tokens before that are the same in every row: their keys and values are computed once.
    """

    def __init__(self, lab: Lab, at: int, place: Place, ablations: Sequence[Ablation], report: Report) -> None:
        self._lab, self._model, self._at, self._place, self._report = lab, lab.model, at, place, report
        model = lab.model
        self._ids = torch.tensor([place.ids], device=model.hf.device)
        self._cut = place.first if self._keeps_keys() else 0
        units = [ablation.unit for ablation in ablations]
        sites = {_site_out(model, unit) for unit in units}
        sites |= {feature_sae(model, unit).placed.site for unit in units if isinstance(unit, Feature)}
        self._clean = run_pass(model, self._ids, head="last", capture=sorted(sites), keep_starts=True)
        self._past = run_pass(model, self._ids[:, : self._cut], head="last", use_cache=True).past if self._cut else None

    def _keeps_keys(self) -> bool:
        """Whether the tokens before the first position can be handed on as keys and values."""
        model, place = self._model, self._place
        lengths = [place.first, len(place.ids)]
        return model.caches and model.restarts and len(model.rotations.alike(lengths)) == 1

    def run(self, ablation: Ablation) -> Iterator[tuple[Effects, float, float]]:
        """What is done, its KL and its change of loss."""
        info, place = self._model.info, self._place
        layer = ablation.unit.layer
        done = [(ablation.effects, self._off(ablation.unit))]
        done += [(effects, self._off(unit)) for unit, effects in ablation.controls]
        if ablation.distance:
            lengths, site = self._moved(ablation.unit), _pushed_at(_site_out(self._model, ablation.unit))
            done += [(effects, self._pushed(site, lengths, draw)) for draw, effects in enumerate(ablation.distance)]
        everywhere = switched_off([ablation.unit], info, model=self._model)
        draws = rounding_plans(everywhere, info.n_layers, len(ablation.rounding), self._lab.seed)
        done += list(zip(ablation.rounding, draws, strict=True))
        set_there = slice(place.first - self._cut, place.last + 1 - self._cut)
        ids = self._ids[:, self._cut :]
        for rows, edited, clean in self._logits(layer, [plan for _, plan in done]):
            with torch.inference_mode():
                there = edited[:, set_there]
                kl = metrics.kl(clean[None, set_there].expand_as(there), there).mean(dim=1).cpu().numpy()
                surprise = metrics.surprise(torch.cat([clean[None], edited]), ids.expand(len(edited) + 1, -1))
                later = metrics.as_float64(surprise[:, set_there.start + 1 :])
                loss = (later[1:] - later[0]).sum(dim=1).cpu().numpy()
            for at, row in enumerate(rows):
                yield done[row][0], float(kl[at]), float(loss[at])

    def _logits(self, layer: int, plans: Sequence[Plan]) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
        """Which of the plans, their logits [row, position, vocabulary], and the clean ones [position, vocabulary].

        Both come of batches of one shape, whose rows that do the same have the same bits.
        """
        rows = [CLEAN, *plans]
        n_positions = self._ids.shape[1] - self._cut
        size = min(len(rows), rows_at_once(self._model, n_positions, "forward"))
        clean: dict[int, torch.Tensor] = {}
        for batch in batches(range(len(rows)), size, self._report, self._model, progress_per_row=0):
            logits = None
            with batch:
                filling = [CLEAN] * (batch.size - len(batch.rows))
                logits = self._pass(layer, [*(rows[row] for row in batch.rows), *filling])[: len(batch.rows)]
                if batch.size not in clean:
                    clean[batch.size] = (
                        logits[0] if batch.start == 0 else self._pass(layer, [CLEAN] * batch.size)[0]
                    ).clone()
            if logits is not None:
                first = int(batch.start == 0)
                yield [row - 1 for row in batch.rows[first:]], logits[first:], clean[batch.size]

    def _pass(self, layer: int, plans: Sequence[Plan]) -> torch.Tensor:
        """A plan a row, from the block of `layer` on."""
        n = len(plans)
        starts = [
            BlockStart(start.stream[:, self._cut :].expand(n, -1, -1), start.extra_outputs)
            for start in self._clean.starts
        ]
        first_block = layer if self._model.restarts else 0
        past: Any = None
        if self._past is not None:
            past = copy.deepcopy(self._past)
            past.batch_repeat_interleave(n)
        length = self._ids.shape[1]
        passed = run_pass(
            self._model,
            self._ids.expand(n, -1),
            plans,
            PassLayout((length,) * n, self._model.info.n_heads, self._cut),
            entry=Entry(starts, first_block, starts[first_block].stream.contiguous()),
            use_cache=past is not None,
            past=past,
        )
        assert passed.logits is not None
        return passed.logits

    def _off(self, unit: Neuron | Feature) -> Plan:
        return switched_off([unit], self._model.info, self._place.first, self._place.last, self._model)

    def _moved(self, unit: Neuron | Feature) -> torch.Tensor:
        """How far setting it to 0 moves the stream at its site, or what is added to it; [position] from the first."""
        site = _site_out(self._model, unit)
        before = self._there(site)
        if isinstance(unit, Neuron):
            after = before.clone()
            after[:, unit.index] = 0
        else:
            placed = feature_sae(self._model, unit).placed
            sae, encoded = placed.sae, self._there(placed.site)
            with torch.inference_mode():
                activations = sae.encode(encoded)[:, unit.index, None] * sae.output_scale(encoded)
                written = activations * sae.W_dec[unit.index]
            if site.name not in ADDED_AS:
                return written.norm(dim=-1)
            before = before.float()
            after = before - written.view(before.shape)
        return change_added(self._model, site, before, after).norm(dim=-1)

    def _there(self, site: Site) -> torch.Tensor:
        """What the clean pass has of it where the unit is set, [position, …]."""
        return self._clean.captured[site][0, self._place.first : self._place.last + 1]

    def _pushed(self, site: Site, lengths: torch.Tensor, draw: int) -> Plan:
        """‖Δ‖ · g/‖g‖ added at the same positions."""
        place = self._place
        random = np.random.default_rng([self._lab.seed, draw, self._at])
        noise = torch.from_numpy(random.standard_normal((len(lengths), self._model.info.d_model))).float()
        noise = noise.to(lengths.device)
        shift = lengths.new_zeros(place.last + 1, noise.shape[1])
        shift[place.first :] = lengths[:, None] * noise / noise.norm(dim=-1, keepdim=True)
        positions = Positions("range", place.first, place.last)
        return Plan({site: (AddByPosition(site, Whole(), positions, shift),)})
