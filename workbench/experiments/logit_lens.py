"""What the model is thinking, layer by layer.

Logit lens: the residual stream after the embedding and after every layer, read through the model's own final norm and
unembedding. A grid of layers and positions with the top prediction of each; the answer's rank and the distance (KL) to
the final distribution by layer. The last row is the model's own output. With a set of prompts: medians and means over
them at the last token. With a layer: the top tokens there, at one position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from workbench.datasets.prompts import PromptRow
from workbench.experiment import Experiment
from workbench.experiments._common import TokenizedRow, carried_params, token_text, tokenized_rows
from workbench.experiments._lens_cell import top_tokens
from workbench.params import PromptParams, TokenText
from workbench.report import NextStep, Report
from workbench.statistics import mean
from workbench.text import probability, quoted
from workbench.views import Heatmap, Lines, Series

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.lens import Lens, LensRow


class Params(PromptParams, kw_only=True, frozen=True):
    answer: Annotated[
        TokenText,
        Meta(
            description="the token to follow, with its leading space; empty is what the model says",
            extra={"example": " Paris"},
        ),
    ] = ""
    positions: Annotated[
        int,
        Meta(
            ge=0,
            description="how many of the last tokens the grid shows; 0 is all",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 24
    layer: Annotated[
        str,
        Meta(
            description="list the top tokens after this layer alone; empty is all layers",
            extra={"example": "L7", "more": True},
        ),
    ] = ""
    position: Annotated[
        int,
        Meta(
            description="the position at which they are listed; -1 is the last",
            extra={"unit": "position", "example": -1, "more": True},
        ),
    ] = -1

    def single(self) -> PromptRow:
        return PromptRow(self.prompt, self.answer)


@dataclass
class LensRows:
    """One prompt's rows so far, clean or edited."""

    rows: list[LensRow] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [row.name for row in self.rows]

    @property
    def ranks(self) -> np.ndarray:
        return np.asarray([row.answer_rank for row in self.rows], dtype=np.float64)

    @property
    def kl(self) -> np.ndarray:
        return np.asarray([row.kl for row in self.rows])

    @property
    def enters(self) -> str | None:
        """Where the answer is first from there on to the end; None where it is not first at the end."""
        first_name = None
        for row in reversed(self.rows):
            if row.answer_rank != 1:
                break
            first_name = row.name
        return first_name


def run(lab: Lab, params: Params, report: Report) -> None:
    rows = tokenized_rows(lab, params)
    for row in rows:
        if row.answer and row.answer.note:
            report.note(row.answer.note)
    if params.layer:
        top_tokens(lab, rows, params.layer, params.position, report)
    elif params.prompts:
        _run_set(lab, rows, params, report)
    else:
        _run_prompt(lab, rows[0], params, report)


def _answer(lab: Lab, row: TokenizedRow) -> int:
    return row.answer.id if row.answer else int(lab.forward(row.prompt, logits="last").top(1)[0][0, 0])


# --- one prompt ------------------------------------------------------------------------------------


def _run_prompt(lab: Lab, row: TokenizedRow, params: Params, report: Report) -> None:
    from workbench.lab.lens import lens

    answer = _answer(lab, row)
    lenses: list[Lens] = [lens(lab, row.prompt, (), params.positions)]
    if lab.edits:
        lenses.append(lens(lab, row.prompt, lab.edits, params.positions))
    passes = [LensRows() for _ in lenses]
    for index in report.track(range(len(lenses[0])), "layers"):
        for rows, lens_rows in zip(lenses, passes, strict=True):
            lens_rows.rows.append(rows.row(index, answer))
    tokens = row.prompt.tokens[lenses[0].first_position :]
    for name, lens_rows in zip(("clean", "edited"), passes, strict=False):
        report.add(
            "grid" if name == "clean" else "grid_edited", _grid(lab, row, tokens, lens_rows, _title_suffix(lab, name))
        )
    _lines(lab, report, passes, answer, row.prompt.describe)
    for lens_rows, suffix in zip(passes, ("", "_edited"), strict=False):
        last = lens_rows.rows[-1]
        report.scalar(f"answer_probability{suffix}", last.answer_probability)
        report.scalar(f"answer_rank{suffix}", last.answer_rank)
        enters = lens_rows.enters
        report.scalar(f"enters_layer{suffix}", None if enters is None else lens_rows.names.index(enters) - 1)
    report.say(_sentence(lab, params, passes, answer))
    _suggest(lab, params, report, passes[0], answer)


