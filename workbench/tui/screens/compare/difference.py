"""What differs between two steps, as a sentence and a table. Plain data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.views import Column, Table

if TYPE_CHECKING:
    from workbench.session.records import StepRecord


def differences(first: StepRecord, second: StepRecord) -> list[str]:
    """`edits: none → L24.N88=0`, one for each thing that is not the same in both."""
    from workbench.tui.widgets.result.words import edits_text

    found = []
    pairs: list[tuple[str, Any, Any]] = [("experiment", first.experiment, second.experiment)]
    names = dict.fromkeys([*first.params, *second.params])
    pairs += [(name, first.params.get(name), second.params.get(name)) for name in names]
    pairs.append(("edits", edits_text(first) or "none", edits_text(second) or "none"))
    pairs.append(("seed", first.seed, second.seed))
    pairs.append(("model", first.model and first.model.name, second.model and second.model.name))
    pairs.append(("weights", first.fingerprint[:12], second.fingerprint[:12]))
    for name, one, other in pairs:
        if one != other and not (name == "weights" and not (one and other)):
            found.append(f"{name}: {_short(one)} → {_short(other)}")
    return found


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value):,} entries"
    return repr(value) if isinstance(value, str) and (value != value.strip() or " " in value) else str(value)


def scalars_table(first: StepRecord, second: StepRecord) -> Table | None:
    """Numbers that both steps have; None where they share none."""
    rows: list[list[Any]] = []
    for name, one in first.scalars.items():
        other = second.scalars.get(name)
        if name in second.scalars:
            known = one is not None and other is not None and math.isfinite(one) and math.isfinite(other)
            rows.append([name.replace("_", " "), one, other, other - one if known else None])  # type: ignore[operator]
    if not rows:
        return None
    return Table(
        title="numbers that both have",
        columns=[
            Column(name="number"),
            Column(name=f"step {first.id}", kind="number"),
            Column(name=f"step {second.id}", kind="number"),
            Column(name="difference", kind="signed"),
        ],
        rows=rows,
    )
