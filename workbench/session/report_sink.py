"""Where the report of a run goes that this process executes itself: straight into its session."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.artifacts.direction import Direction
from workbench.edits import Edit
from workbench.errors import Cancelled
from workbench.model_info import ModelInfo
from workbench.report import Report, failure
from workbench.session.encode import encode_views
from workbench.session.submission import make_submission
from workbench.session.update import Update

if TYPE_CHECKING:
    from workbench.session.writer import SessionWriter

PUBLISH_EVERY = 0.25
"""seconds between two writings of a running step"""


@dataclass
class SessionSink:
    """Writes a step at most four times a second; nothing where there is no session. Ctrl+C is the cancel."""

    writer: SessionWriter | None
    step: int | None
    seed: int
    info: ModelInfo
    versions: Mapping[str, str]
    directions: Mapping[str, Direction]
    """that the step was submitted with"""
    open_parts: dict[int, Report] = field(default_factory=dict)
    """parts that have begun and are not done, by their steps"""
    published: float = field(default_factory=time.monotonic)

    def changed(self, report: Report) -> None:
        now = time.monotonic()
        if self.writer and self.step is not None and now - self.published >= PUBLISH_EVERY:
            self.published = now
            self.writer.apply(self.step, _update(report))

    def streamed(self, report: Report) -> None:
        self.changed(report)

    def between_batches(self, report: Report) -> None:
        return

    def part(
        self, experiment_name: str, params: dict[str, Any], edits: Sequence[Edit], names: Mapping[str, str]
    ) -> _PartSink:
        """A step under this one."""
        if self.writer is None or self.step is None:
            return _PartSink(None, None, self.seed, self.info, {}, {})
        submission = make_submission(
            experiment_name,
            params,
            edits,
            info=self.info,
            model=self.info.ref,
            seed=self.seed,
            directions=self.directions,
            names=names,
        )
        step = self.writer.submit(submission, parent=self.step, origin="part")
        self.writer.start(step, self.info, self.versions)
        return _PartSink(self.writer, step, self.seed, self.info, self.versions, {}, parent=self)

    def end(self, report: Report, error: BaseException | None = None) -> None:
        """Writes the end of the step; where it failed or was cancelled, of its open parts too."""
        if error is not None:
            for step, part_report in self.open_parts.items():
                self._end(step, part_report, error)
        self._end(self.step, report, error)

    def _end(self, step: int | None, report: Report, error: BaseException | None) -> None:
        if self.writer is None or step is None:
            return
        if error is None:
            self.writer.apply(step, _update(report), "done")
        elif isinstance(error, Cancelled | KeyboardInterrupt):
            self.writer.apply(step, _update(report), "cancelled")
        else:
            self.writer.apply(step, _update(report), "failed", failure(error))


@dataclass
class _PartSink(SessionSink):
    """Of a part of a step."""

    parent: SessionSink | None = None

    def changed(self, report: Report) -> None:
        if self.parent and self.step is not None:
            self.parent.open_parts[self.step] = report
        super().changed(report)

    def done(self, report: Report, error: str = "") -> None:
        if self.writer and self.step is not None:
            self.writer.apply(self.step, _update(report), "failed" if error else "done", error)
            if self.parent:
                self.parent.open_parts.pop(self.step, None)


def _update(report: Report) -> Update:
    """What is new in a report since the last one."""
    views = encode_views(report.views, set(report.dirty))
    report.dirty.clear()
    return Update(
        headline=report.headline,
        scalars=report.scalars,
        progress=report.progress,
        remarks=report.notes,
        next_steps=report.next_steps,
        views=views,
        artifacts=report.artifacts,
    )
