"""`predict` over a set of prompts: one row a prompt, means with standard errors over prompts. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import AnswerParams, TokenizedRow, carried_params, mean_text, number_or_none
from workbench.experiments._controls import Comparison, kl_of_prompts
from workbench.experiments._prompt_numbers import PromptNumbers, prompt_numbers
from workbench.report import NextStep, Report
from workbench.statistics import clustered_mean, mean
from workbench.views import Column, Scalar, Scalars, Table

if TYPE_CHECKING:
    from workbench.lab import Lab


@dataclass
class SetNumbers:
    """What was measured of a set so far, one entry a prompt."""

    answers: list[int]
    clean: list[PromptNumbers]
    edited: list[PromptNumbers]
    kl: list[np.ndarray]
    """nats, [position]"""


def run_set(lab: Lab, rows: list[TokenizedRow], params: AnswerParams, n_controls: int, report: Report) -> None:
    from workbench.lab.batches import batches, rows_at_once
    from workbench.lab.controls import controls
    from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans

    measured = SetNumbers([], [], [], [])
    chunks: list[Sequence[TokenizedRow]] = []
    size = rows_at_once(lab.model, max(len(row.prompt) for row in rows), "forward")
    for batch in report.track(batches(rows, size, report, lab.model), "prompts", total=len(rows)):
        with batch:
            prompts = [row.prompt for row in batch.rows]
            clean = lab.forward(prompts)
            likeliest = clean.top(1)[0][:, 0]
            answers = np.asarray(
                [row.answer.id if row.answer else int(top) for row, top in zip(batch.rows, likeliest, strict=True)]
            )
            foils = [row.foil.id if row.foil else None for row in batch.rows]
            numbers = prompt_numbers(clean, answers, foils)
            if lab.edits:
                edited = lab.forward(prompts, lab.edits)
                after, kl = prompt_numbers(edited, answers, foils), edited.kl_from(clean)
                measured.edited += after
                measured.kl += kl
            measured.clean += numbers
            measured.answers += [int(answer) for answer in answers]
            chunks.append(batch.rows)
        _add_set_views(lab, rows, measured, report, None)
    report.suggest(
        NextStep(label="what is it thinking, layer by layer", experiment="logit-lens", params=carried_params(params))
    )
    report.suggest(NextStep(label="what it goes on to say", experiment="generate", params=carried_params(params)))
    if not lab.edits:
        return
    comparison = Comparison(
        mean([kl[-1] for kl in measured.kl]).value,
        controls(lab, lab.edits, n_controls, params.chat, [row.prompt for row in rows]),
        lab.info.dtype,
    )
    if comparison.controls.problem:
        report.note(comparison.controls.problem)
    plan = lab.plan(lab.edits, chat=params.chat)
    rounding = rounding_plans(plan, lab.info.n_layers, DRAWS_OF_SETS, lab.seed)
    jobs = [(plan, comparison.values) for plan in comparison.controls.plans]
    jobs += [(plan, comparison.rounding) for plan in rounding]
    work = [(*job, at) for job in jobs for at in range(len(chunks))]
    total = 0.0
    for plan, means, at in report.track(work, "batches", stage="controls"):
        prompts = [row.prompt for row in chunks[at]]
        total += float(sum(kl[-1] for kl in kl_of_prompts(lab, prompts, plan, "last")))
        if at == len(chunks) - 1:
            means.append(total / len(rows))
            total = 0.0
            _add_set_views(lab, rows, measured, report, comparison)


def _add_set_views(
    lab: Lab, rows: list[TokenizedRow], measured: SetNumbers, report: Report, comparison: Comparison | None
) -> None:
    if not measured.clean:
        return
    has_foil = any(row.foil for row in rows)
    report.add("prompts", _set_table(lab, rows, measured, has_foil))
    items = _set_items(measured, report, has_foil)
    if comparison:
        items += comparison.scalars()
        comparison.add_to(report)
    report.add("numbers", Scalars(title="Means over the prompts", note="± is one standard error", items=items))
    n = len(measured.clean)
    answer = mean([numbers.answer for numbers in measured.clean])
    subject = "the answers" if any(row.answer for row in rows) else "the top predictions"
    sentence = f"{subject} have {mean_text(answer)}"
    if measured.edited:
        sentence += f" → {mean_text(mean([numbers.answer for numbers in measured.edited]))}"
    sentence += f" over {n:,} prompt{'s' * (n != 1)}"
    first = mean([float(numbers.rank == 1) for numbers in measured.clean])
    if any(row.answer for row in rows):
        sentence += f" · ranked first for {round(100 * first.value)} % of prompts"
    if measured.kl:
        sentence += f" · KL {mean_text(mean([kl[-1] for kl in measured.kl]))}"
    beside = [comparison.rounding_sentence, comparison.sentence] if comparison else []
    report.say(" · ".join(filter(None, [sentence, *beside])))


def _set_items(measured: SetNumbers, report: Report, has_foil: bool) -> list[Scalar]:
    items = []

    def item(name: str, key: str, pick: Any, unit: str = "") -> None:
        clean = mean([value for value in map(pick, measured.clean) if not np.isnan(value)])
        edited = (
            mean([value for value in map(pick, measured.edited) if not np.isnan(value)]) if measured.edited else None
        )
        report.scalar(key, clean.value)
        if edited:
            report.scalar(f"{key}_edited", edited.value)
        se = None if np.isnan(clean.se) else clean.se
        items.append(
            Scalar(name=name, value=clean.value, unit=unit, se=se, n=clean.n, edited=edited.value if edited else None)
        )

    item("probability of the top prediction", "top1_probability", lambda numbers: numbers.top1)
    item("entropy", "entropy", lambda numbers: numbers.entropy, "nats")
    item("probability of the answer", "answer_probability", lambda numbers: numbers.answer)
    item("rank of the answer", "answer_rank", lambda numbers: float(numbers.rank))
    if has_foil:
        item("logit of answer − foil", "logit_difference", lambda numbers: numbers.difference, "logits")

    def tokens(name: str, key: str, series: list[np.ndarray], edited: list[np.ndarray] | None = None) -> None:
        token_mean = clustered_mean([part.sum(dtype=np.float64) for part in series], [len(part) for part in series])
        if not token_mean.n:
            return
        report.scalar(key, token_mean.value)
        other = None
        if edited:
            other = clustered_mean(
                [part.sum(dtype=np.float64) for part in edited], [len(part) for part in edited]
            ).value
            report.scalar(f"{key}_edited", other)
        se = None if np.isnan(token_mean.se) else token_mean.se
        items.append(Scalar(name=name, value=token_mean.value, unit="nats", se=se, n=token_mean.n, edited=other))

    after = [numbers.surprise[1:] for numbers in measured.edited] if measured.edited else None
    tokens("loss along the prompts", "loss", [numbers.surprise[1:] for numbers in measured.clean], after)
    if measured.kl:
        last = mean([kl[-1] for kl in measured.kl])
        report.scalar("kl", last.value)
        se = None if np.isnan(last.se) else last.se
        items.append(Scalar(name="KL of the next token", value=last.value, unit="nats", se=se, n=last.n))
        tokens("KL from position 1 on", "kl_mean", [kl[1:] for kl in measured.kl])
    return items


def _set_table(lab: Lab, rows: list[TokenizedRow], measured: SetNumbers, has_foil: bool) -> Table:
    columns = [
        Column(key="prompt", name="prompt", kind="prompt"),
        Column(
            key="answer",
            name="answer",
            kind="token",
            help="the token that is watched: the top prediction where none was named",
        ),
        Column(key="probability", name="probability", kind="probability"),
        Column(key="rank", name="rank", kind="int"),
        *(
            [Column(key="logit_difference", name="over foil", kind="signed", help="logit of the answer − foil")]
            if has_foil
            else []
        ),
        Column(key="entropy", name="entropy", kind="number", help="nats", gives_way="early"),
        Column(key="loss", name="loss", kind="number", help="mean surprise along the prompt, nats", gives_way="early"),
    ]
    if measured.edited:
        columns += [
            Column(key="probability_edited", name="edited", kind="probability", edited=True),
            Column(key="kl", name="KL", kind="number", help="nats", gives_way="never"),
        ]
    cells: list[list[Any]] = []
    for at, (row, numbers) in enumerate(zip(rows, measured.clean, strict=False)):
        row_cells: list[Any] = [row.prompt.text, lab.token(measured.answers[at]), numbers.answer, numbers.rank]
        if has_foil:
            row_cells.append(number_or_none(numbers.difference))
        row_cells += [numbers.entropy, number_or_none(numbers.loss)]
        if measured.edited:
            row_cells += [measured.edited[at].answer, float(measured.kl[at][-1])]
        cells.append(row_cells)
    return Table(title="Prompt by prompt", note=f"{len(cells):,} of {len(rows):,}", columns=columns, rows=cells)
