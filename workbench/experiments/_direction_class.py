"""A direction from a class of tokens: its rows of W_E or W_U against those of all others (METHODS, "Token classes")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.artifacts.direction import Origin
from workbench.errors import UserError
from workbench.experiments._direction import (
    DirectionParams,
    against_shuffles,
    keep,
    of_this_model,
    suggest_uses,
    two_histograms,
)
from workbench.report import Report
from workbench.result_keys import Separation
from workbench.text import count, number, quoted
from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.token_classes import ClassDirection

LEAST = 10
"""tokens of a class: two in each fold"""
SHOWN = 15
"""tokens at either end"""


def from_tokens(lab: Lab, params: DirectionParams, name: str, report: Report) -> None:
    from workbench.lab.directions.token_classes import class_direction, class_members
    from workbench.lab.indexing.weights import vocabulary

    texts = vocabulary(lab.model)
    tokens = np.asarray([token for token, text in enumerate(texts) if text])
    members = class_members(params.token_class, texts)[tokens]
    inside, outside = int(members.sum()), int((~members).sum())
    if min(inside, outside) < LEAST:
        raise UserError(
            f"{quoted(params.token_class)} holds for {count(inside)} tokens and not for {count(outside)}: a direction "
            f"needs {LEAST} of each, so that it can be tried on tokens that it was not made from"
        )
    result = class_direction(lab.model, params.matrix, tokens, members, params.shuffles, lab.seed, report)
    matrix = "W_E" if params.matrix == "W_E" else "W_U, with the final norm's weights"
    n = f"{count(inside)} tokens against {count(outside)}"
    report.add(
        Separation.ALONG,
        two_histograms(
            f"Tokens along the direction, {params.matrix}",
            result.projections,
            members,
            (params.token_class, "the rest"),
            f"each row on the direction of the folds it is not in · {n}",
        ),
    )
    report.add("tokens", _ends(texts, tokens, members, result, params.token_class))
    about = f"{params.token_class} in {matrix}: {n}"
    origin = Origin(method="token class", about=about, site=params.matrix, purpose="project")
    keep(report, name, result.direction, of_this_model(lab, report, origin), {})
    verdict = "" if result.auc > result.shuffled_auc.max() else "no separation beyond shuffled labels · "
    report.say(
        f"{verdict}@{name} is mean({params.token_class}) − mean(the rest) of {matrix} · AUC {number(result.auc)}, d′ "
        f"{number(result.d_prime)} on held-out tokens · {against_shuffles(result.auc, result.shuffled_auc, '')} · {n}"
    )
    report.scalar("auc", result.auc)
    report.scalar("d_prime", result.d_prime)
    report.scalar("auc_shuffled_median", float(np.median(result.shuffled_auc)))
    report.scalar("auc_shuffled_highest", float(result.shuffled_auc.max()))
    report.scalar("tokens", inside)
    report.scalar("tokens_rest", outside)
    report.scalar("norm", float(np.linalg.norm(result.direction)))
    suggest_uses(report, name, params)


def _ends(texts: list[str], tokens: np.ndarray, members: np.ndarray, result: ClassDirection, label: str) -> Table:
    """The tokens farthest along the direction, and farthest against it."""
    order = np.argsort(-result.projections, kind="stable")
    shown = dict.fromkeys([*order[:SHOWN].tolist(), *order[-SHOWN:].tolist()])
    rows: list[list[Any]] = [
        [texts[tokens[at]], label if members[at] else "", float(result.projections[at])] for at in shown
    ]
    return Table(
        title="Tokens at either end",
        note=f"{len(rows)} of {count(len(tokens))}",
        columns=[
            Column(key="token", name="token", kind="token"),
            Column(key="token_class", name="class"),
            Column(key="projection", name="projection", kind="number", gives_way="never"),
        ],
        rows=rows,
    )
