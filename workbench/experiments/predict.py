"""What the model says next, and how sure it is.

The next token's distribution after a prompt: the top predictions, entropy, rank and probability of an answer, logit
difference to a foil, and how surprised the model was by each token of the prompt. Under edits everything is shown clean
beside edited, and the effect (KL of the next token) beside the same edits done to matched random units. With a set of
prompts: one row a prompt, and means with standard errors over prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.experiment import Experiment
from workbench.experiments._common import (
    AnswerParams,
    TokenizedRow,
    carried_params,
    check_foil,
    token_text,
    tokenized_rows,
)
from workbench.experiments._controls import Comparison, run_controls
from workbench.experiments._predict_set import run_set
from workbench.experiments._prompt_numbers import PromptNumbers, prompt_numbers
from workbench.report import NextStep, Report
from workbench.result_keys import NextToken
from workbench.text import number, probability, quoted
from workbench.views import Column, Scalar, Scalars, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.forward import Forward
    from workbench.lab.prompts import Prompt


class Params(AnswerParams, kw_only=True, frozen=True):
    top: Annotated[
        int, Meta(ge=1, le=1000, description="how many of the top predictions to list", extra={"unit": "tokens"})
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


def run(lab: Lab, params: Params, report: Report) -> None:
    rows = tokenized_rows(lab, params)
    for row in rows:
        for watched in (row.answer, row.foil):
            if watched and watched.note:
                report.note(watched.note)
    if params.prompts:
        run_set(lab, rows, params, params.controls, report)
    else:
        _run_prompt(lab, rows[0], params, report)


def _run_prompt(lab: Lab, row: TokenizedRow, params: Params, report: Report) -> None:
    from workbench.lab.controls import controls
    from workbench.lab.study import study

    clean = lab.forward(row.prompt)
    edited = lab.forward(row.prompt, lab.edits) if lab.edits else None
    answer = row.answer.id if row.answer else int(clean.top(1)[0][0, 0])
    check_foil(lab, row, answer)
    foil = row.foil.id if row.foil else None
    passes = [clean] if edited is None else [clean, edited]
    numbers = [prompt_numbers(forward, np.asarray([answer]), [foil])[0] for forward in passes]
    _scalars(report, numbers)
    report.add(NextToken.VIEW, _next_table(lab, passes, params.top, row.prompt))
    items = _items(lab, numbers, answer, foil)
    report.add("surprise", _surprise(row, numbers))
    after = f"after {quoted(params.prompt)}"
    _suggest(lab, params, report, answer, int(clean.top(2)[0][0, -1]))
    if edited is None:
        report.add(
            "numbers",
            Scalars(title="In numbers", note=row.prompt.describe, items=items),
        )
        report.say(_clean_sentence(lab, clean, numbers[0], answer, after))
        return
    kl = edited.kl_from(clean)[0]
    report.scalar("kl", kl[-1])
    items.append(Scalar(name="KL of the next token", value=float(kl[-1]), unit="nats", help="KL(clean ‖ edited)"))
    if len(kl) > 1:
        report.scalar("kl_mean", float(kl[1:].mean()))
        items.append(Scalar(name="KL, mean from position 1 on", value=float(kl[1:].mean()), unit="nats"))
    change = f"{token_text(lab, answer)} {probability(numbers[0].answer)} → {probability(numbers[1].answer)} {after}"
    comparison = Comparison(
        float(kl[-1]), controls(lab, lab.edits, params.controls, params.chat, [row.prompt]), lab.info.dtype
    )

    def update() -> None:
        all_items = [*items, *comparison.scalars()]
        report.add(
            "numbers",
            Scalars(title="In numbers", note=row.prompt.describe, items=all_items),
        )
        comparison.add_to(report)
        effect = [f"KL {number(comparison.effect)}", comparison.rounding_sentence]
        report.say(" · ".join(filter(None, [change, *effect, comparison.sentence])))

    update()
    if comparison.controls.problem:
        report.note(comparison.controls.problem)
    later = lab.forward(row.prompt, lab.plan(lab.edits, skip_first=True, chat=params.chat), logits="last")
    kl_without_first = float(later.last_kl_from(clean)[0])
    report.scalar("kl_without_first", kl_without_first)
    items.append(
        Scalar(
            name="KL, edits from position 1 on",
            value=kl_without_first,
            unit="nats",
            help="position 0 draws attention and has unusual activations: the effect without editing it",
        )
    )
    update()
    for _ in run_controls(study(lab, row.prompt), lab.plan(lab.edits, chat=params.chat), comparison, report):
        update()


def _clean_sentence(lab: Lab, clean: Forward, numbers: PromptNumbers, answer: int, after: str) -> str:
    top = int(clean.top(1)[0][0, 0])
    sentence = f"{token_text(lab, answer)} {probability(numbers.answer)} {after}"
    if answer != top:
        sentence += (
            f" · rank {numbers.rank:,}, the top prediction is {token_text(lab, top)} {probability(numbers.top1)}"
        )
    return f"{sentence} · entropy {number(numbers.entropy, 2)} nats"


def _scalars(report: Report, columns: list[PromptNumbers]) -> None:
    for numbers, suffix in zip(columns, ("", "_edited"), strict=False):
        report.scalar(f"top1_probability{suffix}", numbers.top1)
        report.scalar(f"entropy{suffix}", numbers.entropy)
        report.scalar(f"answer_probability{suffix}", numbers.answer)
        report.scalar(f"answer_rank{suffix}", numbers.rank)
        if not np.isnan(numbers.difference):
            report.scalar(f"logit_difference{suffix}", numbers.difference)
        report.scalar(f"loss{suffix}", numbers.loss)


def _next_table(lab: Lab, passes: list[Forward], top: int, prompt: Prompt) -> Table:
    """The likeliest tokens, clean order first; under edits also what the edited model likes best."""
    ids = list(dict.fromkeys(int(index) for forward in passes for index in forward.top(top)[0][0]))
    logps = [forward.log_prob(np.asarray([ids]))[0] for forward in passes]
    ranks = [int(passes[0].rank(np.asarray([index]))[0]) for index in ids]
    kinds = ("clean", "edited") if len(passes) > 1 else ("",)
    keys = (NextToken.PROBABILITY, NextToken.PROBABILITY_EDITED)
    columns = [
        Column(key="rank", name="rank", kind="int", help="1 is the top prediction, clean"),
        Column(key=NextToken.TOKEN, name="token", kind="token"),
    ]
    columns += [
        Column(key=key, name=name or "probability", kind="probability", edited=name == "edited")
        for key, name in zip(keys, kinds, strict=False)
    ]
    columns += [
        Column(
            key=key,
            name=f"log p {name}".strip(),
            kind="logprob",
            help="nats",
            edited=name == "edited",
            gives_way="early",
        )
        for key, name in zip(("log_prob", "log_prob_edited"), kinds, strict=False)
    ]
    rows: list[list[Any]] = []
    for at, index in enumerate(ids):
        log_probs = [float(log_prob[at]) for log_prob in logps]
        rows.append([ranks[at], lab.token(index), *map(float, np.exp(log_probs)), *log_probs])
    return Table(title="Next token", note=prompt.describe, tokenization=prompt.tokenization, columns=columns, rows=rows)


def _items(lab: Lab, passes: list[PromptNumbers], answer: int, foil: int | None) -> list[Scalar]:
    name = token_text(lab, answer)

    def item(label: str, values: list[float], unit: str = "", text: str = "") -> Scalar:
        return Scalar(name=label, value=values[0], edited=values[1] if len(values) > 1 else None, unit=unit, help=text)

    items = [
        item("entropy", [numbers.entropy for numbers in passes], "nats"),
        item(f"probability of {name}", [numbers.answer for numbers in passes]),
        item(f"rank of {name}", [float(numbers.rank) for numbers in passes], "", "1 is the top prediction"),
    ]
    if foil is not None:
        label = f"logit of {name} − {token_text(lab, foil)}"
        items.append(item(label, [numbers.difference for numbers in passes], "logits"))
    if len(passes[0].surprise) > 1:
        items.append(
            item(
                "loss along the prompt",
                [numbers.loss for numbers in passes],
                "nats",
                "mean surprise from position 1 on",
            )
        )
    return items


def _surprise(row: TokenizedRow, passes: list[PromptNumbers]) -> Tokens:
    names = ("clean", "edited") if len(passes) > 1 else ("surprise",)
    return Tokens(
        title="Surprise along the prompt",
        note=row.prompt.describe,
        tokens=row.prompt.tokens,
        rows=[TokenRow(name=name, values=numbers.surprise) for name, numbers in zip(names, passes, strict=True)],
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
            params=carried_params(params, answer=watched),
        )
    )
    if params.prompts or params.foil:
        report.suggest(NextStep(label="what it goes on to say", experiment="generate", params=carried_params(params)))
    else:
        foil = lab.token(second)
        label = f"how far {token_text(lab, answer)} is above {token_text(lab, second)}"
        report.suggest(
            NextStep(label=label, experiment="predict", params=carried_params(params, answer=watched, foil=foil))
        )
    if lab.edits:
        label = "the same without the edits"
        report.suggest(
            NextStep(label=label, experiment="predict", params=carried_params(params, answer=watched), edits=[])
        )
    else:
        layer = lab.info.n_layers - 1
        report.suggest(
            NextStep(
                label="which heads of the last layer are at work",
                experiment="activations",
                params=carried_params(params, units=f"L{layer}.H*"),
            )
        )


EXPERIMENT = Experiment(
    name="predict",
    help=__doc__,
    params=Params,
    run=run,
    group="says",
    order=1,
    works=lambda params, edited: ("forward" if edited else "clean",),
)
