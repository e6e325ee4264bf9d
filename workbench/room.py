"""Whether an experiment fits into the memory that is free, before it begins: a model can fit where it does not.

What is asked is the smallest that it can do: a batch of one row, of the longest text that its parameters hold. No
torch: the shell, the screens and the lab say the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from workbench.batch_memory import Work, batch_bytes, rows_fitting
from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.model_info import ModelInfo
from workbench.params import CONVERSATION, CORPUS, DATA_SET, DATA_SETS, PROMPT, PROMPT_SET, Params, fields, make_params
from workbench.text import count, size

SAID: dict[Work, str] = {
    "clean": "a pass over {} tokens",
    "forward": "a clean and an edited pass over {} tokens",
    "last": "edits of a prompt of {} tokens",
    "stream": "the stream of {} tokens at every layer",
    "gradients": "gradients of {} tokens",
    "generation": "generation behind {} tokens",
    "index": "a pass over {} tokens",
}
DTYPE = "bfloat16"
"""what halves the memory of a model in float32"""

CountTokens = Callable[[str, bool, Sequence[Turn]], int]
"""Tokens of a text, in the chat template or not, after earlier turns; 0 where it can't be read."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of the things that an experiment has to hold."""

    what: str
    bytes: int
    cure: str = ""
    """what would make it smaller; empty where a shorter prompt would"""
    work: Work | None = None
    """of a batch"""
    length: int = 0
    """tokens of its rows"""


def estimated_tokens(text: str) -> float:
    """How many tokens a text may be, before any tokenizer is there: four characters each."""
    return max(1.0, round(len(text) / 4))


def check_room(
    experiment: Experiment,
    params: Params,
    edited: bool,
    info: ModelInfo,
    free: int,
    free_on_cpu: int,
    count_tokens: CountTokens,
) -> None:
    """Raises UserError where the experiment can't fit into `free` bytes: what takes them, and what would fit.

    `free_on_cpu` counts where the model lies elsewhere.
    """
    if all(part.bytes <= free for part in parts(experiment, params, edited, info, lambda *_: info.n_ctx)):
        return  # no text that the model can read is too long
    part = largest(parts(experiment, params, edited, info, count_tokens))
    if part is not None and part.bytes > free:
        raise UserError(_too_large(experiment.name, part, info, free, free_on_cpu))


def parts(
    experiment: Experiment, params: Params, edited: bool, info: ModelInfo, count_tokens: CountTokens
) -> list[Part]:
    """The smallest batch of each kind, and what it holds beside batches."""
    prompt, window = _longest_text(params, count_tokens), _window(params)
    length = min(info.n_ctx, max(prompt, window))
    shorter = "--context" if window > prompt else ""
    batches = [
        Part(
            what=SAID[work].format(count(length)),
            bytes=smallest_bytes(info, length, work),
            cure=shorter,
            work=work,
            length=length,
        )
        for work in (experiment.works(params, edited) if length else ())
    ]
    held = experiment.holds(params, info) if experiment.holds else ()
    return batches + [Part(what=each.what, bytes=each.bytes, cure=each.cure) for each in held]


def largest(held: Sequence[Part]) -> Part | None:
    return max(held, key=lambda part: part.bytes, default=None)


def smallest_bytes(info: ModelInfo, length: int, work: Work) -> int:
    """Bytes of one row; of edits of a prompt, one beside the clean row, and the stream of the prompt."""
    if work == "last":
        return (
            batch_bytes(info, 2, length, work)
            + batch_bytes(info, 1, length, "stream")
            - batch_bytes(info, 1, length, "index")
        )
    return batch_bytes(info, 1, length, work)


def _longest_text(params: Params, count_tokens: CountTokens) -> int:
    """Tokens of the longest text among parameters, by its characters; 0 where there is none."""
    texts: list[str] = []
    earlier: Sequence[Turn] = ()
    for field in fields(type(params)):
        value: Any = getattr(params, field.name)
        if field.kind is PROMPT:
            texts.append(value)
        elif field.kind is PROMPT_SET:
            texts += [row.prompt for row in value]
        elif field.kind in (DATA_SET, DATA_SETS):
            sets = value if field.kind is DATA_SETS else [value]
            texts += [text.text for labelled in sets for text in labelled.texts]
        elif field.kind is CONVERSATION:
            earlier = value
    text = max(texts, key=len, default="")
    return count_tokens(text, getattr(params, "chat", False), earlier) if text else 0


def _window(params: Params) -> int:
    """Tokens of a window of the corpus; 0 where none is read."""
    is_read = any(field.kind is CORPUS and getattr(params, field.name) for field in fields(type(params)))
    window: int = getattr(params, "context", 0) if is_read else 0
    return window


def _too_large(name: str, part: Part, info: ModelInfo, free: int, free_on_cpu: int) -> str:
    """The sentence for what does not fit beside a model that does."""
    cures = [f"take {part.cure}"] if part.cure else []
    if part.work:
        lengths = range(1, part.length)
        fitting = bisect_right(lengths, free, key=lambda length: smallest_bytes(info, length, part.work))  # type: ignore[arg-type]
        shorter = f"{part.cure} of " if part.cure else "a prompt of "
        cures = [f"take {shorter}at most {count(fitting)} tokens"] if fitting else []
        halved = smallest_bytes(msgspec.structs.replace(info, dtype=DTYPE), part.length, part.work)
        if info.dtype == "float32" and halved <= free + 2 * info.n_parameters:
            cures.append(f"use --dtype {DTYPE}, in which it is {size(halved)}")
    if info.device != "cpu" and part.bytes + 4 * info.n_parameters <= free_on_cpu:
        cures.append("use --device cpu")
    cures.append("free memory" if info.device == "cpu" else f"free memory of {info.device}")
    cures[-1] = f"or {cures[-1]}" if len(cures) > 1 else cures[-1]
    where = "memory" if info.device == "cpu" else f"the memory of {' and '.join(info.devices)}"
    return (
        f"{info.name} fits, but {name} on it does not: for {part.what} it needs {size(part.bytes)} of {where}, and "
        f"{size(free)} are free. You can {', '.join(cures)}"
    )


def without_room(experiments: Iterable[Experiment], info: ModelInfo, free: int, length: int) -> dict[str, list[str]]:
    """What takes more than `free` bytes for a prompt of `length` tokens, with the experiments that need it."""
    lacking: dict[str, list[str]] = {}
    length = min(length, info.n_ctx)
    for experiment in experiments:
        for work in experiment.works(make_params(experiment.params, {}), True):
            if smallest_bytes(info, length, work) > free:
                lacking.setdefault(SAID[work].format(count(length)), []).append(experiment.name)
    return lacking


def expected_bytes(
    experiment: Experiment, params: Params, info: ModelInfo, free: int, count_tokens: CountTokens
) -> int:
    """What a run is going to take at most: its batches are as large as `free` bytes allow."""
    taken = [0]
    for part in parts(experiment, params, True, info, count_tokens):
        rows = rows_fitting(info, part.length, part.work, free) if part.work else 0
        batch = batch_bytes(info, rows, part.length, part.work) if part.work else 0
        taken.append(max(part.bytes, batch))
    return max(taken)
