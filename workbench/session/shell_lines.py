"""What is shown for copying: lines that make the same step when they are pasted into a shell.

Sets, probes and directions lie in the session, so that a line that uses them names its file; one whose name stands for
another by now is named by its hash.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workbench.artifacts import SHORT_HASH, data_set, direction, probe, prompt_set
from workbench.artifacts.direction import direction_names
from workbench.edits import Edit, parse_edits
from workbench.errors import UserError
from workbench.experiment import command_line
from workbench.experiments import experiment, experiments
from workbench.params import DATA_SET, DATA_SETS, PROBE, PROMPT_SET, STORED, Kind, fields, make_params, naming_fields
from workbench.report import NextStep
from workbench.session.reader import SessionReader
from workbench.session.records import StepRecord

RUN = ("workbench", "run")
_ARTIFACTS = {PROMPT_SET: prompt_set.NAME, DATA_SET: data_set.NAME, DATA_SETS: data_set.NAME, PROBE: probe.NAME}
"""kinds of artifacts by the kinds of parameters that take them"""


def step_words(reader: SessionReader, record: StepRecord) -> list[str]:
    """The words of the command that a step stands for; none where no command does."""
    try:
        words = shlex.split(record.command)
    except ValueError:
        return []  # no line of ours
    if tuple(words[:2]) != RUN:
        return []
    kinds = {field.flag: (field.name, field.kind) for field in _fields(record.experiment)}
    options = split_options(record.experiment, words[3:])
    for option in options:
        name, kind = kinds.get(option[0], ("", None))
        if kind in _ARTIFACTS and record.sets.get(name) and len(option) > 1:
            option[1] = _references(reader, _ARTIFACTS[kind], option[1], record.sets[name])
    of_session = {direction.NAME, *_ARTIFACTS.values()}
    used = [use for use in reader.artifacts_of(record.id) if use.role == "used" and use.kind in of_session]
    naming = {"--edit", *(flag for flag, (_, kind) in kinds.items() if kind.units or kind.directions)}
    for use in used:
        if use.kind == direction.NAME and reader.artifact_named(use.kind, use.name) != use.hash:
            pattern = re.compile(rf"@{re.escape(use.name)}(?![\w.-])")
            for option in options:
                if option[0] in naming and len(option) > 1:
                    option[1] = pattern.sub(f"@_{use.hash[:SHORT_HASH]}", option[1])
    words = [*words[:3], *(word for option in options for word in option)]
    return [*words, "--session", str(reader.path)] if used else words


def _references(reader: SessionReader, kind: str, typed: str, hashes: Sequence[str]) -> str:
    """`@NAME` of each of these artifacts where that is what the name means, else its hash."""
    names = typed.split(",")
    names += [""] * (len(hashes) - len(names))
    return ",".join(
        name if name.startswith("@") and reader.artifact_named(kind, name[1:]) == digest else f"@{digest[:SHORT_HASH]}"
        for name, digest in zip(names, hashes, strict=False)
    )


def _fields(name: str) -> Sequence[Any]:
    return fields(experiments()[name].params) if name in experiments() else ()


def split_options(name: str, words: Sequence[str]) -> list[list[str]]:
    """The options of a command of the experiment `name`, each with its value where it has one."""
    switches = {"--transfer"}
    for field in _fields(name):
        if field.kind.is_switch:
            switches |= {field.flag, "--no-" + field.flag[2:]}
    options: list[list[str]] = []
    at = 0
    while at < len(words):
        stop = at + (1 if words[at] in switches else 2)
        options.append(list(words[at:stop]))
        at = stop
    return options


def next_words(step: NextStep, record: StepRecord, session: str) -> list[str]:
    """The words of a suggestion, on the same model and under the edits it means; `session` is the step's file."""
    try:
        edits = step_edits(record) if step.edits is None else parse_edits(step.edits)
        definition = experiment(step.experiment)
        kinds = {field.name: field.kind for field in fields(definition.params)}
        # A set of the session is suggested by its name alone.
        names = {
            key: value for key, value in step.params.items() if kinds.get(key) in STORED and isinstance(value, str)
        }
        params = make_params(definition.params, {key: value for key, value in step.params.items() if key not in names})
        ref = record.model.ref if record.model and record.model.ref != "default" else None
        words = shlex.split(command_line(definition.name, params, edits, model=ref, seed=record.seed, names=names))
        naming = [step.params[key] for key in naming_fields(definition.params) if isinstance(step.params.get(key), str)]
        if names or _has_sets(step.params, kinds) or direction_names(edits, naming):
            words += ["--session", session]
        return words
    except UserError:
        return [*RUN, step.experiment]


def _has_sets(params: Mapping[str, Any], kinds: Mapping[str, Kind]) -> bool:
    return any(kinds.get(key) in STORED and value for key, value in params.items())


def step_edits(record: StepRecord) -> list[Edit]:
    """The step's edits as they were. Raises UserError where a crafted file holds something else."""
    try:
        return msgspec.convert(record.edits, list[Edit])
    except msgspec.ValidationError as error:
        raise UserError(f"the edits of step {record.id} cannot be read: {error}") from None
