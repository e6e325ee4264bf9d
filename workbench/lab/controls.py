"""Matched random controls of an edit: the same edit, done to others of the same kind (METHODS, "Controls").

What a unit is matched with is its kind's (`kinds/`): a neuron with its layer's decile of rms(activation) · ‖w_out‖, a
head with its layer, a site with its name in any layer, a feature with those of its SAE that fire as strongly where it
is edited. A control puts into the place of each edited unit a random one of those, the unit itself included, and is
never the edited set again: the edit and its controls are drawn alike, so by chance any place among them is as likely.
A direction's controls are g ~ N(0, Σ), Σ the covariance of the edited sites; beside them, each kind by itself, mean
differences of the direction's own prompts with shuffled labels, where they came with it, and isotropic ones. All have
its length, which matters where it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from workbench.edits import Add, ParsedEdit
from workbench.errors import UserError
from workbench.lab.compiling import direction_names, places, read_stack, switched_off
from workbench.lab.contrast import read_contrast, shuffled_differences
from workbench.lab.directions.covariance import covariance_draws, named_sites
from workbench.lab.editing import AnyEdit, Plan, Replacement
from workbench.lab.kinds import Pool, lab_kind
from workbench.lab.kinds.kind import EditedAt, sets_of
from workbench.lab.loaded import Model
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.values import Values
from workbench.units import Site, Unit, kind_of


@dataclass(frozen=True)
class Controls:
    """Plans to run beside an edit."""

    plans: tuple[Plan, ...]
    kind: str
    """what they are: `matched random neurons`"""
    problem: str
    """why there are none or fewer than asked for, as a sentence; else empty"""


def make_controls(
    stack: Sequence[ParsedEdit],
    plan: Plan,
    compiled: Callable[..., Plan],
    lab: Lab,
    n: int,
    prompts: Sequence[Prompt] = (),
) -> Controls:
    """Up to `n` different controls of a stack; `compiled(replacement=…)` is its plan with other units or vectors."""
    if n == 0 or not plan.changes:
        return Controls((), "", "")
    if plan.has_functions:
        return Controls((), "", "a Python function has no matched random controls: its effect stands without them")
    names = direction_names(stack)
    units = _drawn_units(stack, plan, names)
    random = np.random.default_rng(lab.seed)
    drawn = _draw_units(units, lab.model, n, random, _edited_at(stack, prompts)) if units else [{} for _ in range(n)]
    sites = _sites_of_directions(stack, names, lab)
    try:
        vectors = _draw_directions(sites, lab, len(drawn))
    except UserError as sentence:
        return Controls((), "", str(sentence))
    plans = tuple(
        compiled(replacement=Replacement(drawn_units, drawn_vectors))
        for drawn_units, drawn_vectors in zip(drawn, vectors, strict=True)
    )
    kind = _kind(units) if units else _kind_of_directions(sites)
    if not plans:
        return Controls((), kind, "the edits take every unit of their kind: there is nothing to compare them with")
    problem = "" if len(plans) == n else f"there are only {len(plans)} different controls for these edits"
    return Controls(plans, kind, problem)


def direction_controls(
    stack: Sequence[ParsedEdit], plan: Plan, compiled: Callable[..., Plan], lab: Lab, n: int
) -> list[Controls]:
    """The further kinds of a stack of directions alone: shuffled labels where they are known, and isotropic."""
    names = direction_names(stack)
    if n == 0 or not names or plan.has_functions or _drawn_units(stack, plan, names):
        return []
    values = Values(lab.model, 0, False, lab.weights)
    vectors_by_kind: list[tuple[str, list[dict[str, torch.Tensor]]]] = []
    problem = ""
    random = np.random.default_rng([lab.seed, 1])
    try:
        shuffled = _shuffled(names, lab, n, random)
    except UserError as sentence:
        shuffled, problem = None, str(sentence)
    if shuffled is not None:
        vectors_by_kind.append(("mean differences of the same prompts, labels shuffled", shuffled))
    random = np.random.default_rng([lab.seed, 2])
    isotropic = [
        {name: torch.from_numpy(random.standard_normal(lab.info.d_model)).float() for name in names} for _ in range(n)
    ]
    vectors_by_kind.append(("random directions, isotropic", isotropic))
    lengths = {name: values.direction(name).norm() for name in names}
    controls_by_kind = []
    for kind, vectors in vectors_by_kind:
        scaled = [{name: _scaled_to(vector, lengths[name]) for name, vector in drawn.items()} for drawn in vectors]
        plans = tuple(compiled(replacement=Replacement({}, drawn)) for drawn in scaled)
        controls_by_kind.append(Controls(plans, kind, problem))
    return controls_by_kind


def _shuffled(
    names: Sequence[str], lab: Lab, n: int, random: np.random.Generator
) -> list[dict[str, torch.Tensor]] | None:
    """Mean differences with shuffled labels in the places of `names`; None where a direction names no prompts."""
    drawn: list[dict[str, torch.Tensor]] = [{} for _ in range(n)]
    for name in names:
        contrast = read_contrast(name, lab.weights.contrast(name), lab.info)
        if contrast is None:
            return None
        for vectors, vector in zip(
            drawn, shuffled_differences(lab.model, contrast, lab.weights.direction(name), n, random), strict=True
        ):
            vectors[name] = vector
    return drawn


def _scaled_to(vector: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    vector = vector.to(length.device)
    return vector * (length / vector.norm())


def _edited_at(stack: Sequence[ParsedEdit], prompts: Sequence[Prompt]) -> dict[Unit, list[EditedAt]]:
    """Where of the prompts each unit is edited."""
    edited_at: dict[Unit, list[EditedAt]] = {}
    for edit in stack:
        for prompt in prompts:
            first, end = edit.at.span(len(prompt))
            for unit in edit.units:
                edited_at.setdefault(unit, []).append(EditedAt(prompt, first, len(prompt) if end is None else end))
    return edited_at


def off_controls(
    units: Sequence[Unit], model: Model, first: int, n: int, seed: int, spans: Sequence[EditedAt] = ()
) -> Controls:
    """Random sets in the places of `units`, switched off from position `first` on.

    `spans` are where they are switched off: a feature's controls fire there (without any, on the fixed text).
    """
    kind = _kind(list(units))
    if not n:
        return Controls((), kind, "")
    drawn = _draw_units(list(units), model, n, np.random.default_rng(seed), dict.fromkeys(units, spans))
    if not drawn:
        return Controls((), kind, "these are all units of their kind: there is nothing to compare them with")
    plans = tuple(switched_off(replacements.values(), model.info, first, model=model) for replacements in drawn)
    problem = "" if len(plans) == n else f"there are only {len(plans)} different controls for these units"
    return Controls(plans, kind, problem)


def _drawn_units(stack: Sequence[ParsedEdit], plan: Plan, names: Sequence[str]) -> list[Unit]:
    """The units that controls replace by random ones."""
    units = [unit for unit in plan.units if lab_kind(unit).matched]
    adds_direction = any(edit.edit.operation == "add direction" for edit in stack)
    if names and adds_direction and all("add direction" not in kind_of(unit).refuses for unit in units):
        return []  # a direction is added at these sites: what is drawn is the direction
    return units


def _draw_units(
    units: Sequence[Unit],
    model: Model,
    n: int,
    random: np.random.Generator,
    edited_at: Mapping[Unit, Sequence[EditedAt]],
) -> list[dict[Unit, Unit]]:
    """Up to `n` different sets in the places of `units`, none of them the units themselves."""
    edited = frozenset(units)
    pools = _pools(edited, model, edited_at)
    drawn: dict[frozenset[Unit], dict[Unit, Unit]] = {}
    for _ in range(20 * n):
        replaced_by: dict[Unit, Unit] = {}
        for pool in pools:
            chosen = random.choice(len(pool.candidates), size=len(pool.edited), replace=False)
            replaced_by.update(zip(pool.edited, (pool.candidates[index] for index in chosen), strict=True))
        replacements = frozenset(replaced_by.values())
        if replacements != edited:
            drawn.setdefault(replacements, replaced_by)
        if len(drawn) == n:
            break
    return list(drawn.values())


def _pools(units: Iterable[Unit], model: Model, edited_at: Mapping[Unit, Sequence[EditedAt]]) -> list[Pool[Any]]:
    """The edited units by what they can be exchanged with."""
    pools: list[Pool[Any]] = []
    for members in _by_kind(units):
        matched = lab_kind(members[0]).matched
        assert matched is not None, "units without matched ones are not drawn"
        pools += matched.pools(members, model, edited_at)
    return pools


def _by_kind(units: Iterable[Unit]) -> list[list[Unit]]:
    """In one order, whatever theirs is, so that draws follow the seed."""
    ordered = sorted(units, key=lambda unit: (type(unit).__name__, unit))
    return [list(members) for _, members in groupby(ordered, type)]


def _sites_of_directions(stack: Sequence[ParsedEdit], names: Sequence[str], lab: Lab) -> dict[str, frozenset[Site]]:
    """Where each direction is added, projected out or set."""
    values = Values(lab.model, 0, False, lab.weights)
    sites: dict[str, set[Site]] = {name: set() for name in names}
    for edit in stack:
        for name in edit.directions:
            added = isinstance(edit.edit, Add) and edit.edit.direction == name
            units = [unit for unit in edit.units if added or unit.needs_direction == name]
            sites[name].update(place.site for place in places(units, lab.info, values))
    return {name: frozenset(edited) for name, edited in sites.items()}


def _draw_directions(sites: Mapping[str, frozenset[Site]], lab: Lab, n: int) -> list[dict[str, torch.Tensor]]:
    """Random vectors N(0, Σ) of the directions' lengths; Σ from the sites of each. Raises UserError."""
    values = Values(lab.model, 0, False, lab.weights)
    drawn: list[dict[str, torch.Tensor]] = [{} for _ in range(n)]
    for edited in dict.fromkeys(sites.values()):
        names = [name for name in sites if sites[name] == edited]
        draws = covariance_draws(lab.model, edited, n * len(names), lab.seed, lab.report)
        if lab.report is not None:
            lab.report.note(draws.remark)
        for at, name in enumerate(names):
            length = values.direction(name).norm()
            for vectors, vector in zip(drawn, draws.vectors[at :: len(names)], strict=True):
                vectors[name] = _scaled_to(vector, length)
    return drawn


