"""Cross-entropy of three texts with and without edits: ordinary text, instructions, the model's own completions.

METHODS, "Refusal": ordinary text hides damage that the model's own completions show. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.report import Report
from workbench.statistics import Mean, clustered_mean
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt

BASE = "base"


@dataclass
class ReadText:
    """A text under several edits: sums of −log p, nats, and how many tokens, of each document."""

    name: str
    documents: Sequence[tuple[Prompt, int]]
    """with the first position of each that counts"""
    sums: dict[str, list[float]] = field(default_factory=dict)
    """[document], by edit"""

    @property
    def counts(self) -> list[int]:
        return [len(prompt) - first for prompt, first in self.documents]

    @property
    def tokens(self) -> int:
        return sum(self.counts)

    def loss(self, edit: str) -> Mean:
        """Nats a token, the error clustered by document."""
        return clustered_mean(self.sums[edit], self.counts)

    def change(self, edit: str) -> Mean:
        """From the base, document by document."""
        return clustered_mean(np.subtract(self.sums[edit], self.sums[BASE]), self.counts)

    @property
    def done(self) -> list[str]:
        """Edits under which all of it is read, the base first."""
        return [edit for edit, sums in self.sums.items() if len(sums) == len(self.documents)]


def own_completions(prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], most: int) -> list[tuple[Prompt, int]]:
    """The prompts with what followed, up to `most` tokens of that; only it counts."""
    from workbench.lab.steering import followed_by

    texts, total = [], 0
    for prompt, following in zip(prompts, ids, strict=True):
        if total < most:
            texts.append((followed_by(prompt, following), len(prompt)))
            total += len(following)
    return texts


def instructions(prompts: Sequence[Prompt], most: int) -> list[tuple[Prompt, int]]:
    """Whole prompts until there are `most` tokens; position 0 does not count."""
    texts, total = [], 0
    for prompt in prompts:
        if total < most and len(prompt) > 1:
            texts.append((prompt, 1))
            total += len(prompt) - 1
    return texts


def read_texts(lab: Lab, texts: Sequence[ReadText], plans: Mapping[str, Plan], report: Report) -> Iterator[None]:
    """Fills the texts; `plans` by what they are called, BASE first. Yields when a text is read under a plan."""
    from workbench.lab.batches import batches, rows_at_once
    from workbench.lab.steering import surprises

    for text in texts:
        order = sorted(range(len(text.documents)), key=lambda at: len(text.documents[at][0]))
        size = rows_at_once(lab.model, max((len(prompt) for prompt, _ in text.documents), default=1), "forward")
        for name, plan in plans.items():
            sums = [0.0] * len(order)
            work = batches(order, size, report, lab.model)
            for batch in report.track(work, "documents", len(order), stage=f"{text.name}, {name}"):
                with batch:
                    rows = surprises(lab, [text.documents[at][0] for at in batch.rows], plan)
                    for at, row in zip(batch.rows, rows, strict=True):
                        sums[at] = float(row[text.documents[at][1] :].sum())
            text.sums[name] = sums
            yield


def texts_table(texts: Sequence[ReadText], edits: Sequence[str], controls: Mapping[str, Sequence[str]]) -> Table:
    """`edits` are the names of plans beside the base, `controls` those of their control directions."""
    rows: list[list[Any]] = []
    for text in texts:
        for edit in edits:
            if not {BASE, edit} <= set(text.done):
                continue
            base, after, change = text.loss(BASE), text.loss(edit), text.change(edit)
            beside = [text.change(control).value for control in controls.get(edit, ()) if control in text.done]
            rows.append(
                [
                    text.name,
                    edit,
                    text.tokens,
                    base.n,
                    base.value,
                    number_or_none(base.se),
                    after.value,
                    change.value,
                    number_or_none(change.se),
                    min(beside, default=None),
                    max(beside, default=None),
                ]
            )
    return Table(
        title="Cross-entropy before and after",
        note="nats a token; ± standard errors clustered by document",
        columns=[
            Column(key="text", name="text", gives_way="never"),
            Column(key="edit", name="edit", gives_way="never"),
            Column(key="tokens", name="tokens", kind="int", gives_way="early"),
            Column(key="documents", name="documents", kind="int", gives_way="early"),
            Column(key="base", name="base", kind="number", gives_way="never"),
            Column(key="base_se", name="±", kind="number", help="of base", gives_way="early"),
            Column(key="edited", name="edited", kind="number", gives_way="never", edited=True),
            Column(key="change", name="change", kind="signed", gives_way="never", help="document by document"),
            Column(key="change_se", name="± change", kind="number"),
            Column(key="control_low", name="controls from", kind="signed", help="the change by control directions"),
            Column(key="control_high", name="to", kind="signed", help="the change by control directions"),
        ],
        rows=rows,
    )
