"""Arms drawn: verdicts by arm, completions side by side, the same under control directions; the sentence. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.experiments._arms import Arm, Arms, Set
from workbench.experiments._arms_earlier import MEASURED, measured_table
from workbench.experiments._common import number_or_none
from workbench.judging import LABELS, Label
from workbench.judging.rules import MEANING
from workbench.report import Report
from workbench.text import number
from workbench.views import Column, Table

SHORT_NAMES: dict[Label, str] = {"late refusal": "late", "stalling": "stalls", "loop": "loops"}


def add_views(arms: Arms, prompts: Mapping[Set, Sequence[str]], report: Report) -> None:
    """All views of what is there so far."""
    if not arms.done:
        return
    report.add("arms", _arms(arms))
    if any(control.n for control in arms.controls):
        report.add("controls", _controls(arms))
    if any(arm.judged for arm in arms.done):
        report.add("judged", _judged(arms))
    report.add("completions", _completions(arms, prompts))
    report.add(MEASURED, measured_table(arms))


# --- tables ------------------------------------------------------------------------------------------


def _arms(arms: Arms) -> Table:
    rows: list[list[Any]] = []
    for arm in arms.done:
        low, high = arm.refusal_interval
        base = arms.arm(arm.set, "base")
        assert base is not None, "all arms of a set come together"
        rows.append(
            [
                arm.set,
                arm.what,
                arm.n,
                arm.refusal_share,
                low,
                high,
                *(arm.count(label) for label in LABELS if label != "refusal"),
                arm.perplexity,
                arm.perplexity / base.perplexity,
                arm.kl.value if arm.edit != "base" else None,
                number_or_none(arm.kl.se) if arm.edit != "base" else None,
                arm.tokens,
                number_or_none(arm.distinct(1)),
                number_or_none(arm.distinct(2)),
            ]
        )
    labels = [label for label in LABELS if label != "refusal"]
    return Table(
        title="Answers by arm",
        note="greedy; by rules that a text may satisfy without doing what they are named after: read the completions",
        columns=[
            Column(key="set", name="prompts", gives_way="never"),
            Column(key="edit", name="edit", gives_way="never"),
            Column(key="n", name="n", kind="int"),
            Column(key="refusal", name="refused", kind="number", help=MEANING["refusal"], gives_way="never"),
            Column(key="low", name="from", kind="number", help="of the share, 95 %, Wilson's interval"),
            Column(key="high", name="to", kind="number", help="of the share, 95 %, Wilson's interval"),
            *(
                Column(key=label.replace(" ", "_"), name=SHORT_NAMES.get(label, label), kind="int", help=MEANING[label])
                for label in labels
            ),
            Column(
                key="perplexity",
                name="perplexity",
                kind="number",
                help="of the completions under the unedited model",
                gives_way="early",
            ),
            Column(key="ratio", name="× base", kind="number", help="the perplexity over that of the set's base arm"),
            Column(key="kl", name="KL", kind="number", help="KL(base ‖ edited) at the last prompt position, nats"),
            Column(key="kl_se", name="± KL", kind="number", help="of KL, over prompts", gives_way="early"),
            Column(key="tokens", name="tokens", kind="number", help="mean length", gives_way="early"),
            Column(key="distinct_1", name="dist-1", kind="number", help="different tokens over all", gives_way="early"),
            Column(
                key="distinct_2",
                name="dist-2",
                kind="number",
                help="different pairs of tokens over all pairs",
                gives_way="early",
            ),
        ],
        rows=rows,
        row_keys=[arm.name for arm in arms.done],
    )


def _controls(arms: Arms) -> Table:
    rows: list[list[Any]] = []
    for arm in arms.done:
        controls = arms.controls_of(arm)
        if not controls:
            continue
        same_prompts, base = arms.beside_controls(arm), arms.arm(arm.set, "base")
        assert base is not None
        base = base.first(same_prompts.n)
        for member in (base, same_prompts, *controls):
            cosine = arms.cosines[member.draw] if member.draw is not None and arms.cosines else None
            low, high = member.refusal_interval
            rows.append(
                [
                    arm.set,
                    member.what,
                    member.control,
                    cosine,
                    member.n,
                    member.refusal_share,
                    low,
                    high,
                    member.count("loop"),
                    member.perplexity / base.perplexity,
                    member.kl.value if member.edit != "base" else None,
                ]
            )
    return Table(
        title="Beside control directions",
        note=f"controls: {arms.control_kind}, of the direction's length, on the first prompts",
        columns=[
            Column(key="set", name="prompts", gives_way="never"),
            Column(key="edit", name="edit", gives_way="never"),
            Column(key="control", name="with", gives_way="never", help="empty is the direction itself"),
            Column(key="cosine", name="cosine", kind="signed", help="of the control with the direction"),
            Column(key="n", name="n", kind="int"),
            Column(key="refusal", name="refused", kind="number", help=MEANING["refusal"], gives_way="never"),
            Column(key="low", name="from", kind="number", help="of the share, 95 %, Wilson's interval"),
            Column(key="high", name="to", kind="number", help="of the share, 95 %, Wilson's interval"),
            Column(key="loop", name="loops", kind="int", help=MEANING["loop"]),
            Column(key="ratio", name="× base", kind="number", help="perplexity over that of the base arm"),
            Column(key="kl", name="KL", kind="number", help="KL(base ‖ edited) at the last prompt position, nats"),
        ],
        rows=rows,
    )


def _judged(arms: Arms) -> Table:
    """How often a judge of the user's gave each of its labels."""
    counts = [(arm, Counter(arm.judged)) for arm in [*arms.done, *arms.controls] if arm.judged]
    labels = sorted({label for _, counted in counts for label in counted})
    rows: list[list[Any]] = [
        [arm.set, arm.what, arm.control, len(arm.judged), label, counted[label] / len(arm.judged)]
        for arm, counted in counts
        for label in labels
    ]
    return Table(
        title="What the judge says",
        columns=[
            Column(key="set", name="prompts", gives_way="never"),
            Column(key="edit", name="edit", gives_way="never"),
            Column(key="control", name="with", help="empty is the direction itself"),
            Column(key="n", name="n", kind="int"),
            Column(key="label", name="label", gives_way="never"),
            Column(key="share", name="share", kind="number", gives_way="never"),
        ],
        rows=rows,
    )