def _title_suffix(lab: Lab, name: str) -> str:
    return f", {name}" if lab.edits else ""


def _grid(lab: Lab, row: TokenizedRow, tokens: list[str], lens_rows: LensRows, name: str) -> Heatmap:
    left_out = len(row.prompt) - len(tokens)
    note = row.prompt.describe + (f"; the last {len(tokens)} are shown" if left_out else "")
    return Heatmap(
        title=f"Top prediction, by layer and position{name}",
        note=note,
        tokenization=row.prompt.tokenization,
        values=np.stack([lens_row.top_probability for lens_row in lens_rows.rows]),
        row_labels=lens_rows.names,
        column_labels=tokens,
        row_axis="layer",
        column_axis="position",
        low_label="unsure",
        high_label="sure",
        value_label="probability",
        texts=[[lab.token(index) for index in lens_row.top_ids] for lens_row in lens_rows.rows],
    )


def _lines(lab: Lab, report: Report, passes: list[LensRows], answer: int, note: str) -> None:
    names = passes[0].names
    x = np.arange(len(names), dtype=np.float64)
    labels = ("clean", "edited") if lab.edits else (token_text(lab, answer),)
    report.add(
        "rank",
        Lines(
            title=f"Rank of {token_text(lab, answer)} by layer",
            note=f"1 is the top prediction; {note}",
            x=x,
            x_ticks=names,
            series=[Series(name=name, y=lens_rows.ranks) for name, lens_rows in zip(labels, passes, strict=True)],
            x_label="layer",
            y_label="rank",
            log_y=True,
        ),
    )
    kinds = ("clean", "edited") if lab.edits else ("KL",)
    report.add(
        "kl",
        Lines(
            title="Distance to what the model says in the end",
            note="KL(final ‖ layer) of the next token, nats",
            x=x,
            x_ticks=names,
            series=[Series(name=name, y=lens_rows.kl) for name, lens_rows in zip(kinds, passes, strict=True)],
            x_label="layer",
            y_label="KL, nats",
        ),
    )


def _sentence(lab: Lab, params: Params, passes: list[LensRows], answer: int) -> str:
    clean = passes[0]
    name = token_text(lab, answer)
    p = probability(clean.rows[-1].answer_probability)
    after = f"after {quoted(params.prompt)}"
    if clean.enters is None:
        clean_part = f"{name} is rank {clean.rows[-1].answer_rank:,} in the end ({p}) {after}, {_best(clean)}"
    else:
        clean_part = f"{name} {p} {after}: top prediction from {_place(clean.enters)}"
    if len(passes) == 1:
        return clean_part
    edited = passes[1]
    last = edited.rows[-1]
    if edited.enters is None:
        edited_part = f"under the edits rank {last.answer_rank:,} in the end ({probability(last.answer_probability)})"
    else:
        edited_part = f"under the edits from {_place(edited.enters)} on ({probability(last.answer_probability)})"
    return f"{clean_part} · {edited_part}"


def _place(name: str) -> str:
    return "the embedding" if name == "embed" else f"layer {name.removeprefix('L')}"


def _best(lens_rows: LensRows) -> str:
    best_row = min(lens_rows.rows, key=lambda row: row.answer_rank)
    return f"at best rank {best_row.answer_rank:,} after {_place(best_row.name)}"


def _suggest(lab: Lab, params: Params, report: Report, clean: LensRows, answer: int) -> None:
    watched = params.answer or lab.token(answer)
    report.suggest(
        NextStep(
            label=f"how sure it is of {token_text(lab, answer)}",
            experiment="predict",
            params=carried_params(params, answer=watched),
        )
    )
    # Of probabilities, not their logarithms: from one in a million to one in ten thousand is no insight.
    rises = np.diff([row.answer_probability for row in clean.rows])
    if len(rises) and rises.max() > 0:
        layer = int(rises.argmax())
        report.suggest(
            NextStep(
                label=f"which heads are at work in L{layer}, where {token_text(lab, answer)} becomes likelier most",
                experiment="activations",
                params=carried_params(params, units=f"L{layer}.H*"),
            )
        )
    report.suggest(NextStep(label="what it goes on to say", experiment="generate", params=carried_params(params)))


# --- a set of prompts ------------------------------------------------------------------------------


