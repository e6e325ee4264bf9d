"""The chosen direction on prompts that it was neither made of nor chosen by, beside shuffled labels and mere words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.datasets.words import words_auc
from workbench.experiments._refusal_filter import Side
from workbench.experiments._refusal_selection import Scored
from workbench.experiments._refusal_sets import RefusalParams, stage_params
from workbench.experiments._refusal_stages import Material, target_tokens, tokenized
from workbench.report import Report
from workbench.statistics import Mean, balanced_shuffles, mean, stratified_folds
from workbench.text import number
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.means import Candidate
    from workbench.lab.directions.scores import Replies, Scores

SHUFFLED = 3
"""directions from shuffled labels that the chosen one is held against"""
SHUFFLED_PROMPTS = 32
"""that they are made of, half of each class"""
AUC_SHUFFLES = 16
ALIKE = 0.5
"""cosine with the chosen direction from which on one of shuffled labels is no control: chance gives about 1/√d_model"""


@dataclass(frozen=True)
class Tested:
    """The chosen direction and SHUFFLED ones from shuffled labels, on the test prompts."""

    harmful: Mean
    """unedited score"""
    harmless: Mean
    bypass: list[Mean]
    """[direction], the chosen one first"""
    induce: list[Mean]
    kl: list[Mean]
    cosines: list[float]
    """with the chosen one"""
    separation: Candidate
    words_auc: float

    @property
    def sentence(self) -> str:
        def beside(means: Sequence[Mean]) -> str:
            chosen, *shuffled = (number(each.value) for each in means)
            return f"{chosen} (shuffled labels: {', '.join(shuffled)})"

        separation = self.separation
        return (
            f"on {self.harmful.n} + {self.harmless.n} test prompts: bypass {number(self.harmful.value)} → "
            f"{beside(self.bypass)}, induce {number(self.harmless.value)} → {beside(self.induce)}, KL "
            f"{beside(self.kl)} · cross-fitted AUC {number(separation.auc)}, d′ {number(separation.d_prime)}; highest "
            f"AUC of {len(separation.shuffled_auc)} with shuffled labels "
            f"{number(float(separation.shuffled_auc.max()))}; AUC of the words alone {number(self.words_auc)}"
        )


def held_out_stage(
    lab: Lab, params: RefusalParams, sides: Sequence[Side], material: Material, chosen: Scored, report: Report
) -> str:
    """The chosen direction on prompts that it was neither made of nor chosen by; returns the sentence."""
    from workbench.lab.directions.means import candidate
    from workbench.lab.directions.scores import replies, scores

    earlier = report.earlier_stage(stage_params(params, "test"), lab.info)
    if earlier is not None and earlier.is_done and "test" in earlier.tables:
        report.note(f"the scores on the test prompts are those of step {earlier.step}")
        report.add("test", earlier.tables["test"])
        report.scalars.update(earlier.scalars)
        report.say(earlier.headline)
        return earlier.headline
    random = np.random.default_rng(lab.seed)
    states = material.states[chosen.layer, chosen.position]
    label = material.label
    fold = stratified_folds(label, random)
    labels = np.concatenate([label[None], balanced_shuffles(label, fold, AUC_SHUFFLES, random)])
    separation = candidate(chosen.layer, chosen.position, states, labels, fold)
    direction = material.directions[chosen.layer, chosen.position]
    vectors = np.stack([direction, *_shuffled(states, label, float(np.linalg.norm(direction)), random)])
    targets = target_tokens(lab, params)
    harmful, harmless = (
        replies(
            lab.model,
            tokenized(lab, side.kept("test", True), params.system),
            targets,
            report,
            keep=side.name == "harmless",
        )
        for side in sides[:2]
    )
    total = len(vectors) * (harmful.tokens + 2 * harmless.tokens)
    scored: Scores | None = None
    batches = scores(harmful, harmless, chosen.layer, vectors, report)
    for step in report.track(batches, "tokens", total, stage="scoring on test prompts"):
        if isinstance(step, int):
            report.progress.done += step - 1
        else:
            scored = step
    assert scored is not None
    tested = Tested(
        mean(harmful.scores),
        mean(harmless.scores),
        [mean(row) for row in scored.bypass],
        [mean(row) for row in scored.induce],
        [mean(row) for row in scored.kl],
        [float(row @ direction / (np.linalg.norm(row) * np.linalg.norm(direction))) for row in vectors],
        separation,
        words_auc(*material.train, lab.seed),
    )
    report.add("test", _test_table(params.name, tested, scored, harmful, harmless))
    for key, value in {
        "test_bypass": tested.bypass[0].value,
        "test_induce": tested.induce[0].value,
        "test_kl": tested.kl[0].value,
        "auc": separation.auc,
        "d_prime": separation.d_prime,
        "auc_shuffled_highest": float(separation.shuffled_auc.max()),
        "words_auc": tested.words_auc,
    }.items():
        report.scalar(key, value)
    nearest = max(map(abs, tested.cosines[1:]))
    if nearest >= ALIKE:
        report.note(
            f"shuffled labels give directions along the chosen one itself here (cosine up to {number(nearest)}): they "
            "are no comparison"
        )
    report.say(tested.sentence)
    return tested.sentence


def _shuffled(states: Any, label: np.ndarray, norm: float, random: np.random.Generator) -> list[np.ndarray]:
    """Mean differences of SHUFFLED_PROMPTS of the states [prompt, d_model] with shuffled labels, of length `norm`."""
    half = min(SHUFFLED_PROMPTS // 2, int(label.sum()), int((~label).sum()))
    members = np.concatenate([random.permutation(np.flatnonzero(side))[:half] for side in (label, ~label)])
    rows = states[members].double().numpy()
    own = np.arange(2 * half) < half
    differences = [
        rows[row].mean(axis=0) - rows[~row].mean(axis=0)
        for row in balanced_shuffles(own, np.zeros(2 * half, np.int64), SHUFFLED, random)
    ]
    return [norm * difference / np.linalg.norm(difference) for difference in differences]


def _test_table(name: str, tested: Tested, scored: Scores, harmful: Replies, harmless: Replies) -> Table:
    def share(values: np.ndarray) -> float:
        return float((values > 0).mean())

    rows: list[list[Any]] = [["unedited", tested.harmful.value, tested.harmless.value, 0.0, share(harmful.scores)]]
    rows[0] += [share(harmless.scores), share(harmless.scores), None]
    for at, cosine in enumerate(tested.cosines):
        means = [tested.bypass[at].value, tested.induce[at].value, tested.kl[at].value]
        shares = [share(scored.bypass[at]), share(scored.induce[at]), share(scored.away[at])]
        rows.append([f"@{name}" if at == 0 else f"shuffled labels {at}", *means, *shares, cosine])
    return Table(
        title="On the test prompts",
        note=f"{len(harmful.prompts)} harmful, {len(harmless.prompts)} harmless, unfiltered · shuffled labels: mean "
        f"differences of {SHUFFLED_PROMPTS} training prompts, half of each class on each side, of the same length",
        columns=[
            Column(key="what", name="", gives_way="never"),
            Column(
                key="bypass", name="bypass", kind="number", help="harmful, projected out", quantity="score, nats",
                gives_way="never",
            ),
            Column(
                key="induce", name="induce", kind="number", help="harmless, added", quantity="score, nats",
                gives_way="never",
            ),
            Column(key="kl", name="KL", kind="number", help="harmless, projected out", quantity="nats"),
            Column(key="harmful_positive", name="harmful > 0", kind="probability", help="projected out: score > 0"),
            Column(key="added_positive", name="harmless > 0", kind="probability", help="added: score > 0"),
            Column(
                key="harmless_positive", name="harmless > 0, projected out", kind="probability", gives_way="early",
                help="refusals of harmless prompts that projecting out makes",
            ),
            Column(key="cosine", name="cos", kind="signed", help="with the chosen direction"),
        ],
        rows=rows,
    )  # fmt: skip
