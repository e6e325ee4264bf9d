"""Matched random controls of an edit: the same edit, done to other units of the same kind (METHODS 0).

A neuron's kind is its layer and the decile of rms(activation) · ‖w_out‖ within it, on a fixed text of ours; a head's is
its layer. A control puts into the place of each edited unit a random one of its kind, the unit itself included, and is
never the edited set again: the edit and its controls are drawn alike, so by chance any place among them is as likely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.lab.editing import AnyEdit, Plan, compile_plan
from workbench.model_info import ModelInfo
from workbench.units import Head, Neuron, Unit

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
    edits: Sequence[AnyEdit], plan: Plan, info: ModelInfo, strength: Callable[[], np.ndarray], n: int, seed: int
) -> Controls:
    """Up to `n` different controls of a stack. `strength()` is rms(a) · ‖w_out‖, [layer, neuron]."""
    if n == 0 or not plan.changes:
        return Controls((), "", "")
    if not plan.controllable:
        return Controls((), "", "only edits of neurons and heads have matched random controls: this effect has none")
    units = sorted(plan.units, key=lambda unit: (isinstance(unit, Head), unit.layer, unit.index))
    random = np.random.default_rng(seed)
    pools = _pools(units, info, strength)
    drawn: dict[frozenset[Unit], dict[Unit, Neuron | Head]] = {}
    for _ in range(20 * n):
        instead = _draw(pools, random)
        chosen = frozenset(instead.values())
        if chosen != plan.units:
            drawn.setdefault(chosen, instead)
        if len(drawn) == n:
            break
    plans = tuple(compile_plan(edits, info, instead=instead) for instead in drawn.values())
    kind = _kind(units)
    if not plans:
        return Controls((), kind, "the edits take every unit of their kind: there is nothing to compare them with")
    problem = "" if len(plans) == n else f"there are only {len(plans)} different controls for these edits"
    return Controls(plans, kind, problem)


def _pools(
    units: Sequence[Neuron | Head], info: ModelInfo, strength: Callable[[], np.ndarray]
) -> list[tuple[list[Neuron | Head], list[Neuron | Head]]]:
    """For each kind: the edited units, and all units of the kind (they are among them)."""
    bins = deciles(strength()) if any(isinstance(unit, Neuron) for unit in units) else np.zeros((0, 0))
    edited: dict[tuple[bool, int, int], list[Neuron | Head]] = {}
    for unit in units:
        group = int(bins[unit.layer, unit.index]) if isinstance(unit, Neuron) else 0
        edited.setdefault((isinstance(unit, Neuron), unit.layer, group), []).append(unit)
    pools: list[tuple[list[Neuron | Head], list[Neuron | Head]]] = []
    for (neuron, layer, group), members in edited.items():
        every: list[Neuron | Head]
        if neuron:
            every = [Neuron(layer, int(index)) for index in np.flatnonzero(bins[layer] == group)]
        else:
            every = [Head(layer, index) for index in range(info.n_heads)]
        pools.append((members, every))
    return pools


def _draw(
    pools: list[tuple[list[Neuron | Head], list[Neuron | Head]]], random: np.random.Generator
) -> dict[Unit, Neuron | Head]:
    instead: dict[Unit, Neuron | Head] = {}
    for members, every in pools:
        chosen = random.choice(len(every), size=len(members), replace=False)
        instead.update(zip(members, (every[index] for index in chosen), strict=True))
    return instead


def _kind(units: Sequence[Neuron | Head]) -> str:
    names = {type(unit) for unit in units}
    if len(units) == 1:
        return "random neurons of its kind" if Neuron in names else "other heads of its layer"
    what = "" if len(names) > 1 else " of neurons" if Neuron in names else " of heads"
    return f"random pairs{what}" if len(units) == 2 else f"random sets of {len(units):,}{what[3:]}"


def deciles(strength: np.ndarray) -> np.ndarray:
    """Bin 0 to 9 of each neuron by its rank within the layer, int64 [layer, neuron], bins of equal size."""
    order = np.argsort(np.argsort(strength, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(order * BINS // strength.shape[1])
