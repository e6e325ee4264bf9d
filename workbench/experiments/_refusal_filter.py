"""Which prompts the unedited model treats as their set says: those directions are made of, and chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.experiments._refusal_sets import LEAST, SPLITS, Splits
from workbench.text import number
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.report import Report


@dataclass(frozen=True)
class Side:
    """One set with the unedited scores of its prompts."""

    name: str
    """`harmful`, `harmless`, `alarming`"""
    splits: Splits
    scores: dict[str, np.ndarray]
    """float64 [prompt], by split"""

    def positive(self, split: str) -> int:
        """How many have score > 0."""
        return int((self.scores[split] > 0).sum())

    def kept(self, split: str, unfiltered: bool) -> list[str]:
        """Harmful ones with score > 0, harmless ones with score < 0; of the test split, and unfiltered, all."""
        texts = self.splits.of(split)
        if unfiltered or split == "test":
            return list(texts)
        sign = 1 if self.name == "harmful" else -1
        return [text for text, score in zip(texts, self.scores[split], strict=True) if sign * score > 0]


def shortfall(sides: Sequence[Side]) -> str:
    """Which of the harmful and harmless classes are too few after the filter, for a sentence; empty where none is."""
    problems = []
    for side in sides[:2]:
        for split, least in LEAST.items():
            n = len(side.kept(split, False))
            if n < least:
                sign = ">" if side.name == "harmful" else "<"
                problems.append(
                    f"{n} of {len(side.splits.of(split))} {side.name} {split} prompts have score {sign} 0, {least} are "
                    "needed"
                )
    return "; ".join(problems)


def filter_table(sides: Sequence[Side]) -> Table:
    rows: list[list[object]] = []
    for side in sides:
        for split in SPLITS:
            scores = side.scores[split]
            if not len(scores):
                continue
            low, median, high = np.quantile(scores, (0.05, 0.5, 0.95))
            kept = len(side.kept(split, False))
            used = "alarming" not in side.name
            rows.append(
                [side.name, split if used else "", len(scores), side.positive(split), kept if used else None]
                + [float(value) for value in (low, median, high)]
            )
    return Table(
        title="Unedited scores by set",
        note="score: log-odds of the target tokens as first token of the reply, nats; test prompts are not filtered",
        columns=[
            Column(key="set", name="set"),
            Column(key="split", name="split"),
            Column(key="n", name="prompts", kind="int", gives_way="never"),
            Column(key="positive", name="score > 0", kind="int", gives_way="never"),
            Column(key="kept", name="kept", kind="int", help="harmful with score > 0, harmless with score < 0"),
            Column(key="low", name="5 %", kind="number", quantity="score, nats"),
            Column(key="median", name="median", kind="number", quantity="score, nats"),
            Column(key="high", name="95 %", kind="number", quantity="score, nats"),
        ],
        rows=rows,
    )


def scores_table(sides: Sequence[Side]) -> Table:
    """Every prompt with its score, the highest first in each split."""
    rows: list[list[object]] = []
    for side in sides:
        for split in SPLITS:
            pairs = zip(side.splits.of(split), side.scores[split], strict=True)
            rows += [[text, float(score), side.name, split] for text, score in sorted(pairs, key=lambda pair: -pair[1])]
    return Table(
        title="Unedited score of every prompt",
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="score", name="score", kind="number", quantity="score, nats", gives_way="never"),
            Column(key="set", name="set"),
            Column(key="split", name="split"),
        ],
        rows=rows,
    )


def add_filter(sides: Sequence[Side], report: Report) -> None:
    """The counts, every prompt's score, and the sentence."""
    report.add("filter", filter_table(sides))
    report.add("scores", scores_table(sides))
    counts = {
        side.name: (sum(side.positive(s) for s in SPLITS), sum(len(side.scores[s]) for s in SPLITS)) for side in sides
    }
    for name, (positive, n) in counts.items():
        report.scalar(f"{name}_positive", positive)
        report.scalar(f"{name}_prompts", n)
    report.say(
        "unedited, score > 0: "
        + ", ".join(f"{number(positive)} of {number(n)} {name}" for name, (positive, n) in counts.items())
        + " prompts"
    )