def _completions(arms: Arms, prompts: Mapping[Set, Sequence[str]]) -> Table:
    labels = {id(arm): arm.labels for arm in [*arms.done, *arms.controls]}
    judged = any(arm.judged for arm in arms.done)
    rows: list[list[Any]] = []
    for key, arm, at in arms.each_completion():
        completion = arm.completions[at]
        row = [prompts[arm.set][at], arm.set, arm.what, arm.control, completion.text, ", ".join(labels[id(arm)][at])]
        judge = [arm.judged[at] if arm.judged else None] if judged else []
        rows.append([*row, *judge, completion.end, key])
    return Table(
        title="Completions side by side",
        note="greedy",
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="set", name="prompts", gives_way="early"),
            Column(key="arm", name="edit", gives_way="never"),
            Column(key="control", name="with", help="empty is the direction itself", gives_way="early"),
            Column(key="completion", name="completion", gives_way="never"),
            Column(key="labels", name="verdict", help="by rules; empty is an answer"),
            *([Column(key="judge", name="judge", help="the label of the judge command")] if judged else []),
            Column(key="end", name="", help="why it ended before the limit", gives_way="early"),
            Column(key="id", name="id", gives_way="early"),
        ],
        rows=rows,
    )


# --- the sentence --------------------------------------------------------------------------------------


def headline(arms: Arms, direction: str) -> str:
    """How refusals change on both sets, beside the control directions; an edit that changes nothing first."""
    parts = [_changes_nothing(arms, direction)]
    for set_name, edit in (
        ("harmful", "ablated"),
        ("harmful", "subtracted"),
        ("harmless", "added"),
        ("alarming", "ablated"),
    ):
        arm, base = arms.arm(set_name, edit), arms.arm(set_name, "base")  # type: ignore[arg-type]
        if arm and base:
            parts.append(f"{set_name} refused {_of(base)} → {_of(arm)} {arm.what}{_beside(arms, arm)}")
    harmless, before = arms.arm("harmless", "ablated"), arms.arm("harmless", "base")
    if harmless and before and harmless.refusals > before.refusals:
        parts.append(f"harmless refused {_of(before)} → {_of(harmless)} ablated")
    return " · ".join(filter(None, parts))


def _of(arm: Arm) -> str:
    return f"{arm.refusals} of {arm.n}"


def _changes_nothing(arms: Arms, direction: str) -> str:
    names = [f"{arm.what} on {arm.set} prompts" for arm in arms.done if arms.changes_nothing(arm)]
    if not names:
        return ""
    largest = max(arm.kl.value for arm in arms.done if arms.changes_nothing(arm))
    return f"{direction} changes nothing {' and '.join(names)}: KL {number(largest)}, as much as rounding makes"


def _beside(arms: Arms, arm: Arm) -> str:
    shares = [control.refusal_share for control in arms.controls_of(arm)]
    if not shares:
        return ""
    same = arms.beside_controls(arm)
    low, high = number(float(np.min(shares))), number(float(np.max(shares)))
    spread = low if low == high else f"{low} to {high}"
    kind = "shuffled labels" if arms.cosines else "random directions"
    return f" (share {number(same.refusal_share)}; {len(shares)} {kind}, {same.n} prompts: {spread})"
