"""What an experiment has to say: a sentence, views, numbers, notes, next steps; and how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

import msgspec

from workbench.artifacts import Content, Role, Use
from workbench.edits import Edit
from workbench.errors import Cancelled, UserError
from workbench.model_info import ModelInfo
from workbench.params import Params, params_builtins
from workbench.views import AnyView, Table

T = TypeVar("T")


def _compared(params: Mapping[str, Any], regardless: Collection[str]) -> Any:
    """As JSON holds them: parameters that came from another process have lists where tuples were."""
    return msgspec.json.decode(
        msgspec.json.encode({name: value for name, value in params.items() if name not in regardless})
    )


class NextStep(msgspec.Struct, kw_only=True):
    """A further experiment that a result suggests, filled in."""

    label: str
    experiment: str
    params: dict[str, Any] = {}
    edits: list[str] | None = None
    """edit texts; None keeps the ones that are on"""


class Part(msgspec.Struct, frozen=True):
    """Of a run that may take long: a part of it, or all of it, that it takes from its session where it ran before."""

    experiment: str
    params: Params
    regardless: tuple[str, ...] = ()
    """parameters that may be others: what is taken does not depend on them"""

    def is_like(self, experiment: str, params: Mapping[str, Any]) -> bool:
        own = params_builtins(self.params)
        return self.experiment == experiment and _compared(params, self.regardless) == _compared(own, self.regardless)


class Earlier(msgspec.Struct, kw_only=True, frozen=True):
    """What a stage of this run left in the session when it ran before, whole or in part."""

    step: int
    params: dict[str, Any]
    fingerprint: str
    """of the model that it ran on"""
    dtype: str
    is_done: bool
    headline: str
    scalars: dict[str, float | None]
    tables: dict[str, Table]
    """by key"""
    artifacts: dict[str, str] = {}
    """hash of each that it used, by the name that it had then"""


class Progress(msgspec.Struct, kw_only=True):
    """How far a step is. `total` is None where it is not known."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    started: float = 0.0
    """seconds since the epoch"""
    stage: str = ""

    def expected_end(self, now: float) -> float | None:
        """When it is done if it goes on as it did, in seconds since the epoch; None where that can't be told."""
        if not (self.done and self.total and self.started):
            return None
        return now + (now - self.started) * max(0.0, self.total - self.done) / self.done


class Sink(Protocol):
    """Where a report goes: the worker's pipe, or a notebook."""

    def changed(self, report: Report) -> None:
        """Something was added; the sink may publish now or later (at most four times a second)."""

    def between_batches(self, report: Report) -> None:
        """Raises Cancelled if the step was cancelled; waiting interactive work gets its turn."""

    def streamed(self, report: Report) -> None:
        """Like `changed`, in the middle of a batch (generation): publishes, never runs other work."""


class PartSink(Sink, Protocol):
    """Where a part of a step goes: a step of its own under it."""

    def done(self, report: Report, error: str = "") -> None:
        """The part has said all it has to say; `error` is why it failed, empty where it did not."""


class StepsSink(Sink, Protocol):
    """A sink that keeps parts as steps; others (peeks, notebooks) keep the whole only."""

    def part(
        self, experiment: str, params: dict[str, Any], edits: Sequence[Edit], names: Mapping[str, str]
    ) -> PartSink:
        """Begin a part; `names` are those of its sets, by parameter."""


class _DiscardedPart:
    """Where a part's report goes if parts are not kept: only cancel and turns are passed on to the parent."""

    def __init__(self, parent: Report) -> None:
        self._parent = parent

    def changed(self, report: Report) -> None:
        return

    def between_batches(self, report: Report) -> None:
        self._parent._sink.between_batches(self._parent)

    def streamed(self, report: Report) -> None:
        return

    def done(self, report: Report, error: str = "") -> None:
        return


