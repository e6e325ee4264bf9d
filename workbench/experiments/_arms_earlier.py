"""Completions of the arms as the session keeps them, for a run that goes on where one with its parameters ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.experiments._arms import Arms
from workbench.experiments._common import number_or_none
from workbench.experiments._completions import Completion
from workbench.report import Earlier
from workbench.views import Column, Table

MEASURED = "measured"


@dataclass(frozen=True)
class Kept:
    """A completion that an earlier run made."""

    step: int
    completion: Completion
    ids: list[int]


def measured_table(arms: Arms) -> Table:
    """What is measured of each completion, and its tokens: with the texts all that a later run needs of them."""
    rows = []
    for key, arm, at in arms.each_completion():
        completion = arm.completions[at]
        rows.append(
            [
                key,
                completion.tokens,
                number_or_none(completion.surprise),
                completion.kl,
                *map(number_or_none, completion.distinct),
                int(completion.loops),
                " ".join(map(str, arm.ids[at])),
            ]
        )
    return Table(
        title="Each completion measured",
        columns=[
            Column(key="id", name="id", gives_way="never"),
            Column(key="tokens", name="tokens", kind="int"),
            Column(
                key="surprise",
                name="surprise",
                kind="number",
                help="mean −log p of its tokens under the unedited model, nats",
            ),
            Column(key="kl", name="KL", kind="number", help="KL(base ‖ edited) at the last prompt position, nats"),
            Column(key="distinct_1", name="dist-1", kind="number", help="different tokens over all"),
            Column(
                key="distinct_2", name="dist-2", kind="number", help="different pairs of tokens over all pairs"
            ),
            Column(key="loops", name="loops", kind="int", help="1 where it ends up repeating itself"),
            Column(key="ids", name="token ids", gives_way="early"),
        ],
        rows=rows,
    )  # fmt: skip


def kept_completions(earlier: Earlier) -> Mapping[str, Kept]:
    """Those of an earlier step, by id."""
    texts, measured = earlier.tables.get("completions"), earlier.tables.get(MEASURED)
    if texts is None or measured is None:
        return {}
    text_of = {row["id"]: row for row in texts.records()}
    return {
        row["id"]: Kept(
            earlier.step,
            Completion(
                text=text_of[row["id"]]["completion"],
                tokens=row["tokens"],
                surprise=_number(row["surprise"]),
                kl=row["kl"],
                log_odds=float("nan"),
                distinct=(_number(row["distinct_1"]), _number(row["distinct_2"])),
                loops=bool(row["loops"]),
                end=text_of[row["id"]]["end"],
            ),
            [int(index) for index in row["ids"].split()],
        )
        for row in measured.records()
        if row["id"] in text_of
    }


def _number(cell: float | None) -> float:
    return float("nan") if cell is None else cell
