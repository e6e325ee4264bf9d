"""What a result's pane shows, read from the session file in one go. No widget here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from workbench.errors import UserError
from workbench.session.records import FINISHED, NoteRow, StepRecord
from workbench.session.shell_lines import step_words
from workbench.views import AnyView, Scalar, Scalars

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader

SCALARS = "scalars:all"
"""the key of the view made from a step's scalars"""


class ShownView(msgspec.Struct, frozen=True, kw_only=True):
    """A view as loaded; `problem` says why it could not be."""

    key: str
    title: str
    revision: int
    view: AnyView | None
    problem: str = ""
    lines: int | None = None
    """as many lines at most; None for all it wants"""
    experiment: str = ""
    """that made it, where that is not the step's: a preview's"""
    params: dict[str, Any] = {}
    """that it was made with"""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    record: StepRecord
    views: tuple[ShownView, ...]
    notes: tuple[NoteRow, ...]
    words: tuple[str, ...] = ()
    """of the command that the step stands for"""

    @property
    def finished(self) -> bool:
        return self.record.status in FINISHED


def read_step(reader: SessionReader, step: int, previous: Mapping[str, ShownView]) -> Snapshot:
    """The step as it is now; views that have not changed are taken from `previous`. Raises UserError."""
    record = reader.step(step)
    views = []
    for row in reader.views(step):
        previous_view = previous.get(row.key)
        if previous_view is not None and previous_view.revision == row.revision:
            views.append(previous_view)
            continue
        view, problem = None, ""
        try:
            view = reader.load_view(row)
        except UserError as error:
            problem = str(error)
        title = row.title or row.key
        views.append(ShownView(key=row.key, title=title, revision=row.revision, view=view, problem=problem))
    if record.scalars and not any(isinstance(shown.view, Scalars) for shown in views):
        views.append(_scalars(record))
    return Snapshot(
        record=record,
        views=tuple(views),
        notes=tuple(reader.notes(step)),
        words=tuple(step_words(reader, record)),
    )


def _scalars(record: StepRecord) -> ShownView:
    items = [Scalar(name=name, value=value) for name, value in record.scalars.items()]
    title = f"{len(items)} number{'' if len(items) == 1 else 's'} for comparisons"
    return ShownView(key=SCALARS, title=title, revision=record.revision, view=Scalars(title=title, items=items))
