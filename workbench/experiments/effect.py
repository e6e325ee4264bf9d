"""What edits do: to a prompt, a set of prompts, or a corpus.

KL of the next token, loss, the answer's probability or logit difference; by kind of token and by position; the tokens
hurt and helped most; what is generated. The effect comes first; the same edits done to matched random units, and random
directions that move the stream as far, fill in beside it, each kind of control by itself. Means have standard errors
clustered by document, and a mark where they are too uncertain to read. Position 0 counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._common import (
    AnswerParams,
    carried_params,
    check_foil,
    mean_text,
    number_or_none,
    tokenized_rows,
)
from workbench.experiments._controls import Comparison, comparison_table, kl_of_prompts, run_controls
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.experiments._effect import (
    DocumentLosses,
    by_class,
    by_position,
    extremes,
    kl_mean,
    loss_change,
    token_mean,
)
from workbench.experiments._generated import GENERATED_TOKEN, add_continuations, add_set_continuations
from workbench.experiments._sweep import ABLATION_PASSES
from workbench.params import CorpusText
from workbench.report import NextStep, Report
from workbench.room import estimated_tokens
from workbench.statistics import clustered_mean
from workbench.text import number, probability, quoted, show_token
from workbench.views import Scalar, Scalars

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt
    from workbench.model_info import ModelInfo


class Params(AnswerParams, kw_only=True, frozen=True):
    corpus: Annotated[
        CorpusText,
        Meta(
            description="text instead of a prompt: stdlib, a file, a folder, org/name on the hub",
            extra={"example": "stdlib"},
        ),
    ] = ""
    tokens: CorpusTokens = 4096
    context: CorpusContext = 128
    controls: Annotated[
        int, Meta(ge=0, le=10000, description="matched random controls", extra={"unit": "controls"})
    ] = 64
    generate: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="of prompts: tokens to generate, clean and edited; of a set under a few controls too",
            extra={"unit": "tokens"},
        ),
    ] = 16
    generate_controls: Annotated[
        int,
        Meta(ge=0, description="of a set: controls to generate under", extra={"unit": "controls", "more": True}),
    ] = 4


def cost(params: Params, info: ModelInfo) -> Cost:
    """With one kind of control on text and sets, two on a prompt: what most edits have."""
    if params.corpus:
        context = min(params.context, info.n_ctx)
        return Cost(passes=params.tokens / context * (2 + params.controls), tokens=context)
    rows = params.rows()
    tokens = sum(estimated_tokens(row.prompt) for row in rows) / len(rows)
    if params.prompts:
        passes = 2.0 + params.controls
        passes += GENERATED_TOKEN * params.generate * (2 + params.generate_controls) / tokens
    else:
        passes = 3 + 2 * ABLATION_PASSES * params.controls + params.generate
    return Cost(passes=passes * len(rows), tokens=tokens)


def run(lab: Lab, params: Params, report: Report) -> None:
    if not lab.edits:
        raise UserError("there is no edit whose effect to show: give one, for example --edit 'L12.N345=0'")
    if params.corpus:
        if params.prompt or params.prompts:
            raise UserError("a corpus and a prompt were both given: leave one out")
        _run_many(
            lab,
            corpus_prompts(lab, params.corpus, params.tokens, params.context, report),
            params,
            report,
            f"of {params.corpus}",
            0,
        )
    elif params.prompts:
        prompts = [row.prompt for row in tokenized_rows(lab, params)]
        _run_many(lab, prompts, params, report, "of the set", params.generate)
    else:
        _run_prompt(lab, params, report)


# --- one prompt --------------------------------------------------------------------------------------


def _run_prompt(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.study import has_same_distance, same_distance, study

    row = tokenized_rows(lab, params)[0]
    for watched in (row.answer, row.foil):
        if watched and watched.note:
            report.note(watched.note)
    clean, edited = lab.forward(row.prompt), lab.forward(row.prompt, lab.edits)
    answer = row.answer.id if row.answer else int(clean.top(1)[0][0, 0])
    check_foil(lab, row, answer)
    ids = np.asarray([answer])
    before, after = (float(np.exp(forward.log_prob(ids)[0])) for forward in (clean, edited))
    name = show_token(lab.token(answer))
    kl = edited.kl_from(clean)[0]
    document = DocumentLosses(row.prompt.tokens, clean.surprise()[0], edited.surprise()[0], kl)
    items = [
        Scalar(name=f"probability of {name}", value=before, edited=after),
        Scalar(name="KL of the next token", value=float(kl[-1]), unit="nats", help="KL(clean ‖ edited)"),
    ]
    report.scalar("kl", kl[-1])
    report.scalar("answer_probability", before)
    report.scalar("answer_probability_edited", after)
    if row.foil:
        difference = [
            float(forward.logit(ids)[0] - forward.logit(np.asarray([row.foil.id]))[0]) for forward in (clean, edited)
        ]
        items.append(
            Scalar(name=f"logit {name} − {show_token(row.foil.token)}", value=difference[0], edited=difference[1])
        )
        report.scalar("logit_difference", difference[0])
        report.scalar("logit_difference_edited", difference[1])
    if len(kl) > 1:
        losses = [float(np.nanmean(surprise)) for surprise in (document.clean, document.edited)]
        items.append(Scalar(name="loss along the prompt", value=losses[0], edited=losses[1], unit="nats"))
        items.append(Scalar(name="KL, mean from position 1 on", value=float(kl[1:].mean()), unit="nats"))
        report.scalar("kl_mean", float(kl[1:].mean()))
        later = lab.forward(row.prompt, lab.plan(lab.edits, skip_first=True, chat=params.chat), logits="last")
        kl_without_first = float(later.last_kl_from(clean)[0])
        items.append(
            Scalar(
                name="KL, edits from position 1 on",
                value=kl_without_first,
                unit="nats",
                help="without the attention sink",
            )
        )
        report.scalar("kl_without_first", kl_without_first)
    change = f"{name} {probability(before)} → {probability(after)} after {quoted(params.prompt)}"
    change += f" · KL {number(float(kl[-1]))}"
    report.say(change)
    traced = study(lab, row.prompt)
    plan = lab.plan(lab.edits, chat=params.chat)
    comparisons = _comparisons(lab, float(kl[-1]), params, report, [row.prompt])
    if params.controls and has_same_distance(plan):
        directions = same_distance(lab, traced, plan, params.controls)
        if directions.problem:
            report.note(directions.problem)
        comparisons.append(Comparison(float(kl[-1]), directions, lab.info.dtype, rounding=comparisons[0].rounding))

    def update() -> None:
        shown = [*items, *comparisons[0].scalars()]
        report.add(
            "numbers",
            Scalars(title="In numbers", note=row.prompt.describe, tokenization=row.prompt.tokenization, items=shown),
        )
        _write_comparisons(comparisons, report)
        sentences = [comparisons[0].rounding_sentence, *(comparison.sentence for comparison in comparisons)]
        report.say(" · ".join(filter(None, [change, *sentences])))

    update()
    if len(kl) > 1:
        report.add("extremes", extremes([document]))
    for comparison in comparisons:
        for _ in run_controls(traced, plan, comparison, report):
            update()
    if params.generate:
        add_continuations(lab, row.prompt, params.generate, report)
    report.suggest(
        NextStep(label="the next token, clean and edited", experiment="predict", params=carried_params(params))
    )
    report.suggest(NextStep(label="the same over text", experiment="effect", params={"corpus": "stdlib"}))


def _comparisons(
    lab: Lab, effect: float, params: Params, report: Report, prompts: Sequence[Prompt]
) -> list[Comparison]:
    """The effect beside each kind of control there is, none run yet; the first kind leads."""
    from workbench.lab.controls import controls, further_controls

    n, chat = params.controls, params.chat
    kinds = [controls(lab, lab.edits, n, chat, prompts), *further_controls(lab, lab.edits, n, chat)]
    for kind in kinds:
        if kind.problem:
            report.note(kind.problem)
    rounding: list[float] = []  # the same for all of them, measured once
    return [Comparison(effect, kind, lab.info.dtype, rounding=rounding) for kind in kinds]


def _write_comparisons(comparisons: Sequence[Comparison], report: Report) -> None:
    comparisons[0].add_to(report)
    if len(comparisons) > 1 and any(comparison.values for comparison in comparisons):
        report.add("kinds", comparison_table(comparisons))


# --- a set, a corpus ----------------------------------------------------------------------------------


def _run_many(lab: Lab, prompts: Sequence[Prompt], params: Params, report: Report, source: str, generate: int) -> None:
    from workbench.lab.batches import batches, rows_at_once
    from workbench.lab.rounding import DRAWS_OF_SETS, rounding_plans

    documents: list[DocumentLosses] = []
    last_kl: list[float] = []
    chunks: list[Sequence[Prompt]] = []
    size = rows_at_once(lab.model, max(map(len, prompts)), "forward")
    for batch in report.track(batches(prompts, size, report, lab.model), "documents", total=len(prompts)):
        with batch:
            clean, edited = lab.forward(batch.rows), lab.forward(batch.rows, lab.edits)
            kls = edited.kl_from(clean)
            rows = zip(batch.rows, clean.surprise(), edited.surprise(), kls, strict=True)
            measured = [DocumentLosses(prompt.tokens, a, b, kl) for prompt, a, b, kl in rows]
            documents += measured
            last_kl += [float(kl[-1]) for kl in kls]
            chunks.append(batch.rows)
        _add_views(documents, last_kl, report, source)
    effect = kl_mean(documents).value
    if np.isnan(effect):
        raise UserError("no prompt has more than one token: position 0 counts nowhere, so there is nothing to measure")
    comparisons = _comparisons(lab, effect, params, report, prompts)
    continuation_sentence = ""
    if generate:
        continuation_sentence = add_set_continuations(
            lab, prompts, generate, comparisons[0].controls, params.generate_controls, report
        )
        _add_views(documents, last_kl, report, source, comparisons, continuation_sentence)
    for comparison in comparisons:
        jobs = [(plan, comparison.values) for plan in comparison.controls.plans]
        if not comparison.rounding:
            rounding = rounding_plans(lab.plan(lab.edits, chat=params.chat), lab.info.n_layers, DRAWS_OF_SETS, lab.seed)
            jobs += [(plan, comparison.rounding) for plan in rounding]
        sums: list[float] = []
        counts: list[int] = []
        work = [(*job, chunk) for job in jobs for chunk in chunks]
        for plan, means, chunk in report.track(work, "batches", stage="controls"):
            kls = list(kl_of_prompts(lab, chunk, plan))
            sums += [float(kl[1:].sum()) for kl in kls]
            counts += [len(kl) - 1 for kl in kls]
            if len(counts) == len(prompts):
                means.append(clustered_mean(sums, counts).value)
                sums, counts = [], []
                _add_views(documents, last_kl, report, source, comparisons, continuation_sentence)


def _add_views(
    documents: list[DocumentLosses],
    last_kl: list[float],
    report: Report,
    source: str,
    comparisons: Sequence[Comparison] = (),
    continuation_sentence: str = "",
) -> None:
    if not documents:
        return
    if not comparisons:
        report.add("classes", by_class(documents))
        if max(len(document.tokens) for document in documents) > 2:
            report.add("positions", by_position(documents))
        report.add("extremes", extremes(documents))
    change, kl = loss_change(documents), kl_mean(documents)
    before, after = (
        token_mean(documents, lambda document: document.clean),
        token_mean(documents, lambda document: document.edited),
    )
    tokens = sum(int(np.isfinite(document.change).sum()) for document in documents)
    note = f"{tokens:,} tokens of {len(documents):,} documents {source}; ± clustered by document"
    items = [
        Scalar(
            name="loss", value=before.value, edited=after.value, unit="nats", se=number_or_none(before.se), n=tokens
        ),
        Scalar(name="loss change", value=change.value, unit="nats", se=number_or_none(change.se), n=tokens),
        Scalar(name="KL from position 1 on", value=kl.value, unit="nats", se=number_or_none(kl.se), n=tokens),
        Scalar(name="KL at the last position", value=float(np.mean(last_kl)), unit="nats", n=len(last_kl)),
    ]
    if comparisons:
        items += comparisons[0].scalars()
    report.add("numbers", Scalars(title="Means", note=note, items=items))
    if comparisons:
        _write_comparisons(comparisons, report)
    report.scalar("loss", before.value)
    report.scalar("loss_edited", after.value)
    report.scalar("loss_change", change.value)
    report.scalar("loss_change_se", change.se)
    report.scalar("kl_mean", kl.value)
    report.scalar("kl", float(np.mean(last_kl)))
    report.scalar("tokens", tokens)
    sentence = f"loss {number(before.value)} → {number(after.value)} (change {mean_text(change)})"
    sentence += f" · KL {mean_text(kl)} · {note}"
    report.say(
        " · ".join(
            filter(
                None,
                [
                    sentence,
                    *(comparison.rounding_sentence for comparison in comparisons[:1]),
                    *(comparison.sentence for comparison in comparisons),
                    continuation_sentence,
                ],
            )
        )
    )


EXPERIMENT = Experiment(
    name="effect",
    help=__doc__,
    params=Params,
    run=run,
    group="parts",
    order=20,
    long=True,
    cost=cost,
    works=lambda params, edited: ("forward", "generation") if params.generate else ("forward",),
)