def _run_set(lab: Lab, rows: list[TokenizedRow], params: Params, report: Report) -> None:
    from workbench.lab.lens import lens

    by_prompt: list[list[LensRows]] = []
    for row in report.track(rows, "prompts"):
        answer = _answer(lab, row)
        passes = []
        for edits in ((), lab.edits) if lab.edits else ((),):
            prompt_lens = lens(lab, row.prompt, edits, 1)
            passes.append(LensRows([prompt_lens.row(index, answer) for index in range(len(prompt_lens))]))
        by_prompt.append(passes)
        _add_set_views(lab, rows, by_prompt, report)
    report.suggest(NextStep(label="the answers in numbers", experiment="predict", params=carried_params(params)))


def _add_set_views(lab: Lab, rows: list[TokenizedRow], by_prompt: list[list[LensRows]], report: Report) -> None:
    names = by_prompt[0][0].names
    x = np.arange(len(names), dtype=np.float64)
    kinds = ("clean", "edited") if lab.edits else ("",)
    note = f"{len(by_prompt)} of {len(rows)} prompts"
    ranks, kls = [], []
    for at, kind in enumerate(kinds):
        stacked = np.stack([passes[at].ranks for passes in by_prompt])
        low, middle, high = np.quantile(stacked, (0.25, 0.5, 0.75), axis=0)
        ranks.append(Series(name=kind or "median rank", y=middle, low=low, high=high))
        prompt_kls = np.stack([passes[at].kl for passes in by_prompt])
        means = [mean(prompt_kls[:, layer]) for layer in range(len(names))]
        y = np.asarray([mean_kl.value for mean_kl in means])
        se = np.nan_to_num(np.asarray([mean_kl.se for mean_kl in means]))
        kls.append(Series(name=kind or "mean KL", y=y, low=y - se, high=y + se))
    report.add(
        "rank",
        Lines(
            title="Rank of the answer by layer, median",
            note=f"{note}; the band is the middle half",
            x=x,
            x_ticks=names,
            series=ranks,
            x_label="layer",
            y_label="rank",
            log_y=True,
        ),
    )
    report.add(
        "kl",
        Lines(
            title="Distance to what the model says in the end",
            note=f"KL(final ‖ layer) of the next token, nats; mean over {note}, band ± one standard error",
            x=x,
            x_ticks=names,
            series=kls,
            x_label="layer",
            y_label="KL, nats",
        ),
    )
    report.add(
        "grid",
        Heatmap(
            title="Top prediction, by layer and prompt" + _title_suffix(lab, "clean"),
            note=note,
            values=np.stack([[row.top_probability[-1] for row in passes[0].rows] for passes in by_prompt], axis=1),
            row_labels=names,
            column_labels=[row.prompt.text for row in rows[: len(by_prompt)]],
            row_axis="layer",
            column_axis="prompt",
            low_label="unsure",
            high_label="sure",
            value_label="probability",
            texts=[
                [lab.token(int(passes[0].rows[at].top_ids[-1])) for passes in by_prompt] for at in range(len(names))
            ],
        ),
    )
    _say_set(by_prompt, kinds, report)


def _say_set(by_prompt: list[list[LensRows]], kinds: tuple[str, ...], report: Report) -> None:
    sentences = []
    for at, kind in enumerate(kinds):
        names = by_prompt[0][0].names
        entered = [names.index(passes[at].enters or "") for passes in by_prompt if passes[at].enters is not None]
        suffix = "_edited" if kind == "edited" else ""
        report.scalar(f"first_in_the_end{suffix}", len(entered) / len(by_prompt))
        middle = f", from {_place(names[int(np.median(entered))])} on (median)" if entered else ""
        if entered:
            report.scalar(f"enters_layer{suffix}", float(np.median(entered)) - 1)
        sentences.append(
            f"{kind + ': ' if kind else ''}the answer is the top prediction "
            f"in {len(entered)} of {len(by_prompt)}{middle}"
        )
    report.say(" · ".join(sentences))


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """The top tokens there. Positions are counted from the end: of a long prompt the grid shows the last ones."""
    layer = view.row_labels[row]
    asked = carried_params(params, answer=params.answer)
    asked["position"] = column - view.values.shape[1]
    if params.prompts:
        prompt = params.prompts[column]
        asked |= {"prompt": prompt.prompt, "answer": prompt.answer, "position": -1, "prompts": []}
    asked = {name: value for name, value in asked.items() if value}
    return NextStep(label=f"top tokens after {layer}", experiment="logit-lens", params={**asked, "layer": layer})


EXPERIMENT = Experiment(name="logit-lens", help=__doc__, params=Params, run=run, group="says", order=3, cell=cell)
