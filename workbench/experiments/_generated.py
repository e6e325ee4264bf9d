"""What edits do to what is generated: greedy continuations, clean beside edited and a few controls. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.lab.continuation import Continuation, Row
from workbench.report import Report
from workbench.text import number, show_token
from workbench.views import Column, Table, Text

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.controls import Controls
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt

GENERATED_TOKEN = 3.0
"""tokens of a pass that a generated one is worth: few rows share what is read of the weights"""


def add_continuations(lab: Lab, prompt: Prompt, tokens: int, report: Report) -> None:
    """Generate after one prompt, clean and edited; adds a Text view."""
    plans = [lab.plan(()), lab.plan(lab.edits, chat=prompt.template)]
    clean, edited = _continuations(lab, [prompt], plans, tokens, report)[0]
    texts = [f"{name}: {continuation.text}" for name, continuation in (("clean", clean), ("edited", edited))]
    report.add("generated", Text(title=f"{tokens} tokens, greedy", text="\n\n".join(texts)))


def add_set_continuations(
    lab: Lab, prompts: Sequence[Prompt], tokens: int, controls: Controls, n: int, report: Report
) -> str:
    """Generate after each prompt of a set; adds tables of what changes, beside `n` controls. Returns a sentence."""
    plans = [lab.plan(()), lab.plan(lab.edits, chat=prompts[0].template), *controls.plans[:n]]
    continuations = _continuations(lab, prompts, plans, tokens, report)
    differences = [[row[0].first_difference(edited) for edited in row[1:]] for row in continuations]
    report.add("continuations", _table(prompts, continuations, tokens))
    changed = [[places[plan] is not None for places in differences] for plan in range(len(plans) - 1)]
    counts = [sum(flags) for flags in changed]
    report.scalar("continuations_changed", counts[0] / len(prompts))
    if counts[1:]:
        report.scalar("continuations_changed_controls", float(np.median(counts[1:])) / len(prompts))
    report.add("changed", _changed(differences, controls.kind, tokens))
    sentence = f"{counts[0]} of {len(prompts)} continuations of {tokens} tokens change"
    if counts[1:]:
        low, high = min(counts[1:]), max(counts[1:])
        sentence += f", under {len(counts) - 1} {controls.kind}: {low}" + (f" to {high}" if high > low else " each")
    return sentence


def _continuations(
    lab: Lab, prompts: Sequence[Prompt], plans: Sequence[Plan], tokens: int, report: Report
) -> list[list[Continuation]]:
    """Continuations [prompt][plan]."""
    from workbench.lab.generate import continue_all

    rows = [Row(prompt, plan) for prompt in prompts for plan in plans]
    continuations = [Continuation() for _ in rows]
    steps = continue_all(lab, rows, continuations, tokens, group=len(plans))
    for n_steps in report.track(steps, "tokens", total=tokens * len(rows), stage="generating"):
        report.progress.done += n_steps - 1  # track counts the step itself
    return [continuations[at : at + len(plans)] for at in range(0, len(continuations), len(plans))]


def _table(prompts: Sequence[Prompt], continuations: Sequence[Sequence[Continuation]], tokens: int) -> Table:
    rows: list[list[Any]] = []
    for prompt, (clean, edited, *_) in zip(prompts, continuations, strict=True):
        at = clean.first_difference(edited)
        row: list[Any] = [prompt.text, clean.text, edited.text, at]
        rows.append([*row, "" if at is None else f"{_token(clean, at)} → {_token(edited, at)}"])
    return Table(
        title="Continuations",
        note=f"{tokens} tokens at most, greedy",
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="clean", name="clean"),
            Column(key="edited", name="edited", edited=True),
            Column(
                key="differ_at", name="differ at", kind="int", help="index of the first generated token that differs"
            ),
            Column(key="tokens_there", name="there", help="the token without and with the edits", gives_way="early"),
        ],
        rows=rows,
    )


def _token(continuation: Continuation, at: int) -> str:
    return show_token(continuation.tokens[at]) if at < len(continuation.tokens) else "an end"


def _changed(differences: Sequence[Sequence[int | None]], kind: str, tokens: int) -> Table:
    """The edits, then each control: how many continuations change, and how early."""
    rows: list[list[Any]] = []
    for plan in range(len(differences[0])):
        first_differences = [row[plan] for row in differences]
        places = [place for place in first_differences if place is not None]
        name = "these edits" if plan == 0 else f"control {plan}"
        rows.append(
            [name, len(places), len(places) / len(first_differences), float(np.median(places)) if places else None]
        )
    return Table(
        title="Continuations that change",
        note=f"of {number(len(differences))}, {tokens} tokens each" + (f"; controls: {kind}" if len(rows) > 1 else ""),
        columns=[
            Column(key="what", name=""),
            Column(key="changed", name="changed", kind="int", gives_way="never"),
            Column(key="share", name="share", kind="probability", gives_way="never"),
            Column(key="first_at", name="first at", kind="number", help="median index of the first token that differs"),
        ],
        rows=rows,
    )
