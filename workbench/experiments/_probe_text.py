"""A kept probe on a text, token by token. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.artifacts.probe import Probe
from workbench.report import Report
from workbench.result_keys import ProbeApply
from workbench.text import count, number, quoted, show_token
from workbench.views import TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab

NAMED = 6
"""tokens that the sentence names"""


def add_text(lab: Lab, name: str, probe: Probe, text: str, chat: bool, report: Report) -> str:
    """The score at each token less the threshold; under edits, a row without and one with them. Returns a sentence."""
    from workbench.lab.probing.text import read_text

    prompt = lab.prompt(text, chat)
    reading = probe.reading
    read = [("clean", read_text(lab.job(), probe, prompt))]
    if lab.edits:
        read.append(("edited", read_text(lab, probe, prompt)))
    above = {kind: scores - reading.threshold for kind, scores in read}
    scores = list(above.values())[-1]
    if reading.pooling != "token":
        report.note(
            f"{name} was fitted on several tokens of each example together ({reading.pooling}): at single tokens "
            "scores spread wider, and its threshold was not chosen for them"
        )
    positive = np.flatnonzero(scores >= 0)
    low, high = reading.classes
    report.add(
        ProbeApply.TEXT,
        Tokens(
            title=f"{name}, token by token",
            note=f"{prompt.describe}; position 0 left out",
            tokenization=prompt.tokenization,
            tokens=prompt.tokens,
            rows=[TokenRow(name=kind if lab.edits else name, values=values) for kind, values in above.items()],
            value_label="predicted number less the train mean" if reading.numeric else "score above the threshold",
            low_label=f"below: {low}",
            high_label=f"above: {high}",
            signed=True,
            labels=["" if np.isnan(value) else high if value >= 0 else low for value in scores],
        ),
    )
    report.scalar(ProbeApply.READ, len(positive))
    counted = count(max(0, len(prompt) - 1))
    order = positive[np.argsort(-scores[positive], kind="stable")][:NAMED]
    tokens = ", ".join(f"{show_token(prompt.tokens[at])} {number(float(scores[at]))}" for at in order)
    highest = f": {tokens}{' …' if len(positive) > NAMED else ''}" if len(positive) else ""
    under = " under the edits" if lab.edits else ""
    before = ""
    if lab.edits:
        report.scalar(f"{ProbeApply.READ}_clean", int((above["clean"] >= 0).sum()))
        before = f" (without them {count((above['clean'] >= 0).sum())})"
    if reading.numeric:
        what = f"predicts more than the train mean at {count(len(positive))} of {counted} tokens"
    else:
        what = f"reads {count(len(positive))} of {counted} tokens as {quoted(high)}"
    return f"{name} {what}{under}{before}{highest}"
