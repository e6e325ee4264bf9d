"""What the app knows of the open session beside its steps, read in one go. No widget here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workbench.model_info import ModelInfo
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord


class SessionState(NamedTuple):
    title: str
    model: ModelInfo | None
    """that its steps ran on"""
    pins: list[str]
    directions: list[str]
    """`@refusal`: the session's, then those of the data folder"""
    probes: list[str]
    """names of the session's"""
    prompt_sets: list[str]
    """`harmful`: those that the session has, newest first"""
    running: StepRecord | None


def read_state(reader: SessionReader, running: int | None) -> SessionState:
    """`running` is the step that runs in it. Raises UserError."""
    from workbench.artifacts.prompt_set import NAME
    from workbench.session.directions import known_directions
    from workbench.session.typed_sets import known_probes

    return SessionState(
        reader.title,
        reader.model(),
        [pin.unit for pin in reader.pins()],
        known_directions(reader),
        known_probes(reader),
        [row.name for row in reader.artifacts() if row.kind == NAME and row.name],
        reader.step(running) if running else None,
    )
