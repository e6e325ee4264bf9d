"""What a session file holds, as frozen snapshots. No SQL here."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from workbench.model_info import ModelInfo
from workbench.report import NextStep, Progress

Status = Literal["queued", "running", "done", "cancelled", "failed", "lost"]
LOST_ERROR = "the process that ran it ended before it was done: run it again"
FINISHED: frozenset[str] = frozenset({"done", "cancelled", "failed", "lost"})


class SessionSummary(msgspec.Struct, kw_only=True, frozen=True):
    """One line of Home."""

    path: str
    title: str
    steps: int
    last: str
    """the last step's headline or experiment"""
    changed: float
    """seconds since the epoch"""
    problem: str = ""
    """why it can't be opened, as a sentence"""


class StepRow(msgspec.Struct, kw_only=True, frozen=True):
    """One line of the timeline: cheap to read for ten thousand steps."""

    id: int
    parent: int | None
    experiment: str
    label: str
    """what it was done to: the prompt, shortened"""
    edits: str
    """stack as text, empty where clean"""
    status: Status
    headline: str
    error: str
    expected: str
    created: float
    seconds: float | None
    notes: int
    revision: int


class StepRecord(msgspec.Struct, kw_only=True, frozen=True):
    """One step, whole, without its views."""

    id: int
    uuid: str
    parent: int | None
    experiment: str
    params: dict[str, Any]
    edits: list[dict[str, Any]]
    seed: int
    model: ModelInfo | None
    fingerprint: str
    versions: dict[str, str]
    device: str
    dtype: str
    status: Status
    error: str
    headline: str
    scalars: dict[str, float | None]
    expected: str
    replayable: bool
    origin: str
    command: str
    created: float
    started: float | None
    finished: float | None
    progress: Progress
    remarks: list[str]
    """what the experiment noted: halved batches, truncation"""
    next_steps: list[NextStep]
    revision: int
    sets: dict[str, list[str]] = {}
    """hashes of the stored sets and probes among the parameters, by parameter"""


class ViewRow(msgspec.Struct, kw_only=True, frozen=True):
    """A view as stored: `spec` is JSON, arrays in it are {"$array": hash, "dtype", "shape"}."""

    key: str
    position: int
    kind: str
    title: str
    final: bool
    revision: int
    spec: str


class NoteRow(msgspec.Struct, kw_only=True, frozen=True):
    id: int
    step: int | None
    text: str
    created: float


class PinRow(msgspec.Struct, kw_only=True, frozen=True):
    id: int
    unit: str
    name: str
    created: float


class ArtifactRow(msgspec.Struct, kw_only=True, frozen=True):
    """An artifact of a session, without what it holds."""

    hash: str
    kind: str
    name: str
    """empty where the name was removed and steps still use it"""
    model: str
    """name of the model that the step ran on; empty before it ran"""
    fingerprint: str
    """of that model"""
    step: int | None
    """that made it, or brought it into the session"""
    bytes: int
    steps: int
    """how many use it, or made it"""
    created: float


class StepArtifact(msgspec.Struct, kw_only=True, frozen=True):
    """That a step used or made an artifact."""

    kind: str
    name: str
    """that it had then"""
    hash: str
    role: Literal["used", "made"]


class ArtifactStep(msgspec.Struct, kw_only=True, frozen=True):
    """A step that used or made an artifact."""

    step: int
    experiment: str
    name: str
    """that the artifact had then"""
    role: Literal["used", "made"]
