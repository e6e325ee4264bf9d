"""Matched random controls of an edit: the same edit, done to others of the same kind (METHODS 0).

A neuron's kind is its layer and the decile of rms(activation) · ‖w_out‖ within it, on a fixed text of ours; a head's is
its layer; a site's is its name, in any layer. A control puts into the place of each edited unit a random one of its
kind, the unit itself included, and is never the edited set again: the edit and its controls are drawn alike, so by
chance any place among them is as likely. A direction's controls are g ~ N(0, Σ), Σ the covariance of the stream on the
fixed text; beside them, each kind by itself, mean differences of the direction's own prompts with shuffled labels,
where they came with it, and isotropic ones. All have its length, which matters where it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.contrast import read_contrast, shuffled_differences
from workbench.lab.directions import JobWeights
from workbench.lab.editing import AnyEdit, Instead, Plan, direction_names, switched_off
from workbench.lab.loading import Model
from workbench.lab.strength import neuron_strength
from workbench.lab.values import Values
from workbench.units import Head, Neuron, Site, Unit

BINS = 10
TIE = 1e-7
"""nats: effects nearer to each other than float32 rounding makes them are the same"""


@dataclass(frozen=True)
class Controls:
    """Plans to run beside an edit."""

    plans: tuple[Plan, ...]
    kind: str
    """what they are: `random neurons of its kind`"""
    problem: str
    """why there are none or fewer than asked for, as a sentence; else empty"""

    @staticmethod
    def compare(value: float, controls: np.ndarray) -> tuple[int, int, int]:
        """How many controls are smaller than an effect, equal to it (within TIE) and larger."""
        ties = np.abs(controls - value) <= TIE
        smaller, larger = (controls < value) & ~ties, (controls > value) & ~ties
        return int(smaller.sum()), int(ties.sum()), int(larger.sum())

    @staticmethod
    def percentile(value: float, controls: np.ndarray) -> float:
        """Where an effect lies among its controls, 0 to 1: (smaller + ½(ties + 1)) / (n + 1)."""
        smaller, ties, _ = Controls.compare(value, controls)
        return (smaller + (ties + 1) / 2) / (len(controls) + 1)


def make_controls(
    edits: Sequence[AnyEdit],
    plan: Plan,
    compiled: Callable[..., Plan],
    model: Model,
    weights: JobWeights,
    n: int,
    seed: int,
) -> Controls:
    """Up to `n` different controls of a stack; `compiled(instead=…)` gives its plan with others in its places."""
    if n == 0 or not plan.changes:
        return Controls((), "", "")
    if plan.has_functions:
        return Controls((), "", "a Python function has no matched random controls: its effect stands without them")
    names = direction_names(edits, model.info)
    units = _drawn_units(edits, plan, names)
    random = np.random.default_rng(seed)
    drawn = _draw_units(units, model, n, random) if units else [{} for _ in range(n)]
    vectors = _draw_directions(names, model, weights, len(drawn), random)
    plans = tuple(compiled(instead=Instead(own, others)) for own, others in zip(drawn, vectors, strict=True))
    kind = _kind(units) if units else "random directions of the stream's covariance"
    if not plans:
        return Controls((), kind, "the edits take every unit of their kind: there is nothing to compare them with")
    problem = "" if len(plans) == n else f"there are only {len(plans)} different controls for these edits"
    return Controls(plans, kind, problem)


def direction_controls(
    edits: Sequence[AnyEdit],
    plan: Plan,
    compiled: Callable[..., Plan],
    model: Model,
    weights: JobWeights,
    n: int,
    seed: int,
) -> list[Controls]:
    """The further kinds of a stack of directions alone: shuffled labels where they are known, and isotropic."""
    names = direction_names(edits, model.info)
    if n == 0 or not names or plan.has_functions or _drawn_units(edits, plan, names):
        return []
    values = Values(model, 0, False, weights)
    made: list[tuple[str, list[dict[str, torch.Tensor]]]] = []
    problem = ""
    random = np.random.default_rng([seed, 1])
    try:
        shuffled = _shuffled(names, model, weights, n, random)
    except UserError as sentence:
        shuffled, problem = None, str(sentence)
    if shuffled is not None:
        made.append(("mean differences of the same prompts, labels shuffled", shuffled))
    random = np.random.default_rng([seed, 2])
    every = [
        {name: torch.from_numpy(random.standard_normal(model.info.d_model)).float() for name in names} for _ in range(n)
    ]
    made.append(("random directions, isotropic", every))
    lengths = {name: values.direction(name).norm() for name in names}
    found = []
    for kind, vectors in made:
        scaled = [{name: _as_long(vector, lengths[name]) for name, vector in one.items()} for one in vectors]
        plans = tuple(compiled(instead=Instead({}, one)) for one in scaled)
        found.append(Controls(plans, kind, problem))
    return found


def _shuffled(
    names: Sequence[str], model: Model, weights: JobWeights, n: int, random: np.random.Generator
) -> list[dict[str, torch.Tensor]] | None:
    """Mean differences with shuffled labels in the places of `names`; None where a direction names no prompts."""
    drawn: list[dict[str, torch.Tensor]] = [{} for _ in range(n)]
    for name in names:
        contrast = read_contrast(name, weights.contrast(name), model.info)
        if contrast is None:
            return None
        for into, vector in zip(
            drawn, shuffled_differences(model, contrast, weights.direction(name), n, random), strict=True
        ):
            into[name] = vector
    return drawn


def _as_long(vector: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    vector = vector.to(length.device)
    return vector * (length / vector.norm())


def off_controls(units: Sequence[Neuron | Head], model: Model, first: int, n: int, seed: int) -> Controls:
    """Random sets in the places of `units`, switched off from position `first` on."""
    kind = _kind(list(units))
    if not n:
        return Controls((), kind, "")
    drawn = _draw_units(list(units), model, n, np.random.default_rng(seed))
    if not drawn:
        return Controls((), kind, "these are all units of their kind: there is nothing to compare them with")
    plans = tuple(
        switched_off([unit for unit in one.values() if isinstance(unit, Neuron | Head)], first) for one in drawn
    )
    problem = "" if len(plans) == n else f"there are only {len(plans)} different controls for these units"
    return Controls(plans, kind, problem)


def _drawn_units(edits: Sequence[AnyEdit], plan: Plan, names: Sequence[str]) -> list[Neuron | Head | Site]:
    """The units that controls put others in the places of."""
    units = [unit for unit in plan.units if isinstance(unit, Neuron | Head | Site)]
    if names and all(_takes_direction(edits, unit) for unit in units):
        return []  # a direction is added at these sites: what is drawn is the direction
    return units


def _takes_direction(edits: Sequence[AnyEdit], unit: Unit) -> bool:
    return isinstance(unit, Site) and any(getattr(edit, "direction", "") for edit in edits)


def _draw_units(
    units: Sequence[Neuron | Head | Site], model: Model, n: int, random: np.random.Generator
) -> list[dict[Unit, Unit]]:
    """Up to `n` different sets in the places of `units`, none of them the units themselves."""
    own = frozenset(units)
    pools = _pools(sorted(own, key=lambda unit: (type(unit).__name__, unit)), model)
    drawn: dict[frozenset[Unit], dict[Unit, Unit]] = {}
    for _ in range(20 * n):
        instead: dict[Unit, Unit] = {}
        for members, every in pools:
            chosen = random.choice(len(every), size=len(members), replace=False)
            instead.update(zip(members, (every[index] for index in chosen), strict=True))
        found = frozenset(instead.values())
        if found != own:
            drawn.setdefault(found, instead)
        if len(drawn) == n:
            break
    return list(drawn.values())


def _pools(units: Sequence[Neuron | Head | Site], model: Model) -> list[tuple[list[Unit], list[Unit]]]:
    """For each kind: the edited units, and all units of the kind (they are among them)."""
    info = model.info
    neurons = any(isinstance(unit, Neuron) for unit in units)
    bins = deciles(neuron_strength(model)) if neurons else np.zeros((0, 0), np.int64)
    edited: dict[tuple[str, int, int], list[Unit]] = {}
    for unit in units:
        if isinstance(unit, Site):
            edited.setdefault((unit.name, 0, 0), []).append(unit)
        else:
            group = int(bins[unit.layer, unit.index]) if isinstance(unit, Neuron) else 0
            edited.setdefault((type(unit).__name__, unit.layer, group), []).append(unit)
    pools: list[tuple[list[Unit], list[Unit]]] = []
    for (what, layer, group), members in edited.items():
        every: list[Unit]
        if what == "Neuron":
            every = [Neuron(layer, int(index)) for index in np.flatnonzero(bins[layer] == group)]
        elif what == "Head":
            every = [Head(layer, index) for index in range(info.n_heads)]
        else:
            every = [Site(other, what) for other in range(info.n_layers)]
        pools.append((members, every))
    return pools


def _draw_directions(
    names: Sequence[str], model: Model, weights: JobWeights, n: int, random: np.random.Generator
) -> list[dict[str, torch.Tensor]]:
    """Random vectors N(0, Σ) of the directions' lengths; Σ from the stream in the middle of the model."""
    if not names:
        return [{} for _ in range(n)]
    values = Values(model, 0, False, weights)
    lengths = {name: values.direction(name).norm() for name in names}
    stream = values.sample(Site(model.info.n_layers // 2, "resid_pre")).double()
    centred = (stream - stream.mean(0)).cpu().numpy()
    found = []
    for _ in range(n):
        made = {}
        for name, length in lengths.items():
            made[name] = _as_long(torch.from_numpy(random.standard_normal(len(centred)) @ centred).float(), length)
        found.append(made)
    return found


def _kind(units: Sequence[Neuron | Head | Site]) -> str:
    names = {type(unit) for unit in units}
    one = len(units) == 1
    if names == {Site}:
        return "the same site in other layers" if one else f"random sets of {len(units):,} such sites"
    if one:
        return "random neurons of its kind" if Neuron in names else "other heads of its layer"
    what = "" if len(names) > 1 else " of neurons" if Neuron in names else " of heads"
    return f"random pairs{what}" if len(units) == 2 else f"random sets of {len(units):,}{what[3:]}"


def deciles(strength: np.ndarray) -> np.ndarray:
    """Bin 0 to 9 of each neuron by its rank within the layer, int64 [layer, neuron], bins of equal size."""
    order = np.argsort(np.argsort(strength, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(order * BINS // strength.shape[1])
