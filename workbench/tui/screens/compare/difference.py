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

    lines = []
    pairs: list[tuple[str, Any, Any]] = [("experiment", first.experiment, second.experiment)]
    names = dict.fromkeys([*first.params, *second.params])
    pairs += [(name, first.params.get(name), second.params.get(name)) for name in names]
    pairs.append(("edits", edits_text(first) or "none", edits_text(second) or "none"))
    pairs.append(("seed", first.seed, second.seed))
    pairs.append(("model", first.model and first.model.name, second.model and second.model.name))
    pairs.append(("weights", first.fingerprint[:12], second.fingerprint[:12]))
    for name, first_value, second_value in pairs:
        if first_value != second_value and not (name == "weights" and not (first_value and second_value)):
            lines.append(f"{name}: {_short(first_value)} → {_short(second_value)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value):,} entries"
    return repr(value) if isinstance(value, str) and (value != value.strip() or " " in value) else str(value)


_EDITED = "_edited"


def scalars_table(first: StepRecord, second: StepRecord) -> Table | None:
    """Numbers that both steps have, of a step under edits those with them on; None where they share none."""
    rows: list[list[Any]] = []
    for name in first.scalars:
        if name in second.scalars and not name.endswith(_EDITED):
            first_value, second_value = _number(first, name), _number(second, name)
            both = first_value is not None and second_value is not None
            finite = both and math.isfinite(first_value) and math.isfinite(second_value)  # type: ignore[arg-type]
            difference = second_value - first_value if finite else None  # type: ignore[operator]
            rows.append([name.replace("_", " "), first_value, second_value, difference])
    if not rows:
        return None
    return Table(
        title="numbers that both have",
        columns=[
            Column(name="number"),
            Column(name=_which(first), kind="number"),
            Column(name=_which(second), kind="number"),
            Column(name="difference", kind="signed"),
        ],
        rows=rows,
    )


def _number(step: StepRecord, name: str) -> float | None:
    return step.scalars.get(name + _EDITED, step.scalars[name])


def _which(step: StepRecord) -> str:
    return f"step {step.id}, edited" if any(name.endswith(_EDITED) for name in step.scalars) else f"step {step.id}"
