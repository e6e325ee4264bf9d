"""Generating the arms: prompt by prompt, all edits of one side by side in a batch. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.experiments._arms import Arm
from workbench.experiments._arms_earlier import Kept
from workbench.experiments._completions import measure
from workbench.lab.continuation import Continuation, Row
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt


def run_arms(
    lab: Lab,
    prompts: Sequence[Prompt],
    arms: Sequence[Arm],
    plans: Sequence[Plan],
    tokens: int,
    kept: Mapping[str, Kept],
    report: Report,
    stage: str,
) -> Iterator[None]:
    """Greedy completions of every prompt under every arm's plan; yields when a prompt is there under all of them.

    The first prompts that are `kept`, by id, under all arms are taken from there.
    """
    from workbench.lab.generate import continue_all

    at = 0
    while at < len(prompts) and all(arm.key(at) in kept for arm in arms):
        for arm in arms:
            arm.completions.append(kept[arm.key(at)].completion)
            arm.ids.append(kept[arm.key(at)].ids)
        at += 1
    if at:
        yield
    first = at
    rows = [Row(prompts[number], plan, number) for number in range(first, len(prompts)) for plan in plans]
    continuations = [Continuation() for _ in rows]
    steps = continue_all(lab, rows, continuations, tokens, group=len(arms))
    for n_tokens in report.track(steps, "tokens", total=tokens * len(rows), stage=stage):
        report.progress.done += n_tokens - 1  # track counts the step itself
        while at < len(prompts):
            of_prompt = slice((at - first) * len(arms), (at - first + 1) * len(arms))
            if not all(c.end or len(c.ids) == tokens for c in continuations[of_prompt]):
                break
            measured = measure(lab, prompts[at], rows[of_prompt], continuations[of_prompt])
            for arm, completion, continuation in zip(arms, measured, continuations[of_prompt], strict=True):
                arm.completions.append(completion)
                arm.ids.append(list(continuation.ids))
            at += 1
            yield