def _kind_of_directions(sites: Mapping[str, frozenset[Site]]) -> str:
    edited = frozenset().union(*sites.values())
    place = f"at {named_sites(edited)}" if len(edited) == 1 else "of the edited sites"
    return f"random directions of the covariance {place}"


def _kind(units: Sequence[Unit]) -> str:
    kinds = {lab_kind(members[0]).matched for members in _by_kind(units)}
    matched = kinds.pop() if len(kinds) == 1 else None
    return matched.describe(len(units)) if matched else sets_of(len(units), "")


def controls(
    lab: Lab, edits: Sequence[AnyEdit], n: int, chat: bool = False, prompts: Sequence[Prompt] = ()
) -> Controls:
    """Up to `n` matched random controls of a stack, drawn with the job's seed.

    `prompts` are those that the edit acts on: a feature's controls fire there (without any, on the fixed text).
    """
    stack = read_stack(edits, lab.info)
    compiled = lab.compiler(stack, chat)
    return make_controls(stack, compiled(), compiled, lab, n, prompts)


def further_controls(lab: Lab, edits: Sequence[AnyEdit], n: int, chat: bool = False) -> list[Controls]:
    """Further kinds of controls of a stack that is directions alone, each to be shown by itself."""
    stack = read_stack(edits, lab.info)
    compiled = lab.compiler(stack, chat)
    return direction_controls(stack, compiled(), compiled, lab, n)
