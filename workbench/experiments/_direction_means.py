"""A direction from two sets of prompts: every layer and position beside shuffled labels, and the one that is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.artifacts.direction import Origin
from workbench.errors import UserError
from workbench.experiments._common import number_or_none, set_prompts
from workbench.experiments._direction import (
    CONTRAST_BYTES,
    DirectionParams,
    against_shuffles,
    keep,
    layer_named,
    of_this_model,
    position_names,
    suggest_uses,
    two_histograms,
)
from workbench.report import Report
from workbench.result_keys import Separation
from workbench.statistics import prediction_band
from workbench.text import number, quoted
from workbench.views import Column, Heatmap, Level, Lines, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.means import Candidate, Candidates
    from workbench.lab.prompts import Prompt

LEAST = 10
"""prompts of a class: two in each fold"""
SHOWN = 200
"""rows of the table at most"""


def from_prompts(lab: Lab, params: DirectionParams, name: str, report: Report) -> None:
    from workbench.lab.directions.means import candidates
    from workbench.lab.directions.states import tokens_after

    _check_sets(params)
    positive, negative = (_tokenized(lab, params, side, report) for side in ("positive", "negative"))
    prompts = [*positive, *negative]
    n_positions = params.positions or (tokens_after(prompts) if params.chat else 1)
    layer = layer_named(params.layer, lab.info.n_layers)
    if not -n_positions <= params.position:
        raise UserError(
            f"position {params.position} is not among the {n_positions} compared: take --positions {-params.position}"
        )
    tokens = position_names(prompts, n_positions)
    measured: Candidates | None = None
    for measured in candidates(lab.model, positive, negative, n_positions, params.shuffles, lab.seed, report):
        report.add(Separation.BY_LAYER, _separation_lines(measured))
    assert measured is not None
    if n_positions > 1:
        report.add("map", _map(measured, tokens))
    eligible = [
        candidate
        for candidate in measured
        if layer in (None, candidate.layer) and params.position in (0, candidate.position)
    ]
    best = max(eligible, key=lambda candidate: candidate.rank)
    report.add("candidates", _table(measured, tokens))
    label = measured.labels[0]
    place = f"L{best.layer}.resid_pre, position {number(best.position)}"
    n = f"{len(positive)} + {len(negative)} prompts"
    report.add(
        Separation.ALONG,
        two_histograms(
            f"Prompts along the direction, {place}",
            best.projections,
            label,
            ("positive", "negative"),
            f"each on the direction of the folds it is not in, less its fold's mean · {n}",
        ),
    )
    contrast = _contrast(params, best)
    if not contrast:
        report.note(
            "the sets are too long to be kept with the direction: it will have no controls with shuffled labels"
        )
    template = f", chat template, system turn: {params.system}" if params.chat else ""
    origin = Origin(
        method="mean difference",
        about=n + template,
        site="resid_pre",
        layer=best.layer,
        position=best.position,
        purpose="add",
    )
    keep(report, name, best.direction, of_this_model(lab, report, origin), contrast)
    last = [{prompt.tokens[best.position] for prompt in side} for side in (positive, negative)]
    if not last[0] & last[1]:
        report.note(
            f"no token at position {number(best.position)} is in both sets: that token alone tells them apart, "
            "whatever the model makes of it"
        )
    _say(report, name, best, eligible, place, n)
    suggest_uses(report, name, params, best.layer)


# --- the sets --------------------------------------------------------------------------------------


def _check_sets(params: DirectionParams) -> None:
    for side, other in (("positive", "negative"), ("negative", "positive")):
        rows = getattr(params, side)
        if not rows:
            raise UserError(f"there are no {side} prompts to compare the {other} ones with: give --{side} FILE too")
        if len(rows) < LEAST:
            raise UserError(
                f"there are {len(rows)} {side} prompts: give {LEAST} or more of each, so that every direction is tried "
                "on prompts that it was not made from"
            )
    common = {row.prompt for row in params.positive} & {row.prompt for row in params.negative}
    if common:
        raise UserError(f"the prompt {quoted(min(common))} is in both sets: leave it out of one")


def _tokenized(lab: Lab, params: DirectionParams, side: str, report: Report) -> list[Prompt]:
    texts = [row.prompt for row in getattr(params, side)]
    repeated = len(texts) - len(set(texts))
    if repeated:
        report.note(f"{repeated} of the {side} prompts are there more than once: separation is too good where they are")
    return set_prompts(lab, getattr(params, side), side, report, params.chat, params.system)


def _contrast(params: DirectionParams, best: Candidate) -> dict[str, str]:
    """What the controls with shuffled labels need; empty where the sets are too long."""
    texts = {side: json.dumps([row.prompt for row in getattr(params, side)]) for side in ("positive", "negative")}
    if sum(map(len, texts.values())) > CONTRAST_BYTES:
        return {}
    contrast = {**texts, "site": f"L{best.layer}.resid_pre", "position": str(best.position)}
    return {**contrast, "chat": "true", "system": params.system} if params.chat else contrast


# --- views -----------------------------------------------------------------------------------------


def _separation_lines(measured: Candidates) -> Lines:
    """The best position of each layer, beside the best position of each layer with shuffled labels."""
    auc, shuffled = measured.auc.max(axis=1), measured.shuffled_auc.max(axis=2)
    low, high = prediction_band(shuffled)
    best_of = f", best of {measured.n_positions} positions" if measured.n_positions > 1 else ""
    n_positive = int(measured.labels[0].sum())
    return Lines(
        title="Separation by layer",
        note=f"each prompt on the mean difference of the folds it is not in{best_of} · {n_positive} + "
        f"{len(measured.fold) - n_positive} prompts · band: where 95 % of shuffled labels lie, from {len(shuffled)}",
        x=np.arange(len(auc), dtype=np.float64),
        x_ticks=[f"L{layer}" for layer in range(len(auc))],
        series=[
            Series(name="cross-fitted AUC", y=auc),
            Series(
                name="shuffled labels",
                y=np.median(shuffled, axis=0),
                low=np.clip(low, 0, 1),
                high=np.clip(high, 0, 1),
            ),
        ],
        levels=[Level(y=0.5, label="no separation")],
        x_label="layer",
        y_label="AUC",
    )


def _map(measured: Candidates, tokens: list[str]) -> Heatmap:
    return Heatmap(
        title="Separation by layer and position",
        values=measured.auc,
        row_labels=[f"L{layer}" for layer in range(len(measured.by_layer))],
        column_labels=tokens,
        row_axis="layer",
        column_axis="position",
        low_label="none",
        high_label="complete",
        value_label="cross-fitted AUC",
    )


def _table(measured: Candidates, tokens: list[str]) -> Table:
    before = {(candidate.layer + 1, candidate.position): candidate.direction for candidate in measured}
    order = sorted(measured, key=lambda candidate: candidate.rank, reverse=True)
    rows: list[list[Any]] = []
    for candidate in order[:SHOWN]:
        previous = before.get((candidate.layer, candidate.position))
        rows.append(
            [
                f"L{candidate.layer}",
                tokens[candidate.position],
                candidate.auc,
                float(np.median(candidate.shuffled_auc)),
                float(candidate.shuffled_auc.max()),
                candidate.d_prime,
                candidate.norm,
                float(np.median(candidate.shuffled_norm)),
                None if previous is None else number_or_none(_cosine(candidate.direction, previous)),
            ]
        )
    none = sum(candidate.norm == 0 for candidate in measured)
    note = f"{len(rows):,} of {len(order):,}, the largest AUC first, then the largest d′"
    if none:
        note += f" · {none} of no length (the same state in all prompts) can't be kept"
    return Table(
        title="Mean differences by layer and position",
        note=note,
        columns=[
            Column(key="layer", name="layer"),
            Column(key="position", name="position"),
            Column(key="auc", name="AUC", kind="number", help="cross-fitted", gives_way="never"),
            Column(key="auc_shuffled", name="shuffled", kind="number", help="AUC of shuffled labels, median"),
            Column(key="auc_shuffled_highest", name="highest", kind="number", help="the highest of them"),
            Column(key="d_prime", name="d′", kind="number", help="cross-fitted, in standard deviations of a class"),
            Column(key="norm", name="norm", kind="number", help="of the mean difference"),
            Column(
                key="norm_shuffled",
                name="norm, shuffled",
                kind="number",
                help="of shuffled labels' mean differences, median",
                gives_way="early",
            ),
            Column(
                key="cosine", name="cos before", kind="signed", help="cosine with the layer before", gives_way="early"
            ),
        ],
        rows=rows,
    )


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms else float("nan")


def _say(report: Report, name: str, best: Candidate, eligible: list[Candidate], place: str, n: str) -> None:
    shuffled = np.max([candidate.shuffled_auc for candidate in eligible], axis=0)
    of = f", each the best of {len(eligible):,}" if len(eligible) > 1 else ""
    comparison = against_shuffles(best.auc, shuffled, of)
    chosen = f"the best of {len(eligible):,} layers and positions" if len(eligible) > 1 else "as asked"
    verdict = "" if best.auc > shuffled.max() else "no separation beyond shuffled labels · "
    report.say(
        f"{verdict}@{name} is mean(positive) − mean(negative) at {place}, {chosen} · AUC {number(best.auc)}, d′ "
        f"{number(best.d_prime)} on held-out prompts · {comparison} · {n}"
    )
    report.scalar("layer", best.layer)
    report.scalar("position", best.position)
    report.scalar("auc", best.auc)
    report.scalar("d_prime", best.d_prime)
    report.scalar("auc_shuffled_median", float(np.median(shuffled)))
    report.scalar("auc_shuffled_highest", float(shuffled.max()))
    report.scalar("norm", best.norm)
