"""Parts of a run that ran before in its session: found where a run is submitted, taken instead of computed again."""

from __future__ import annotations

import os
from collections.abc import Sequence

from workbench.report import Earlier, Part
from workbench.session.reader import SessionReader
from workbench.session.records import StepRecord
from workbench.views import Table


def earlier_parts(session: str, parts: Sequence[Part], seed: int, again: int | None = None) -> list[Earlier]:
    """Of each of the `parts` the steps with this seed that left tables behind.

    Newest first, up to one that was done. A step that was done and is run `again` takes nothing: whoever asks for that
    wants it computed.
    """
    if not session or not os.path.exists(session):
        return []
    missing = list(parts)
    experiments = {part.experiment for part in parts}
    earlier: list[Earlier] = []
    with SessionReader(session) as reader:
        if again and (row := reader.row(again)) is not None and row.status == "done":
            return []
        for row in reversed(reader.rows()):
            if row.experiment not in experiments or not missing or row.status in ("queued", "running"):
                continue
            record = reader.step(row.id)
            like = [part for part in missing if part.is_like(record.experiment, record.params)]
            if like and record.seed == seed:
                left = _left_behind(reader, record)
                if left.tables:
                    earlier.append(left)
                    if left.is_done:
                        missing = [part for part in missing if part not in like]
    return earlier


def _left_behind(reader: SessionReader, record: StepRecord) -> Earlier:
    loaded = {row.key: reader.load_view(row) for row in reader.views(record.id) if row.kind == "table"}
    return Earlier(
        step=record.id,
        params=record.params,
        fingerprint=record.fingerprint,
        dtype=record.dtype,
        is_done=record.status == "done",
        headline=record.headline,
        scalars=record.scalars,
        tables={key: view for key, view in loaded.items() if isinstance(view, Table)},
        artifacts={use.name: use.hash for use in reader.artifacts_of(record.id) if use.role == "used"},
    )
