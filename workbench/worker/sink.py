"""Where a running job's report goes: sends progress and partial views, checks for cancel, lets waiting jobs run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.edits import Edit
from workbench.errors import UserError
from workbench.report import Report
from workbench.session.encode import EncodedArray, EncodedView, encode_array, encode_views
from workbench.worker.messages import ArrayHead, ArtifactHead, PartBegan, PartEnded, Published, ViewHead

INTERVAL = 0.25
"""seconds between two publications of a step"""


class StepSink:
    """Of a step. `check` raises Cancelled; `give_turn` runs what waits."""

    def __init__(
        self,
        job: int,
        send: Callable[[Any, list[Any]], None],
        check: Callable[[], None],
        give_turn: Callable[[], None],
        part: int = 0,
    ) -> None:
        self._job = job
        self._part = part
        self._parts = 0
        self._send = send
        self._check = check
        self._give_turn = give_turn
        # A job that is over within the interval is written once, at its end.
        self._published = time.monotonic()
        self._arrays: dict[str, tuple[str, ...]] = {}
        """by view key, the arrays that the session holds"""
        self._artifacts = 0
        """how many of the report's artifacts the session has"""

    def changed(self, report: Report) -> None:
        if time.monotonic() - self._published >= INTERVAL:
            self.publish(report)

    def streamed(self, report: Report) -> None:
        self.changed(report)

    def between_batches(self, report: Report) -> None:
        self._check()
        self._give_turn()

    def part(
        self, experiment: str, params: dict[str, Any], edits: Sequence[Edit], names: Mapping[str, str]
    ) -> StepSink:
        """A step under this one. Parts have no parts of their own: theirs are their step's."""
        self._parts += 1
        began = PartBegan(
            job=self._job,
            part=self._parts,
            experiment=experiment,
            params=params,
            edits=list(edits),
            names=dict(names),
        )
        self._send(began, [])
        return StepSink(self._job, self._send, self._check, self._give_turn, self._parts)

    def done(self, report: Report, error: str = "") -> None:
        """The part is over: what is not published yet is published."""
        self.publish(report)
        self._send(PartEnded(job=self._job, part=self._part, error=error), [])

    def publish(self, report: Report) -> None:
        """All that is new now. Raises UserError for a view that can't be kept; the others are published."""
        views: list[EncodedView] = []
        arrays: dict[str, EncodedArray] = {}
        problem: UserError | None = None
        for key in [key for key in report.views if key in report.dirty]:
            report.dirty.discard(key)
            try:
                encoded = encode_views(report.views, {key})
            except UserError as error:
                problem = error
                continue
            views += encoded.views
            arrays.update(encoded.arrays)
        stored_hashes = {digest for hashes in self._arrays.values() for digest in hashes}
        new_arrays = [array for array in arrays.values() if array.hash not in stored_hashes]
        self._arrays.update({view.key: view.arrays for view in views})
        new_artifacts = report.artifacts[self._artifacts :]
        artifact_arrays = [
            None if use.content.array is None else encode_array(use.content.array) for use in new_artifacts
        ]
        buffers = [
            *(view.spec for view in views),
            *(array.data for array in new_arrays),
            *(array.data for array in artifact_arrays if array),
        ]
        message = Published(
            job=self._job,
            part=self._part,
            headline=report.headline,
            scalars=report.scalars,
            progress=report.progress,
            remarks=report.notes,
            next_steps=report.next_steps,
            views=[ViewHead(view.key, view.position, view.kind, view.title, view.arrays) for view in views],
            arrays=[_head(array) for array in new_arrays],
            artifacts=[
                ArtifactHead(
                    use.content.kind,
                    use.name,
                    use.content.spec,
                    use.content.fingerprint,
                    use.role,
                    _head(array) if array else None,
                )
                for use, array in zip(new_artifacts, artifact_arrays, strict=True)
            ],
            after=tuple(len(buffer) for buffer in buffers),
        )
        self._send(message, buffers)
        self._artifacts = len(report.artifacts)
        self._published = time.monotonic()
        if problem:
            raise problem


def _head(array: EncodedArray) -> ArrayHead:
    return ArrayHead(array.hash, array.dtype, array.shape, array.preview)


class PeekSink:
    """Of a peek: nothing is sent before the end."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def changed(self, report: Report) -> None:
        return

    def streamed(self, report: Report) -> None:
        return

    def between_batches(self, report: Report) -> None:
        self._check()
