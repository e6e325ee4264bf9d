"""What the model says next, and how sure it is.

The next token's distribution after a prompt: the likeliest tokens, entropy, rank and probability of an answer, logit
difference to a foil, and how surprised the model was by each token of the prompt. Under edits everything is shown clean
beside edited, and the effect (KL of the next token) beside the same edits done to matched random units. With a set of
prompts: one row a prompt, and means with standard errors over prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Experiment
from workbench.experiments._common import AnswerParams, Asked, asked, carried, check_foil, mean_text, token
from workbench.experiments._controls import Compared, kl_of_prompts, run_controls
from workbench.report import NextStep, Report
from workbench.result_keys import NextToken
from workbench.statistics import clustered_mean, mean
from workbench.text import number, probability, quoted
from workbench.views import Column, Scalar, Scalars, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.forward import Forward
    from workbench.lab.prompts import Prompt


class Params(AnswerParams, kw_only=True, frozen=True):
    top: Annotated[
        int, Meta(ge=1, le=1000, description="how many of the likeliest tokens to list", extra={"unit": "tokens"})
    ] = 10
    controls: Annotated[
        int,
        Meta(
            ge=0,
            le=10000,
            description="under edits: how many matched random controls to run beside them",
            extra={"unit": "controls", "more": True},
        ),
    ] = 32


@dataclass(frozen=True)
class Numbers:
    """One prompt in numbers; `nan` where there is none."""

    top1: float
    entropy: float
    answer: float
    rank: int
    difference: float
    surprise: np.ndarray
    """nats, [position]; nan at position 0"""

    @property
    def loss(self) -> float:
        return float(np.mean(self.surprise[1:], dtype=np.float64)) if len(self.surprise) > 1 else float("nan")


def run(lab: Lab, params: Params, report: Report) -> None:
    rows = asked(lab, params)
    for row in rows:
        for named in (row.answer, row.foil):
            if named and named.note:
                report.note(named.note)
    if params.prompts:
        _run_set(lab, rows, params, report)
    else:
        _run_one(lab, rows[0], params, report)


def _numbers(forward: Forward, answers: np.ndarray, foils: Sequence[int | None]) -> list[Numbers]:
    """`answers` int64 [batch]; a foil is None where there is none."""
    has_foil = np.asarray([foil is not None for foil in foils])
    difference = forward.logit(answers) - forward.logit(np.asarray([foil or 0 for foil in foils]))
    columns = (
        np.exp(forward.top(1)[1][:, 0]),
        forward.entropy(),
        np.exp(forward.log_prob(answers)),
        forward.rank(answers),
        np.where(has_foil, difference, np.nan),
    )
    return [
        Numbers(float(a), float(b), float(c), int(d), float(e), surprise)
        for a, b, c, d, e, surprise in zip(*columns, forward.surprise(), strict=True)
    ]


# --- one prompt ------------------------------------------------------------------------------------


def _run_one(lab: Lab, row: Asked, params: Params, report: Report) -> None:
    from workbench.lab.controls import controls
    from workbench.lab.study import study

    clean = lab.forward(row.prompt)
    edited = lab.forward(row.prompt, lab.edits) if lab.edits else None
    answer = row.answer.id if row.answer else int(clean.top(1)[0][0, 0])
    check_foil(lab, row, answer)
    foil = row.foil.id if row.foil else None
    passes = [clean] if edited is None else [clean, edited]
    found = [_numbers(one, np.asarray([answer]), [foil])[0] for one in passes]
    _scalars(report, found)
    report.add(NextToken.VIEW, _next_table(lab, passes, params.top, row.prompt))
    items = _items(lab, found, answer, foil)
    report.add("surprise", _surprise(row, found))
    after = f"after {quoted(params.prompt)}"
    _suggest(lab, params, report, answer, int(clean.top(2)[0][0, -1]))
    if edited is None:
        report.add(
            "numbers",
            Scalars(title="In numbers", note=row.prompt.describe, items=items),
        )
        report.say(_clean_sentence(lab, clean, found[0], answer, after))
        return
    kl = edited.kl_from(clean)[0]
    report.scalar("kl", kl[-1])
    items.append(Scalar(name="KL of the next token", value=float(kl[-1]), unit="nats", help="KL(clean ‖ edited)"))
    if len(kl) > 1:
        report.scalar("kl_mean", float(kl[1:].mean()))
        items.append(Scalar(name="KL, mean from position 1 on", value=float(kl[1:].mean()), unit="nats"))
    change = f"{token(lab, answer)} {probability(found[0].answer)} → {probability(found[1].answer)} {after}"
    band = Compared(float(kl[-1]), controls(lab, lab.edits, params.controls, params.chat))

    def tell() -> None:
        shown = [*items, *band.items()]
        report.add(
            "numbers",
            Scalars(title="In numbers", note=row.prompt.describe, items=shown),
        )
        band.write(report)
        report.say(" · ".join(filter(None, [change, f"KL {number(band.effect)}", band.sentence])))

    tell()
    if band.controls.problem:
        report.note(band.controls.problem)
    later = lab.forward(row.prompt, lab.plan(lab.edits, skip_first=True, chat=params.chat), logits="last")
    without_first = float(later.last_kl_from(clean)[0])
    report.scalar("kl_without_first", without_first)
    items.append(
        Scalar(
            name="KL, edits from position 1 on",
            value=without_first,
            unit="nats",
            help="position 0 draws attention and has unusual activations: the effect without editing it",
        )
    )
    tell()
    if band.controls.plans:
        for _ in run_controls(study(lab, row.prompt), lab.plan(lab.edits, chat=params.chat), band, report):
            tell()


def _clean_sentence(lab: Lab, clean: Forward, numbers: Numbers, answer: int, after: str) -> str:
    top = int(clean.top(1)[0][0, 0])
    sentence = f"{token(lab, answer)} {probability(numbers.answer)} {after}"
    if answer != top:
        sentence += f" · rank {numbers.rank:,}, the likeliest is {token(lab, top)} {probability(numbers.top1)}"
    return f"{sentence} · entropy {number(numbers.entropy, 2)} nats"


def _scalars(report: Report, found: list[Numbers]) -> None:
    for numbers, suffix in zip(found, ("", "_edited"), strict=False):
        report.scalar(f"top1_probability{suffix}", numbers.top1)
        report.scalar(f"entropy{suffix}", numbers.entropy)
        report.scalar(f"answer_probability{suffix}", numbers.answer)
        report.scalar(f"answer_rank{suffix}", numbers.rank)
        if not np.isnan(numbers.difference):
            report.scalar(f"logit_difference{suffix}", numbers.difference)
        report.scalar(f"loss{suffix}", numbers.loss)


def _next_table(lab: Lab, passes: list[Forward], top: int, prompt: Prompt) -> Table:
    """The likeliest tokens, clean order first; under edits also what the edited model likes best."""
    ids = list(dict.fromkeys(int(index) for one in passes for index in one.top(top)[0][0]))
    logps = [one.log_prob(np.asarray([ids]))[0] for one in passes]
    ranks = [int(passes[0].rank(np.asarray([index]))[0]) for index in ids]
    kinds = ("clean", "edited") if len(passes) > 1 else ("",)
    keys = (NextToken.PROBABILITY, NextToken.PROBABILITY_EDITED)
    columns = [
        Column(key="rank", name="rank", kind="int", help="1 is the likeliest, clean"),
        Column(key=NextToken.TOKEN, name="token", kind="token"),
    ]
    columns += [
        Column(key=key, name=name or "probability", kind="probability", edited=name == "edited")
        for key, name in zip(keys, kinds, strict=False)
    ]
    columns += [
        Column(key=key, name=f"log p {name}".strip(), kind="logprob", help="nats", edited=name == "edited")
        for key, name in zip(("log_prob", "log_prob_edited"), kinds, strict=False)
    ]
    rows: list[list[Any]] = []
    for at, index in enumerate(ids):
        own = [float(logp[at]) for logp in logps]
        rows.append([ranks[at], lab.token(index), *map(float, np.exp(own)), *own])
    return Table(title="Next token", note=prompt.describe, tokenization=prompt.tokenization, columns=columns, rows=rows)


def _items(lab: Lab, found: list[Numbers], answer: int, foil: int | None) -> list[Scalar]:
    name = token(lab, answer)

    def item(label: str, values: list[float], unit: str = "", text: str = "") -> Scalar:
        return Scalar(name=label, value=values[0], edited=values[1] if len(values) > 1 else None, unit=unit, help=text)

    items = [
        item("entropy", [one.entropy for one in found], "nats"),
        item(f"probability of {name}", [one.answer for one in found]),
        item(f"rank of {name}", [float(one.rank) for one in found], "", "1 is the likeliest"),
    ]
    if foil is not None:
        label = f"logit of {name} − {token(lab, foil)}"
        items.append(item(label, [one.difference for one in found], "logits"))
    if len(found[0].surprise) > 1:
        items.append(
            item("loss along the prompt", [one.loss for one in found], "nats", "mean surprise from position 1 on")
        )
    return items


def _surprise(row: Asked, found: list[Numbers]) -> Tokens:
    names = ("clean", "edited") if len(found) > 1 else ("surprise",)
    return Tokens(
        title="Surprise along the prompt",
        note=row.prompt.describe,
        tokens=row.prompt.tokens,
        rows=[TokenRow(name=name, values=one.surprise) for name, one in zip(names, found, strict=True)],
        value_label="surprise, nats",
        low_label="expected",
        high_label="surprising",
    )


def _suggest(lab: Lab, params: Params, report: Report, answer: int, second: int) -> None:
    watched = params.answer or lab.token(answer)
    report.suggest(
        NextStep(
            label="what is it thinking, layer by layer",
            experiment="logit-lens",
            params=carried(params, answer=watched),
        )
    )
    if params.prompts or params.foil:
        report.suggest(NextStep(label="what it goes on to say", experiment="generate", params=carried(params)))
    else:
        foil = lab.token(second)
        label = f"how far {token(lab, answer)} is above {token(lab, second)}"
        report.suggest(NextStep(label=label, experiment="predict", params=carried(params, answer=watched, foil=foil)))
    if lab.edits:
        label = "the same without the edits"
        report.suggest(NextStep(label=label, experiment="predict", params=carried(params, answer=watched), edits=[]))
    else:
        layer = lab.info.n_layers - 1
        report.suggest(
            NextStep(
                label="which heads of the last layer are at work",
                experiment="activations",
                params=carried(params, units=f"L{layer}.H*"),
            )
        )


# --- a set of prompts ------------------------------------------------------------------------------


@dataclass
class Lines:
    """What is known of a set so far, one entry a prompt."""

    answers: list[int]
    clean: list[Numbers]
    edited: list[Numbers]
    kl: list[np.ndarray]
    """nats, [position]"""


def _run_set(lab: Lab, rows: list[Asked], params: Params, report: Report) -> None:
    from workbench.lab.batches import batches, rows_at_once
    from workbench.lab.controls import controls

    lines = Lines([], [], [], [])
    chunks: list[Sequence[Asked]] = []
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
            numbers = _numbers(clean, answers, foils)
            if lab.edits:
                edited = lab.forward(prompts, lab.edits)
                after, kl = _numbers(edited, answers, foils), edited.kl_from(clean)
                lines.edited += after
                lines.kl += kl
            lines.clean += numbers
            lines.answers += [int(answer) for answer in answers]
            chunks.append(batch.rows)
        _tell_set(lab, rows, lines, report, None)
    report.suggest(
        NextStep(label="what is it thinking, layer by layer", experiment="logit-lens", params=carried(params))
    )
    report.suggest(NextStep(label="what it goes on to say", experiment="generate", params=carried(params)))
    if not lab.edits:
        return
    band = Compared(mean([kl[-1] for kl in lines.kl]).value, controls(lab, lab.edits, params.controls, params.chat))
    if band.controls.problem:
        report.note(band.controls.problem)
    work = [(plan, at) for plan in band.controls.plans for at in range(len(chunks))]
    total = 0.0
    for plan, at in report.track(work, "batches", stage="controls"):
        prompts = [row.prompt for row in chunks[at]]
        total += float(sum(kl[-1] for kl in kl_of_prompts(lab, prompts, plan, "last")))
        if at == len(chunks) - 1:
            band.values.append(total / len(rows))
            total = 0.0
            _tell_set(lab, rows, lines, report, band)


def _tell_set(lab: Lab, rows: list[Asked], lines: Lines, report: Report, band: Compared | None) -> None:
    if not lines.clean:
        return
    has_foil = any(row.foil for row in rows)
    report.add("prompts", _set_table(lab, rows, lines, has_foil))
    items = _set_items(lines, report, has_foil)
    if band:
        items += band.items()
        band.write(report)
    report.add("numbers", Scalars(title="Means over the prompts", note="± is one standard error", items=items))
    n = len(lines.clean)
    own = mean([one.answer for one in lines.clean])
    what = "the answers" if any(row.answer for row in rows) else "the likeliest tokens"
    said = f"{what} have {mean_text(own)}"
    if lines.edited:
        said += f" → {mean_text(mean([one.answer for one in lines.edited]))}"
    said += f" over {n:,} prompt{'s' * (n != 1)}"
    first = mean([float(one.rank == 1) for one in lines.clean])
    if any(row.answer for row in rows):
        said += f" · first of all in {round(100 * first.value)} %"
    if lines.kl:
        said += f" · KL {mean_text(mean([kl[-1] for kl in lines.kl]))}"
    report.say(" · ".join(filter(None, [said, band.sentence if band else ""])))


def _set_items(lines: Lines, report: Report, has_foil: bool) -> list[Scalar]:
    items = []

    def item(name: str, key: str, pick: Any, unit: str = "") -> None:
        clean = mean([value for value in map(pick, lines.clean) if not np.isnan(value)])
        edited = mean([value for value in map(pick, lines.edited) if not np.isnan(value)]) if lines.edited else None
        report.scalar(key, clean.value)
        if edited:
            report.scalar(f"{key}_edited", edited.value)
        se = None if np.isnan(clean.se) else clean.se
        items.append(
            Scalar(name=name, value=clean.value, unit=unit, se=se, n=clean.n, edited=edited.value if edited else None)
        )

    item("probability of the likeliest", "top1_probability", lambda one: one.top1)
    item("entropy", "entropy", lambda one: one.entropy, "nats")
    item("probability of the answer", "answer_probability", lambda one: one.answer)
    item("rank of the answer", "answer_rank", lambda one: float(one.rank))
    if has_foil:
        item("logit of answer − foil", "logit_difference", lambda one: one.difference, "logits")

    def tokens(name: str, key: str, series: list[np.ndarray], edited: list[np.ndarray] | None = None) -> None:
        found = clustered_mean([part.sum(dtype=np.float64) for part in series], [len(part) for part in series])
        if not found.n:
            return
        report.scalar(key, found.value)
        other = None
        if edited:
            other = clustered_mean(
                [part.sum(dtype=np.float64) for part in edited], [len(part) for part in edited]
            ).value
            report.scalar(f"{key}_edited", other)
        se = None if np.isnan(found.se) else found.se
        items.append(Scalar(name=name, value=found.value, unit="nats", se=se, n=found.n, edited=other))

    after = [one.surprise[1:] for one in lines.edited] if lines.edited else None
    tokens("loss along the prompts", "loss", [one.surprise[1:] for one in lines.clean], after)
    if lines.kl:
        last = mean([kl[-1] for kl in lines.kl])
        report.scalar("kl", last.value)
        se = None if np.isnan(last.se) else last.se
        items.append(Scalar(name="KL of the next token", value=last.value, unit="nats", se=se, n=last.n))
        tokens("KL from position 1 on", "kl_mean", [kl[1:] for kl in lines.kl])
    return items


def _set_table(lab: Lab, rows: list[Asked], lines: Lines, has_foil: bool) -> Table:
    columns = [
        Column(key="prompt", name="prompt", kind="prompt"),
        Column(
            key="answer",
            name="answer",
            kind="token",
            help="the token that is watched: the likeliest where none was named",
        ),
        Column(key="probability", name="probability", kind="probability"),
        Column(key="rank", name="rank", kind="int"),
        *(
            [Column(key="logit_difference", name="over foil", kind="signed", help="logit of the answer − foil")]
            if has_foil
            else []
        ),
        Column(key="entropy", name="entropy", kind="number", help="nats"),
        Column(key="loss", name="loss", kind="number", help="mean surprise along the prompt, nats"),
    ]
    if lines.edited:
        columns += [
            Column(key="probability_edited", name="edited", kind="probability", edited=True),
            Column(key="kl", name="KL", kind="number", help="nats"),
        ]
    cells: list[list[Any]] = []
    for at, (row, numbers) in enumerate(zip(rows, lines.clean, strict=False)):
        line: list[Any] = [row.prompt.text, lab.token(lines.answers[at]), numbers.answer, numbers.rank]
        if has_foil:
            line.append(_number(numbers.difference))
        line += [numbers.entropy, _number(numbers.loss)]
        if lines.edited:
            line += [lines.edited[at].answer, float(lines.kl[at][-1])]
        cells.append(line)
    return Table(title="Prompt by prompt", note=f"{len(cells):,} of {len(rows):,}", columns=columns, rows=cells)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


EXPERIMENT = Experiment(name="predict", help=__doc__, params=Params, run=run, group="says", order=1)
