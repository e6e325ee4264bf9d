"""What the model goes on to say.

Greedy or sampled continuation of a prompt, shown as it comes, with the surprise of each token. Under edits the edited
continuation stands beside the clean one, drawn with the same seed, and the result says where they first differ. With a
set of prompts: one row a prompt, many of them at once. With a conversation (--chat --messages FILE) it is the next
answer of the chat; the edits act on every turn of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.datasets.conversation import Turn
from workbench.experiment import Experiment
from workbench.experiments._common import TokenizedRow, carried_params, mean_text, tokenized_rows
from workbench.lab.continuation import Continuation, Row
from workbench.params import PromptParams
from workbench.report import NextStep, Report
from workbench.result_keys import Continued
from workbench.statistics import mean
from workbench.text import number, quoted, show_token
from workbench.views import Column, Scalar, Scalars, Table, Text, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab

UPDATE_INTERVAL = 0.25
"""seconds between two tables of a set"""


class Params(PromptParams, kw_only=True, frozen=True):
    tokens: Annotated[int, Meta(ge=1, le=100_000, description="how many tokens at most", extra={"unit": "tokens"})] = 40
    temperature: Annotated[
        float, Meta(ge=0, le=100, description="0 is greedy: always the top prediction; higher is more random")
    ] = 0
    top_k: Annotated[
        int,
        Meta(ge=0, description="draw among this many of the top predictions only; 0 is all", extra={"more": True}),
    ] = 0


def run(lab: Lab, params: Params, report: Report) -> None:
    rows = tokenized_rows(lab, params)
    if params.prompts:
        _run_set(lab, rows, params, report)
    else:
        _run_prompt(lab, rows[0], params, report)


def _generate(
    lab: Lab,
    rows: Sequence[TokenizedRow],
    params: Params,
    pairs: Sequence[tuple[Continuation, Continuation]],
    report: Report,
) -> Iterator[None]:
    """Each row's continuation, clean and, where there are edits, edited; yields after each generated token."""
    from workbench.lab.generate import continue_all

    plans = [lab.plan(()), lab.plan(lab.edits, chat=params.chat)] if lab.edits else [lab.plan(())]
    requests = [Row(row.prompt, plan, at) for at, row in enumerate(rows) for plan in plans]
    continuations = [continuation for pair in pairs for continuation in pair[: len(plans)]]
    steps = continue_all(
        lab,
        requests,
        continuations,
        params.tokens,
        temperature=params.temperature,
        top_k=params.top_k,
        group=len(plans),
    )
    for n_steps in report.track(steps, "tokens", total=params.tokens * len(requests)):
        report.progress.done += n_steps - 1  # track counts the step itself
        yield


def _text(row: TokenizedRow, continuation: Continuation, name: str, params: Params) -> Text:
    title = f"Continuation, {name}" if name else "Continuation"
    how = "greedy" if params.temperature == 0 else f"temperature {number(params.temperature)}"
    n = len(continuation.ids)
    end = f", {continuation.end}" if continuation.end else ""
    note = f"{n} token{'s' * (n != 1)}, {how}{end}; the prompt: {row.prompt.describe}"
    text = row.prompt.text + continuation.text if not row.prompt.template else continuation.text
    return Text(title=title, note=note, tokenization=row.prompt.tokenization, text=text)


def _run_prompt(lab: Lab, row: TokenizedRow, params: Params, report: Report) -> None:
    clean, edited = Continuation(), Continuation()
    kinds = [(False, clean), (True, edited)] if lab.edits else [(False, clean)]
    for _ in _generate(lab, [row], params, [(clean, edited)], report):
        for is_edited, continuation in kinds:
            report.stream(
                Continued.EDITED if is_edited else Continued.CLEAN,
                _text(row, continuation, _name(lab, is_edited), params),
            )
    first_difference = clean.first_difference(edited) if lab.edits else None
    for is_edited, continuation in kinds:
        name, suffix = _name(lab, is_edited), "_edited" if is_edited else ""
        report.scalar(f"tokens{suffix}", len(continuation.ids))
        report.scalar(f"surprise{suffix}", float(np.mean(continuation.surprise)))
        title = f"Surprise of each token, {name}" if name else "Surprise of each token"
        report.add(f"tokens{suffix}", _tokens(title, row, continuation, first_difference))
    if params.messages:
        report.add("conversation", _conversation(params, edited if lab.edits else clean, "edited" * bool(lab.edits)))
    report.say(_sentence(row, clean, edited if lab.edits else None))
    if lab.edits:
        report.scalar("first_difference", first_difference)
        _damage(lab, row, clean, edited, report)
    _suggest(lab, params, report, clean)


def _conversation(params: Params, answer: Continuation, name: str) -> Text:
    """All turns up to the answer; where there are edits, `name` says that it is the one under them."""
    turns = [*params.messages, Turn("user", params.prompt), Turn("assistant", answer.text)]
    note = f"{len(turns)} turns" + (f"; the last one is the {name} continuation" if name else "")
    text = "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)
    return Text(title="The conversation", note=note, text=text)


def _damage(lab: Lab, row: TokenizedRow, clean: Continuation, edited: Continuation, report: Report) -> None:
    """Perplexities of both texts under the unedited model: a broken one finds its own text likely."""
    from workbench.lab.steering import clean_surprise

    surprises = clean_surprise(lab, [row.prompt] * 2, [clean.ids, edited.ids])
    for key, surprise in zip((Continued.PERPLEXITY, Continued.PERPLEXITY_EDITED), surprises, strict=True):
        report.scalar(key, float(np.exp(surprise.mean())))


