"""Experiments: parameters in; a sentence, views and scalars out. One definition serves every front.

An experiment is one file of `workbench.experiments` that holds an `EXPERIMENT`: its `Params`, its
`run(lab, params, report)`, and what fronts have to know of it. From it follow the form, the flags, the JSON in the log,
validation, replay and help. `workbench.experiments` finds them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from workbench.batch_memory import Work
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.edits import Edit
from workbench.model_info import ModelInfo
from workbench.params import (
    CONVERSATION,
    CORPUS,
    DATA_SET,
    DATA_SETS,
    LIST,
    NUMBERS,
    PROMPT_SET,
    STORED,
    Params,
    fields,
    write_items,
)
from workbench.report import NextStep, Part, Report
from workbench.views import Heatmap

Group = Literal["says", "parts", "neurons", "directions", "probes", "saes"]
GROUPS: dict[Group, str] = {
    "says": "what the model says, and what it reads",
    "parts": "which parts of it make that",
    "neurons": "neurons over a whole corpus",
    "directions": "directions of the stream: found, looked at, steered along",
    "probes": "labelled sets: which units tell two classes apart",
    "saes": "sparse autoencoders: what they keep, and what they lose",
}
"""in the order a newcomer meets them"""


class Cost(msgspec.Struct, kw_only=True, frozen=True):
    """How much work a run is, in whole forward passes."""

    passes: float
    tokens: float
    """of each pass"""
    typical: bool = True
    """a run does all of it, so that its time gives a rate; False where part of the work may have been done before"""
    disk: int = 0
    """bytes that it keeps in the cache"""

    @property
    def work(self) -> float:
        """Tokens."""
        return self.passes * self.tokens


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a run holds in memory from its beginning on, beside batches whose size follows what is free."""

    what: str
    bytes: int
    cure: str
    """what would make it smaller: `a smaller --width`"""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What one file of `workbench.experiments` defines."""

    name: str
    help: str
    """the file's docstring; its first line is the summary"""
    params: type[Params]
    run: Callable[[Any, Any, Report], None]
    """`run(lab, params, report)`: lab is a `workbench.lab.Lab`, params of the class above"""
    group: Group
    order: int
    """within its group"""
    takes_edits: bool = True
    takes_judge: bool = False
    """a command of the user's may judge what it generates (`workbench.judging`)"""
    long: bool = False
    """takes more than seconds: interactive work goes between its batches"""
    brief: bool = False
    """over in seconds though it reads of a corpus: it goes between the batches of long ones"""
    cost: Callable[[Any, ModelInfo], Cost | None] | None = None
    """what a run will take, where that is worth saying before it begins; from parameters that may be no good"""
    works: Callable[[Any, bool], Sequence[Work]] = lambda params, edited: ("index",)
    """`works(params, edited)`: the kinds of batches that go through the model, of which one row has to fit; by default
    passes that keep nothing"""
    holds: Callable[[Any, ModelInfo], Sequence[Held]] | None = None
    parts: Callable[[Any, int], list[Part]] | None = None
    """`parts(params, seed)`: what such a run takes from its session where it ran before"""
    cell: Callable[[Any, str, Heatmap, int, int], NextStep | None] | None = None
    """`cell(params, key, view, row, column)`: what a cell of the heat map `key` stands for; None if nothing"""

    def is_long(self, params: Params) -> bool:
        """Whether such a run takes more than seconds: a set or a corpus makes any experiment long."""
        if self.long or self.brief:
            return self.long
        return any(
            field.kind in (PROMPT_SET, DATA_SET, DATA_SETS, CORPUS) and getattr(params, field.name)
            for field in fields(self.params)
        )

    @property
    def summary(self) -> str:
        return self.help.strip().splitlines()[0].rstrip(".")


def command_line(
    name: str,
    params: Params,
    edits: Sequence[Edit] = (),
    *,
    model: str | None = None,
    seed: int | None = None,
    names: Mapping[str, str] | None = None,
    transfer: bool = False,
) -> str:
    """The `workbench run …` words that a step stands for, as POSIX quotes them; `names` are its sets', by parameter.

    A set without a name stands there with its hash, as a session knows it. With `transfer` it may use directions of
    another model. What is shown for copying is made of it by `workbench.session.shell_lines`.
    """
    words = ["workbench", "run", name]
    for field in fields(type(params)):
        value = getattr(params, field.name)
        if value == field.default and field.name not in (names or {}):
            continue
        if field.kind.is_switch:
            words.append(field.flag if value else "--no-" + field.name.replace("_", "-"))
        elif field.kind is DATA_SETS:
            words += [field.flag, ",".join(f"@{labelled.name or _short_hash(labelled)}" for labelled in value)]
        elif field.kind in STORED:
            name_of_set = (names or {}).get(field.name) or (value.name if field.kind is not PROMPT_SET else "")
            words += [field.flag, f"@{name_of_set or _short_hash(value)}"]
        elif field.kind is CONVERSATION:
            words += [field.flag, field.kind.write(value)]
        elif field.kind in (LIST, NUMBERS):
            words += [field.flag, write_items(value)]
        else:
            words += [field.flag, str(value)]
    for edit in edits:
        words += ["--edit", str(edit)]
    if transfer:
        words.append("--transfer")
    if model:
        words += ["--model", model]
    if seed:
        words += ["--seed", str(seed)]
    return shlex.join(words)


def _short_hash(value: Any) -> str:
    """Of a set, as a session that holds it takes it for its name."""
    from workbench.artifacts import SHORT_HASH, data_set, prompt_set  # numpy, which nothing needs before the first step

    content = data_set.content_of(value) if isinstance(value, LabelledSet) else prompt_set.content_of(value)
    return content.hash[:SHORT_HASH]
