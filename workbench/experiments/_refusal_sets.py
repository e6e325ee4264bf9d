"""What `refusal` is asked with, and its two sets in three splits. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, field

from workbench.datasets.instructions import shipped_set
from workbench.datasets.prompts import PromptRow
from workbench.errors import UserError
from workbench.experiments import arms
from workbench.params import Params, PromptSet
from workbench.report import Part
from workbench.text import quoted

SPLITS = ("train", "validation", "test")
LEAST = {"train": 16, "validation": 8}
"""prompts of a class after the filter (METHODS, "Refusal")"""
Stage = Literal["all", "filter", "search", "test"]
Preset = Literal["refusal", "answers"]


class RefusalParams(Params, kw_only=True, frozen=True):
    """Two sets of instructions, what counts as the behaviour, and what is chosen."""

    harmful: Annotated[
        PromptSet,
        Meta(description="instructions that the model has the behaviour on (refuses); the set that ships if none"),
    ] = []
    harmless: Annotated[
        PromptSet, Meta(description="those that it does not have it on; the set that ships if none")
    ] = []
    system: Annotated[
        str,
        Meta(
            description="the chat template's system turn: none (also where the template writes one by itself), "
            "default, or its text"
        ),
    ] = "none"
    targets: Annotated[
        list[str],
        Meta(description="tokens that replies with the behaviour begin with", extra={"example": "I, As"}),
    ] = field(default_factory=lambda: ["I"])
    preset: Annotated[
        Preset,
        Meta(
            description="refusal: of instructions that are refused and not; answers: of refusing and complying "
            "answers, for models that never refuse"
        ),
    ] = "refusal"
    name: Annotated[str, Meta(description="what the direction is called from then on")] = "refusal"
    refusing: Annotated[
        PromptSet,
        Meta(
            description="of the preset answers: answers with the behaviour; those that ship if none",
            extra={"more": True},
        ),
    ] = []
    complying: Annotated[
        PromptSet, Meta(description="and answers without it; those that ship if none", extra={"more": True})
    ] = []
    unfiltered: Annotated[
        bool,
        Meta(
            description="keep the prompts that the model does not treat as their set says",
            extra={"more": True},
        ),
    ] = False
    choose: Annotated[
        str,
        Meta(
            description="go on with this candidate, whatever the rules say: position from the end, layer",
            extra={"example": "-1,L12", "more": True},
        ),
    ] = ""
    train: Annotated[
        int, Meta(ge=16, le=4096, description="prompts of each set to make directions of", extra={"more": True})
    ] = 128
    validation: Annotated[
        int, Meta(ge=8, le=1024, description="prompts of each set to choose by", extra={"more": True})
    ] = 32
    test: Annotated[
        int, Meta(ge=8, le=1024, description="prompts of each set to try the chosen one on", extra={"more": True})
    ] = 100
    positions: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="how many of the last tokens have candidates; 0 is all that the template writes after the text",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 0
    completions: Annotated[
        int,
        Meta(
            ge=0,
            le=1024,
            description="test prompts of each set that are answered with and without the direction; 0 is none",
            extra={"unit": "prompts", "more": True},
        ),
    ] = 64
    tokens: Annotated[
        int, Meta(ge=1, le=4096, description="of each of these answers", extra={"unit": "tokens", "more": True})
    ] = 96
    stage: Annotated[
        Stage, Meta(description="how far to go: the parts of the whole are these", extra={"more": True})
    ] = "all"


def stage_params(params: RefusalParams, stage: Stage) -> RefusalParams:
    """Of one stage as a step of its own: without what comes after it, so that it is the same for every choice."""
    default = type(params)()
    answers = ["completions", "tokens"]
    later = {
        "filter": [*answers, "choose", "name", "unfiltered", "positions", "preset", "refusing", "complying"],
        "search": [*answers, "choose", "name"],
        "test": answers,
    }.get(stage, [])
    return msgspec.structs.replace(params, stage=stage, **{name: getattr(default, name) for name in later})


def arms_params(params: RefusalParams, sets: Mapping[str, Splits]) -> arms.Params:
    """Of the whole answers to the test prompts, which are judged last."""
    prompts = {name: [PromptRow(text) for text in splits.test] for name, splits in sets.items()}
    return arms.Params(
        direction=f"@{params.name.strip().removeprefix('@')}",
        harmful=prompts["harmful"],
        harmless=prompts["harmless"],
        alarming=prompts.get("alarming", []),
        n=params.completions,
        tokens=params.tokens,
        system=params.system,
    )


def parts(params: RefusalParams, seed: int) -> list[Part]:
    """What is taken from the session where it ran before."""
    stages: list[Stage] = ["filter", "search", "test"]
    own = [Part("refusal", stage_params(params, stage)) for stage in stages]
    try:
        return [*own, *arms.parts(arms_params(params, read_sets(params, seed, lambda note: None)), seed)]
    except UserError:
        return own  # what is wrong with the sets is said when it runs


def read_answers(params: RefusalParams) -> tuple[list[str], list[str]]:
    """Refusing and complying answers. Raises UserError for too few, and for those that are in both."""
    refusing, complying = (
        list(dict.fromkeys(row.prompt for row in getattr(params, side) or shipped_set(side)))
        for side in ("refusing", "complying")
    )
    for side, texts in (("refusing", refusing), ("complying", complying)):
        if len(texts) < LEAST["train"]:
            raise UserError(f"there are {len(texts)} {side} answers: give {LEAST['train']} or more")
    common = set(refusing) & set(complying)
    if common:
        raise UserError(f"the answer {quoted(min(common))} is in both sets: leave it out of one")
    return refusing, complying


@dataclass(frozen=True)
class Splits:
    """Texts of one set: no text is in two of them."""

    train: list[str]
    validation: list[str]
    test: list[str]

    def of(self, split: str) -> list[str]:
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


def read_sets(params: RefusalParams, seed: int, note: Callable[[str], None]) -> dict[str, Splits]:
    """The harmful and the harmless set, split by the seed, and where they are those that ship the alarming one to try.

    `note` is called with what a reader must know of them. Raises UserError for sets that overlap or are too small.
    """
    texts = {}
    for side in ("harmful", "harmless"):
        rows = getattr(params, side) or shipped_set(side)
        texts[side] = list(dict.fromkeys(row.prompt for row in rows))
        repeated = len(rows) - len(texts[side])
        if repeated:
            note(f"{repeated} of the {side} prompts are there more than once: each is taken once")
    common = [text for text in texts["harmful"] if text in set(texts["harmless"])]
    if common:
        others = f" and {len(common) - 1} more are" if len(common) > 1 else " is"
        raise UserError(f"the prompt {quoted(common[0])}{others} in both sets: leave each out of one")
    sets = {side: _split(of_side, side, params, seed, note) for side, of_side in texts.items()}
    if not params.harmful and not params.harmless:
        sets["alarming"] = Splits([], [], [row.prompt for row in shipped_set("alarming")])
    return sets


def _split(texts: Sequence[str], side: str, params: RefusalParams, seed: int, note: Callable[[str], None]) -> Splits:
    sizes = [params.train, params.validation, params.test]
    least = LEAST["train"] + LEAST["validation"] + LEAST["validation"]
    if len(texts) < least:
        raise UserError(
            f"there are {len(texts)} {side} prompts: give {least} or more, {LEAST['train']} to make directions of, "
            f"{LEAST['validation']} to choose by and {LEAST['validation']} to try the chosen one on"
        )
    if sum(sizes) > len(texts):
        total = sum(sizes)
        validation, test = (max(LEAST["validation"], len(texts) * size // total) for size in sizes[1:])
        sizes = [len(texts) - validation - test, validation, test]
        note(
            f"there are {len(texts)} {side} prompts, fewer than the {total} that were asked for: {sizes[0]} train, "
            f"{sizes[1]} validation, {sizes[2]} test"
        )
    order = [texts[at] for at in np.random.default_rng(seed).permutation(len(texts))]
    first, second = sizes[0], sizes[0] + sizes[1]
    return Splits(order[:first], order[first:second], order[second : second + sizes[2]])