def _name(lab: Lab, edited: bool) -> str:
    return ("edited" if edited else "clean") if lab.edits else ""


def _tokens(title: str, row: TokenizedRow, continuation: Continuation, first_difference: int | None) -> Tokens:
    """Prompt and continuation; only what was generated has a surprise."""
    start = len(row.prompt)
    return Tokens(
        title=title,
        tokenization=row.prompt.tokenization,
        tokens=[*row.prompt.tokens, *continuation.tokens],
        rows=[TokenRow(name="surprise", values=np.concatenate([np.full(start, np.nan), continuation.surprise]))],
        value_label="surprise, nats",
        low_label="expected",
        high_label="surprising",
        generated_from=start,
        differs_at=None if first_difference is None else start + first_difference,
    )


def _sentence(row: TokenizedRow, clean: Continuation, edited: Continuation | None) -> str:
    after = f"after {quoted(row.prompt.text, 32)}"
    if edited is None:
        return f"{quoted(clean.text, 60)} {after}"
    at = clean.first_difference(edited)
    if at is None:
        return f"{quoted(clean.text, 60)} {after}, the same with and without the edits"
    where = "from the first token on" if at == 0 else f"the same for {at} token{'s' * (at != 1)}"
    clean_token = show_token(clean.tokens[at]) if at < len(clean.tokens) else "an end"
    edited_token = show_token(edited.tokens[at]) if at < len(edited.tokens) else "an end"
    return f"{quoted(clean.text, 32)} → {quoted(edited.text, 32)} {after} · {where}: {clean_token}, then {edited_token}"


def _suggest(lab: Lab, params: Params, report: Report, clean: Continuation) -> None:
    report.suggest(
        NextStep(label="how sure it is of the first token", experiment="predict", params=carried_params(params))
    )
    report.suggest(
        NextStep(
            label="what is it thinking, layer by layer",
            experiment="logit-lens",
            params=carried_params(params, answer=clean.tokens[0]),
        )
    )
    if params.temperature == 0:
        again = carried_params(params, temperature=1.0, tokens=params.tokens)
        report.suggest(NextStep(label="drawn at temperature 1 instead", experiment="generate", params=again))
    else:
        again = carried_params(params, tokens=params.tokens)
        report.suggest(NextStep(label="greedy instead", experiment="generate", params=again))


def _run_set(lab: Lab, rows: list[TokenizedRow], params: Params, report: Report) -> None:
    pairs = [(Continuation(), Continuation()) for _ in rows]
    updated = 0.0
    for _ in _generate(lab, rows, params, pairs, report):
        if time.monotonic() - updated >= UPDATE_INTERVAL:
            _add_set_views(lab, rows, pairs, report)
            updated = time.monotonic()
    _add_set_views(lab, rows, pairs, report)
    report.suggest(
        NextStep(label="how sure it is of the next token", experiment="predict", params=carried_params(params))
    )


def _add_set_views(
    lab: Lab, rows: list[TokenizedRow], pairs: Sequence[tuple[Continuation, Continuation]], report: Report
) -> None:
    """All rows that have begun."""
    begun = [pair for pair in pairs if pair[0].ids]
    columns = [Column(key="prompt", name="prompt", kind="prompt"), Column(key="continuation", name="continuation")]
    cells: list[list[str | int | None]] = []
    differ = []
    for row, (clean, edited) in zip(rows, begun, strict=False):
        line: list[str | int | None] = [row.prompt.text, clean.text]
        if lab.edits:
            at = clean.first_difference(edited)
            differ.append(at is not None)
            line += [edited.text, at]
        cells.append(line)
    if lab.edits:
        columns[1].name = "clean"
        columns += [
            Column(key="continuation_edited", name="edited", edited=True),
            Column(
                key="differ_at", name="differ at", kind="int", help="index of the first generated token that differs"
            ),
        ]
    note = f"{len(begun):,} of {len(rows):,}"
    report.add("continuations", Table(title="Prompt by prompt", note=note, columns=columns, rows=list(cells)))
    surprise = mean([float(np.mean(clean.surprise)) for clean, _ in begun])
    items = [
        Scalar(
            name="surprise of a generated token",
            value=surprise.value,
            unit="nats",
            se=None if np.isnan(surprise.se) else surprise.se,
            n=surprise.n,
            edited=mean([float(np.mean(edited.surprise)) for _, edited in begun]).value if lab.edits else None,
        )
    ]
    report.scalar("surprise", surprise.value)
    if lab.edits:
        share = mean([float(is_different) for is_different in differ])
        report.scalar("differing", share.value)
        items.append(Scalar(name="continuations that differ", value=share.value, n=share.n))
        report.say(f"{sum(differ)} of {len(differ)} continuations differ under the edits")
    else:
        report.say(f"{len(begun)} continuations, surprise {mean_text(surprise)} nats a token")
    report.add("numbers", Scalars(title="Means over the prompts", items=items))


EXPERIMENT = Experiment(
    name="generate",
    help=__doc__,
    params=Params,
    run=run,
    group="says",
    order=2,
    works=lambda params, edited: ("generation",),
)
