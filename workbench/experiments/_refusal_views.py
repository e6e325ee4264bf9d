"""What the search shows while it goes: every candidate, maps by layer and position, what each rule takes. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.experiments._refusal_selection import RULES, Scored, Taken
from workbench.text import number
from workbench.views import Column, Heatmap, Table

MAPS = {
    "bypass": ("Bypass by layer and position", "mean score of harmful prompts, direction projected out, nats"),
    "induce": ("Induce by layer and position", "mean score of harmless prompts, direction added, nats"),
    "kl": ("KL by layer and position", "KL(unedited ‖ projected out) on harmless prompts, nats"),
}


def place(candidate: Scored, tokens: Sequence[str]) -> str:
    """`L12, position −2 'assistant'`."""
    return f"L{candidate.layer}, position {tokens[candidate.position]}"


def candidate_table(candidates: Sequence[Scored], tokens: Sequence[str], n_layers: int, note: str) -> Table:
    """Every candidate: those that no rule takes, least bypass first, then the others, in the same order."""

    def order(candidate: Scored) -> tuple[int, float]:
        broken = candidate.broken(n_layers)
        return len(broken) + 9 * ("length" in broken or "finite" in broken), candidate.bypass

    rows: list[list[Any]] = []
    for candidate in sorted(candidates, key=order):
        rows.append(
            [
                f"L{candidate.layer}",
                tokens[candidate.position],
                number_or_none(candidate.bypass),
                number_or_none(candidate.induce),
                number_or_none(candidate.kl),
                candidate.norm,
                ", ".join(RULES[rule] for rule in candidate.broken(n_layers)),
            ]
        )
    return Table(
        title="Candidates",
        note=note,
        columns=[
            Column(key="layer", name="layer", gives_way="never"),
            Column(key="position", name="position", gives_way="never"),
            Column(
                key="bypass",
                name="bypass",
                kind="number",
                help="mean score of harmful prompts with it projected out; lower is better",
                quantity="score, nats",
                gives_way="never",
            ),
            Column(
                key="induce",
                name="induce",
                kind="number",
                help="mean score of harmless prompts with it added; higher is better",
                quantity="score, nats",
                gives_way="never",
            ),
            Column(
                key="kl",
                name="KL",
                kind="number",
                help="KL(unedited ‖ projected out) on harmless prompts, 1e-6 inside both logarithms",
                quantity="nats",
                gives_way="never",
            ),
            Column(key="norm", name="norm", kind="number", help="of the mean difference"),
            Column(key="rule", name="left out by", help="the rules that it breaks; empty: it can be chosen"),
        ],
        rows=rows,
        row_keys=[f"{each.position},{each.layer}" for each in sorted(candidates, key=order)],
    )


def candidate_map(key: str, candidates: Sequence[Scored], tokens: Sequence[str], n_layers: int) -> Heatmap:
    """A score, nan where it is not there yet."""
    title, label = MAPS[key]
    values = np.full((n_layers, len(tokens)), np.nan)
    for candidate in candidates:
        values[candidate.layer, candidate.position] = getattr(candidate, key)
    return Heatmap(
        title=title,
        values=values,
        row_labels=[f"L{layer}" for layer in range(n_layers)],
        column_labels=list(tokens),
        row_axis="layer",
        column_axis="position",
        low_label="low",
        high_label="high",
        value_label=label,
    )


def rules_table(rules: Sequence[Taken], tokens: Sequence[str], n: int) -> Table:
    """Which rule takes how many, and what relaxing it alone would give."""
    rows: list[list[Any]] = []
    for taken in rules:
        best = taken.best
        given = [None, None, None] if best is None else [best.bypass, best.induce, best.kl]
        rows.append([RULES[taken.rule], taken.n, taken.n_alone, "" if best is None else place(best, tokens), *given])
    return Table(
        title="What the rules leave out",
        note=f"of {number(n)} candidates",
        columns=[
            Column(key="rule", name="rule", gives_way="never"),
            Column(key="n", name="break it", kind="int", gives_way="never"),
            Column(key="alone", name="and no other", kind="int", help="relaxing this rule gives these back"),
            Column(key="best", name="without it", help="what would be chosen of these", gives_way="never"),
            Column(key="bypass", name="bypass", kind="number", quantity="score, nats"),
            Column(key="induce", name="induce", kind="number", quantity="score, nats"),
            Column(key="kl", name="KL", kind="number", quantity="nats"),
        ],
        rows=rows,
    )