class Report:
    """What an experiment has to say so far. All of it is kept if the step is cancelled or fails."""

    def __init__(self, sink: Sink, parent: Report | None = None, stage: str = "") -> None:
        self._sink = sink
        self._parent = parent
        """the report of which this is a part"""
        self._stage = stage
        """what the parent's progress says of this part, before what the part says itself"""
        self.headline = ""
        self.scalars: dict[str, float | None] = {}
        self.views: dict[str, AnyView] = {}
        """by key, in the order they were first added; the first is the main view"""
        self.dirty: set[str] = set()
        """keys of views changed since the sink last published"""
        self.notes: list[str] = []
        self.next_steps: list[NextStep] = []
        self.artifacts: list[Use] = []
        """that the run used or made, beside those it came with"""
        self.progress = Progress()
        self.earlier: Sequence[Earlier] = ()
        """parts of the whole that ran before in its session; of a part, those of its parent"""
        if parent is not None:
            self.earlier = parent.earlier

    def earlier_stage(self, params: Params, info: ModelInfo) -> Earlier | None:
        """What the stage with these parameters left behind on this model, at last; None where it did not run."""
        return next(iter(self.earlier_runs(params, info)), None)

    def earlier_runs(self, params: Params, info: ModelInfo, regardless: Collection[str] = ()) -> list[Earlier]:
        """All that it left behind, newest first, up to a run that was done; parameters `regardless` may be others."""
        key = (_compared(params_builtins(params), regardless), info.fingerprint, info.dtype)
        return [
            stage
            for stage in self.earlier
            if (_compared(stage.params, regardless), stage.fingerprint, stage.dtype) == key
        ]

    def say(self, headline: str) -> None:
        """The sentence the step leads with."""
        self.headline = headline
        self._sink.changed(self)

    def scalar(self, name: str, value: float | None) -> None:
        """A named number for `--json` and comparisons; nan is kept as None."""
        self.scalars[name] = None if value is None or math.isnan(value) else float(value)

    def add(self, key: str, view: AnyView) -> None:
        """Add a view, or replace the one with this key."""
        self.views[key] = view
        self.dirty.add(key)
        self._sink.changed(self)

    def stream(self, key: str, view: AnyView) -> None:
        """Replace a view from inside a batch, for example at each generated token."""
        self.views[key] = view
        self.dirty.add(key)
        self._sink.streamed(self)

    def note(self, sentence: str) -> None:
        """Something the reader must know: a halved batch, a truncated prompt. Said once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self._sink.changed(self)

    def expect(self, sentence: str) -> None:
        """What the run will take, before it begins."""
        self.progress = Progress(stage=sentence)
        self._progressed()

    def suggest(self, step: NextStep) -> None:
        """Up to three next steps, filled in."""
        self.next_steps = [*self.next_steps, step][:3]

    def uses(self, content: Content, name: str, role: Role = "used") -> None:
        """An artifact that the run has read, or made."""
        self.artifacts.append(Use(content=content, name=name, role=role))
        self._sink.changed(self)

    @contextmanager
    def part(
        self,
        experiment: str,
        params: Params,
        edits: Sequence[Edit] = (),
        stage: str = "",
        names: Mapping[str, str] | None = None,
    ) -> Iterator[Report]:
        """A report for one part of this step, logged as a step under it: same model, its own parameters and edits.

        with report.part("sweep", params) as part:
            sweep.run(lab, params, part)

        `stage` says in this step's progress which part it is, `names` what prompt sets among its parameters are called
        where the step's own have no such name. A part that raises has failed, also where the step goes
        on without it.
        """
        sink: PartSink = _DiscardedPart(self)
        if hasattr(self._sink, "part"):
            sink = cast(StepsSink, self._sink).part(experiment, params_builtins(params), edits, names or {})
        part = Report(sink, self, stage)
        try:
            yield part
        except Cancelled:
            raise
        except Exception as error:
            sink.done(part, failure(error))
            raise
        sink.done(part)

    def track(self, batches: Iterable[T], unit: str, total: float | None = None, stage: str = "") -> Iterator[T]:
        """Loop over `batches`: the one place where progress is reported and cancel is noticed."""
        if total is None and isinstance(batches, Sized):
            total = len(batches)
        self.progress = Progress(total=total, unit=unit, started=time.time(), stage=stage)
        self._progressed()
        for batch in batches:
            self._sink.between_batches(self)
            yield batch
            self.progress.done += 1
            self._progressed()
        self._sink.between_batches(self)

    def _progressed(self) -> None:
        self._sink.changed(self)
        if self._parent is not None:
            stage = ": ".join(filter(None, (self._stage, self.progress.stage)))
            self._parent.progress = msgspec.structs.replace(self.progress, stage=stage)
            self._parent._progressed()


def failure(error: BaseException) -> str:
    """Why a step failed, as it is kept."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
