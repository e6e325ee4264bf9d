"""The messages between control process and model process. Both are of one version: this may change freely."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from workbench.artifacts import Content, Role, Use
from workbench.artifacts.direction import Direction
from workbench.edits import Edit
from workbench.judging import JudgeCommand
from workbench.model_info import ModelInfo
from workbench.report import Earlier, NextStep, Progress
from workbench.session.encode import EncodedArray, EncodedView, EncodedViews
from workbench.session.records import Status
from workbench.session.update import Update

DEVICE_LOST = 76
"""the exit code of a model process whose GPU answers no more"""


class PipeMessage(msgspec.Struct, kw_only=True, tag_field="type", tag=str.lower):
    """`after` holds the lengths of the raw buffers that follow the frame."""

    after: tuple[int, ...] = ()


# --- control → model -------------------------------------------------------------------------------


class Run(PipeMessage):
    """Run an experiment. A peek is answered with a PeekAnswer of this `peek` id and `slot`."""

    job: int
    experiment: str
    params: dict[str, Any]
    edits: list[Edit]
    seed: int = 0
    directions: dict[str, Direction] = {}
    """by the names that edits and parameters use for them"""
    earlier: list[Earlier] = []
    """parts of it that ran before"""
    judge: JudgeCommand | None = None
    remarks: list[str] = []
    """of how it was submitted, for the reader of its result"""
    peek: int | None = None
    slot: str = ""


class Drop(PipeMessage):
    """Cancel a job, whether it has begun or not."""

    job: int


# --- model → control -------------------------------------------------------------------------------


class Stage(PipeMessage):
    stage: str
    detail: str = ""
    fraction: float | None = None
    seconds_left: float | None = None


class LoadFailed(PipeMessage):
    """The sentence why there is no model; the process ends."""

    reason: str


class Ready(PipeMessage):
    info: ModelInfo
    versions: dict[str, str]
    memory: int
    """bytes on the device; 0 where the model lies in ordinary memory"""
    free: int
    """bytes that can still be taken there"""


class Identified(PipeMessage):
    """The fingerprint is known now."""

    info: ModelInfo


class Started(PipeMessage):
    job: int


class ViewHead(msgspec.Struct):
    key: str
    position: int
    kind: str
    title: str
    arrays: tuple[str, ...]


class ArrayHead(msgspec.Struct):
    hash: str
    dtype: str
    shape: tuple[int, ...]
    preview: str


class ArtifactHead(msgspec.Struct):
    """An artifact that a step used or made: what the session keeps of it."""

    kind: str
    name: str
    spec: dict[str, Any]
    fingerprint: str
    role: Role
    array: ArrayHead | None
    """of one that lies in the session; None for one that lies in a folder"""


class PartBegan(PipeMessage):
    """A step has begun a part that is a step under it; `part` counts from 1."""

    job: int
    part: int
    experiment: str
    params: dict[str, Any]
    edits: list[Edit]
    names: dict[str, str]
    """of its prompt sets, by parameter"""


class PartEnded(PipeMessage):
    """The part is done; one that is not when its step ends, ends like it."""

    job: int
    part: int
    error: str = ""
    """why it failed; empty where it did not"""


class Published(PipeMessage):
    """What a step, or a part of one, has so far. The buffers are the views' specs, their arrays, the artifacts'."""

    job: int
    part: int
    """0 is the step itself"""
    headline: str
    scalars: dict[str, float | None]
    progress: Progress
    remarks: list[str]
    next_steps: list[NextStep]
    views: list[ViewHead]
    arrays: list[ArrayHead]
    artifacts: list[ArtifactHead] = []
    """new since the message before"""

    def update(self, after: memoryview) -> Update:
        """As it is written; shares memory with `after`."""
        parts = []
        start = 0
        for size in self.after:
            parts.append(after[start : start + size])
            start += size
        specs, rest = parts[: len(self.views)], parts[len(self.views) :]
        data, artifact_data = rest[: len(self.arrays)], iter(rest[len(self.arrays) :])
        views = [
            EncodedView(
                key=head.key,
                position=head.position,
                kind=head.kind,
                title=head.title,
                spec=bytes(spec),
                arrays=head.arrays,
            )
            for head, spec in zip(self.views, specs, strict=True)
        ]
        arrays = {
            head.hash: EncodedArray(head.hash, head.dtype, head.shape, part, head.preview)
            for head, part in zip(self.arrays, data, strict=True)
        }
        return Update(
            headline=self.headline,
            scalars=self.scalars,
            progress=self.progress,
            remarks=self.remarks,
            next_steps=self.next_steps,
            views=EncodedViews(views, arrays) if views else None,
            artifacts=[
                Use(
                    content=Content(
                        kind=head.kind,
                        spec=head.spec,
                        array=_array(head.array, next(artifact_data)) if head.array else None,
                        fingerprint=head.fingerprint,
                    ),
                    name=head.name,
                    role=head.role,
                )
                for head in self.artifacts
            ],
        )


def _array(head: ArrayHead, data: memoryview) -> np.ndarray:
    return np.frombuffer(data, np.dtype(head.dtype)).reshape(head.shape)


class Ended(PipeMessage):
    """The job is over. All results of a step were published before."""

    job: int
    status: Status
    error: str
    memory: int
    cached: int = 0
    free: int = 0


class Answered(PipeMessage):
    """A peek's answer: one buffer, the PeekAnswer as its client gets it. Ended follows."""

    job: int


ToModel = Run | Drop
FromModel = Stage | LoadFailed | Ready | Identified | Started | PartBegan | PartEnded | Published | Ended | Answered


def size_after(message: PipeMessage) -> int:
    return sum(message.after)
