"""What the session's steps say of a direction: how it separates, what it promotes, what adding it does. No widget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from workbench.edits import Add, Edit
from workbench.errors import UserError
from workbench.result_keys import Along, Continued, Separation, Steering
from workbench.session.records import FINISHED, StepRecord
from workbench.views import AnyView, Histogram, Lines, Scatter, Table, from_builtins
from workbench.views import Text as TextView

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import ArtifactStep
    from workbench.tui.screens.directions.catalogue import Entry

_TRIED = 60
"""continuations that are read at most, the newest"""


class Question(NamedTuple):
    """What the dial asks, but for the strength."""

    text: str
    site: str
    """`L14.resid_pre`"""
    chat: bool


class Projected(NamedTuple):
    """What the direction is held against, from a step or a preview."""

    views: Mapping[str, AnyView]
    scalars: Mapping[str, float | None]
    step: int | None = None

    def table(self, key: str) -> Table | None:
        view = self.views.get(key)
        return view if isinstance(view, Table) else None


class Attempt(NamedTuple):
    """A text continued with the direction added."""

    step: int
    strength: float
    status: str
    clean: str
    """the continuation without the prompt; empty where it has not begun"""
    edited: str
    perplexity: float
    """of the clean continuation under the unedited model; nan while it is not known"""
    perplexity_edited: float
    problem: str

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def useful(self) -> bool:
        """It says, or will say, how the text goes on."""
        return self.status in ("done", "running", "queued")


class Findings(NamedTuple):
    """So far."""

    headline: str = ""
    """of the step that made it"""
    separation: Lines | Histogram | None = None
    projected: Projected | None = None
    steer: int | None = None
    """the latest step that steers with it"""
    front: Scatter | None = None
    chosen: tuple[int, float] | None = None
    """layer and strength that it chose"""
    attempts: tuple[Attempt, ...] = ()
    """by strength"""


class Finder:
    """Reads them; views and finished steps that were read once are remembered."""

    def __init__(self) -> None:
        self._views: dict[tuple[int, str], tuple[int, AnyView | None]] = {}
        self._records: dict[int, StepRecord] = {}

    def forget(self) -> None:
        """Another session: its steps have the same numbers."""
        self._views.clear()
        self._records.clear()

    def read(self, reader: SessionReader, entry: Entry, question: Question) -> Findings:
        """Raises UserError."""
        uses = reader.steps_with(entry.hash) if entry.hash else []
        made = next((use.step for use in uses if use.role == "made"), None if entry.hash else entry.step)
        found = Findings()
        if made is not None:
            views = self._views_of(reader, made, (Separation.BY_LAYER, Separation.ALONG))
            drawn = views.get(Separation.BY_LAYER) or views.get(Separation.ALONG)
            headline = self._record(reader, made).headline
            found = found._replace(
                headline=headline, separation=drawn if isinstance(drawn, Lines | Histogram) else None
            )
        project = self._latest(reader, uses, "project")
        if project is not None:
            views = self._views_of(reader, project.id, (Along.PROMOTES, Along.NEURONS, Along.DIRECTIONS))
            if Along.PROMOTES in views:
                found = found._replace(projected=Projected(views, project.scalars, project.id))
        steer = self._latest(reader, uses, "steer")
        if steer is not None:
            front = self._views_of(reader, steer.id, (Steering.FRONT,)).get(Steering.FRONT)
            layer, strength = steer.scalars.get(Steering.LAYER), steer.scalars.get(Steering.STRENGTH)
            found = found._replace(
                steer=steer.id,
                front=front if isinstance(front, Scatter) else None,
                chosen=None if layer is None or strength is None else (int(layer), strength),
            )
        return found._replace(attempts=self._attempts(reader, uses, question))

    def _latest(self, reader: SessionReader, uses: list[ArtifactStep], experiment: str) -> StepRecord | None:
        """The newest step of this experiment that is about the direction and has not failed."""
        for use in uses:
            if use.experiment == experiment and use.role == "used":
                record = self._record(reader, use.step)
                if record.params.get("direction") == f"@{use.name}" and record.status in (
                    "done",
                    "running",
                    "cancelled",
                ):
                    return record
        return None

    def _attempts(self, reader: SessionReader, uses: list[ArtifactStep], question: Question) -> tuple[Attempt, ...]:
        """Of this question, the newest of each strength; one that failed only where no other is there."""
        attempts: dict[float, Attempt] = {}
        for use in [use for use in uses if use.experiment == "generate" and use.role == "used"][:_TRIED]:
            record = self._record(reader, use.step)
            edit = _only_edit(record)
            if edit is None or (edit.direction, edit.units, edit.at) != (use.name, question.site, ""):
                continue
            asked = (record.params.get("prompt"), bool(record.params.get("chat")), bool(record.params.get("prompts")))
            if asked != (question.text, question.chat, False):
                continue
            earlier = attempts.get(edit.strength)
            if earlier is None or not earlier.useful:
                attempts[edit.strength] = self._attempt(reader, record, edit.strength)
        return tuple(attempts[strength] for strength in sorted(attempts))

    def _attempt(self, reader: SessionReader, record: StepRecord, strength: float) -> Attempt:
        views = self._views_of(reader, record.id, (Continued.CLEAN, Continued.EDITED))
        prompt = str(record.params.get("prompt", ""))
        clean, edited = (
            view.text.removeprefix(prompt) if isinstance(view, TextView) else ""
            for view in (views.get(Continued.CLEAN), views.get(Continued.EDITED))
        )
        figures = [record.scalars.get(key) for key in (Continued.PERPLEXITY, Continued.PERPLEXITY_EDITED)]
        before, after = (math.nan if figure is None else figure for figure in figures)
        return Attempt(record.id, strength, record.status, clean, edited, before, after, record.error)

    def _record(self, reader: SessionReader, step: int) -> StepRecord:
        if step not in self._records:
            record = reader.step(step)
            if record.status not in FINISHED:
                return record
            self._records[step] = record
        return self._records[step]

    def _views_of(self, reader: SessionReader, step: int, keys: tuple[str, ...]) -> dict[str, Any]:
        """Those of these views that there are and that can be read."""
        views = {}
        for row in reader.views(step):
            if row.key not in keys:
                continue
            revision, view = self._views.get((step, row.key), (-1, None))
            if revision != row.revision:
                try:
                    view = reader.load_view(row)
                except UserError:
                    view = None
                self._views[step, row.key] = (row.revision, view)
            if view is not None:
                views[row.key] = view
        return views


def _only_edit(record: StepRecord) -> Add | None:
    """The edit of a step that adds a direction and does nothing else."""
    try:
        edits = from_builtins(record.edits, as_type=list[Edit])
    except (msgspec.ValidationError, ValueError):
        return None
    edit = edits[0] if len(edits) == 1 else None
    return edit if isinstance(edit, Add) and edit.direction else None
