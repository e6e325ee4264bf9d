"""A run as the user submits it, checked and completed: the same from every front.

The worker makes one of each request, the Python API of each call. `basket` and `basket:NAME` are replaced by the
session's pins, and `L10.F77` by `L10.F77/NAME` with its SAE's, so that the log says what was meant.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workbench.artifacts.direction import Direction, direction_names
from workbench.edits import STACK, Edit, Function, Stacks, check_stack, parse_edits
from workbench.errors import UserError
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.judging import JudgeCommand
from workbench.model_info import ModelInfo
from workbench.params import (
    DIRECTIONS,
    EVERY_DIRECTION,
    Params,
    fields,
    make_params,
    naming_fields,
    params_builtins,
)
from workbench.report import Earlier
from workbench.session.directions import comparable_directions, resolve_directions
from workbench.session.earlier import earlier_parts
from workbench.session.features import changed_saes, name_saes, texts_naming_features
from workbench.session.reader import SessionReader
from workbench.session.stored_weights import as_recorded
from workbench.shell import LONGEST
from workbench.units import expand_sets, names_sets, parse_units


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged of a step before it runs, and what the model process gets."""

    experiment: str
    params: dict[str, Any]
    """with their defaults, as plain data"""
    edits: list[Edit]
    seed: int
    command: str
    """the `workbench run …` line it stands for; empty where a Python function is among the edits, and where it is
    longer than a shell takes"""
    long: bool
    """interactive work goes between its batches"""
    directions: dict[str, Direction] = {}
    """by the names that edits and parameters use for them"""
    earlier: list[Earlier] = []
    """parts of it that ran before in the session"""
    names: dict[str, str] = {}
    """what prompt sets among the parameters are called, by parameter"""
    judge: JudgeCommand | None = None
    """never stored, and never of a step that is run again"""
    remarks: list[str] = []
    """what a reader of its result must know of how it was submitted"""


def make_submission(
    name: str,
    params: Mapping[str, Any],
    edits: Sequence[Edit],
    *,
    session: str = "",
    info: ModelInfo | None = None,
    model: str | None = None,
    seed: int = 0,
    names: Mapping[str, str] | None = None,
    again: int | None = None,
    directions: Mapping[str, Direction] | None = None,
    transfer: bool = False,
    judge: JudgeCommand | None = None,
) -> Submission:
    """A run of the experiment `name`; `session` is the path of the file whose basket and directions are meant, if any.

    `names` are those of prompt sets, by parameter. With `again`, a step that is run again, names of directions stand
    for what it recorded, and `judge` is not taken; a part of a step uses the `directions` of its step. With `transfer`,
    directions of another model may be used. Raises UserError for what could never run: parameters, sets and names that
    stand for nothing, edits that contradict each other.
    """
    definition = experiment(name)
    remarks: list[str] = []
    if again and session and os.path.exists(session):
        params, edits, remarks = as_recorded(params, edits, naming_fields(definition.params), session, again)
    expanded_params = _expand_every_direction(name, params, session, info, transfer)
    stack = expand_baskets(edits, session)
    naming = naming_fields(definition.params)
    expanded_params, stack = name_saes(_expand_param_baskets(name, expanded_params, session), stack, naming, info)
    values = make_params(definition.params, expanded_params)
    remarks += changed_saes(texts_naming_features(expanded_params, stack, naming), session, again)
    if stack and not definition.takes_edits:
        raise UserError(f"{name} takes no edits: run it without them")
    if judge and not definition.takes_judge:
        raise UserError(f"{name} generates nothing that a judge could read: run it without one")
    if info:
        check_stack(stack, info)
    else:
        for edit in stack:
            if "*" not in edit.units:  # only a model says which units a star means
                parse_units(edit.units)
    plain = params_builtins(values)
    used_directions = direction_names(stack, _named(definition.params, plain, several=False))
    compared_directions = direction_names([], _named(definition.params, plain, several=True))
    names_of_directions = list(dict.fromkeys([*used_directions, *compared_directions]))
    resolved = (
        resolve_directions(names_of_directions, session, again, transfer) if directions is None else dict(directions)
    )
    for compared in set(compared_directions) & set(resolved) - set(used_directions):
        # the step keeps its numbers, but nobody chose it: the session's names stay as they are
        resolved[compared] = msgspec.structs.replace(resolved[compared], takes_name=False)
    command = command_line(name, values, stack, model=model, seed=seed, names=names, transfer=transfer)
    if any(isinstance(edit, Function) for edit in stack) or len(command.encode("utf-8", "replace")) > LONGEST:
        command = ""
    return Submission(
        experiment=name,
        params=plain,
        edits=stack,
        seed=seed,
        command=command,
        long=definition.is_long(values),
        directions={direction: resolved[direction] for direction in names_of_directions if direction in resolved},
        earlier=earlier_parts(session, definition.parts(values, seed), seed, again) if definition.parts else [],
        names=dict(names or {}),
        judge=None if again else judge,
        remarks=remarks,
    )


def _named(params: type[Params], values: Mapping[str, Any], *, several: bool) -> list[str]:
    """What parameters of units and of one direction name; with `several`, what those of several directions do."""
    lists = {field.name for field in fields(params) if field.kind is DIRECTIONS}
    return [values[name] for name in naming_fields(params) if (name in lists) == several]


def _expand_every_direction(
    name: str, params: Mapping[str, Any], session: str, info: ModelInfo | None, transfer: bool
) -> dict[str, Any]:
    """Parameters of several directions with EVERY_DIRECTION as the names there are, so that the log says them."""
    names: dict[str, str] = {}
    for field in fields(experiment(name).params):
        if field.kind is DIRECTIONS and params.get(field.name, field.default) == EVERY_DIRECTION:
            names[field.name] = ", ".join(f"@{known}" for known in comparable_directions(session, info, transfer))
    return {**params, **names}


def expand_baskets(edits: Sequence[Edit], session: str) -> list[Edit]:
    """Edits with `basket` and `basket:NAME` as the units that are pinned in the session's file.

    Raises GrammarError for a set that has none, naming the ones there are.
    """
    if not any(names_sets(edit.units) for edit in edits):
        return list(edits)
    pins = _pins(session)
    return [
        msgspec.structs.replace(edit, units=expand_sets(edit.units, pins)) if names_sets(edit.units) else edit
        for edit in edits
    ]


def _expand_param_baskets(name: str, params: Mapping[str, Any], session: str) -> dict[str, Any]:
    """The same for the parameters that name units."""
    unit_params = [field.name for field in fields(experiment(name).params) if field.kind.units]
    set_texts = {
        key: params[key] for key in unit_params if isinstance(params.get(key), str) and names_sets(params[key])
    }
    if not set_texts:
        return dict(params)
    pins = _pins(session)
    return {**params, **{key: expand_sets(text, pins) for key, text in set_texts.items()}}


def _pins(session: str) -> list[tuple[str, str]]:
    if not session or not os.path.exists(session):
        return []
    with SessionReader(session) as reader:
        return [(pin.unit, pin.name) for pin in reader.pins()]


def read_edits(texts: Sequence[str], session: str, info: ModelInfo | None = None) -> list[Edit]:
    """A stack as typed, with `stack:NAME` as the edits that are saved under this name in `session`.

    Raises GrammarError, also for a name that there is not.
    """
    stacks: Stacks = {}
    if session and os.path.exists(session) and any(STACK in text for text in texts):
        with SessionReader(session) as reader:
            stacks = reader.stacks()
    return parse_edits(texts, info, stacks)
