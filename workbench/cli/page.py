"""A step on paper: its sentence, its views, what to know about it, where to go from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workbench.artifacts import SHORT_HASH
from workbench.cli.output import Printer
from workbench.drawing import Look, draw
from workbench.drawing.layout import plain
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import StepArtifact, StepRecord
from workbench.session.shell_lines import next_words, step_edits
from workbench.shell import NO_LINE, shell_line
from workbench.text import seconds
from workbench.views import AnyView, Table, to_builtins, view_kind

LONG_TABLE = 20
"""rows of a table that is printed as a step ends, where it has more"""
_AROUND_ROWS = 3
"""further lines of such a table: its title, the columns' names, how many rows are shown"""
_PRINTED = Look(shows_hidden="a larger --width")


def load_views(reader: SessionReader, step: int) -> tuple[list[AnyView], list[str]]:
    """A step's views in order, and a sentence for each that cannot be loaded."""
    views: list[AnyView] = []
    problems: list[str] = []
    for row in reader.views(step):
        try:
            views.append(reader.load_view(row))
        except UserError as error:
            problems.append(str(error))
    return views, problems


def step_json(
    path: Path, record: StepRecord, views: list[AnyView], artifacts: Sequence[StepArtifact] = ()
) -> dict[str, Any]:
    """A step as `--json` prints it."""
    return {
        "session": str(path),
        "step": record.id,
        "experiment": record.experiment,
        "params": record.params,
        "edits": edit_texts(record),
        "model": record.model.name if record.model else None,
        "seed": record.seed,
        "status": record.status,
        "headline": record.headline,
        "scalars": record.scalars,
        "artifacts": [msgspec.to_builtins(artifact) for artifact in artifacts],
        "views": [
            {"kind": view_kind(view), "title": view.title, "data": _without(view, ("kind", "title"))} for view in views
        ],
    }


def _without(view: AnyView, names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in to_builtins(view).items() if key not in names}


def edit_texts(record: StepRecord) -> list[str]:
    """The step's edits as they are typed."""
    return [str(edit) for edit in step_edits(record)]


def print_step(
    printer: Printer,
    path: Path,
    record: StepRecord,
    views: list[AnyView],
    problems: list[str],
    artifacts: Sequence[StepArtifact] = (),
    whole: bool = True,
) -> None:
    """The step, where it is not `whole` without the rows that make long tables long.

    `problems` are sentences about views that could not be loaded. What was found is said once more at the end where its
    first line has scrolled out of sight.
    """
    style = printer.style
    first_row = printer.rows
    if record.status in ("failed", "lost"):
        printer.text(f"{record.status}: {record.error or 'no reason is known'}", style.paint("bad", "bold"))
    elif record.status == "cancelled":
        printer.text("cancelled; this is what there was", style.paint("bad"))
    elif record.status in ("queued", "running"):
        printer.text(f"{record.status}; this is what there is so far", "dim")
    if record.headline:
        printer.text(record.headline, "bold")
    if record.expected:
        printer.text(f"expected: {record.expected}", "dim")
    shortened = False
    for at, view in enumerate(views):
        printer.blank()
        repeated = at and view.note == views[at - 1].note  # a note of all views is printed under the first
        shown = msgspec.structs.replace(view, note="") if repeated else view
        is_long = not whole and isinstance(view, Table) and len(view.rows) > LONG_TABLE
        printer.lines(draw(shown, printer.width, LONG_TABLE + _AROUND_ROWS if is_long else None, style, _PRINTED))
        shortened |= is_long
    if shortened:
        line = shell_line(["workbench", "show", str(path.absolute()), str(record.id)], style.ascii)
        printer.unbroken(f"every row: {line} (a run prints them with --all-rows)", "dim")
    if problems or record.remarks:
        printer.blank()
    for sentence in [*problems, *record.remarks]:
        printer.text(f"note: {sentence}")
    if record.next_steps:
        printer.blank()
        printer.lines([plain("next", "dim")])
        for following in record.next_steps:
            printer.lines([plain(style.shorten(style.clean_text(f"  {following.label}"), printer.width))])
            line = shell_line(next_words(following, record, str(path.absolute())), style.ascii)
            printer.unbroken(f"    {line or NO_LINE}", style.paint("clean"))
    printer.blank()
    for artifact in artifacts:
        name = artifact.name or "without a name"
        printer.text(f"{artifact.role}: {artifact.kind} {name} ({artifact.hash[:SHORT_HASH]})", "dim")
    if record.headline and printer.has_scrolled_away(first_row):
        printer.text(record.headline, "bold")
    printer.text(" · ".join(_origin(path, record)), "dim")


def _origin(path: Path, record: StepRecord) -> list[str]:
    """Where it is kept, how long it took, what it ran on."""
    parts = [f"step {record.id} of {short_path(path)}"]
    if record.started and record.finished:
        parts.append(seconds(record.finished - record.started))
    if record.model:
        parts += [record.model.name, f"{record.model.place} {record.model.dtype}"]
    if record.seed:
        parts.append(f"seed {record.seed}")
    return parts


def short_path(path: Path) -> str:
    """A path as one would type it here: relative below the working folder, `~` below home."""
    path = Path(path)
    for base, mark in ((Path.cwd(), ""), (Path.home(), "~/")):
        try:
            return mark + str(path.relative_to(base))
        except ValueError:
            continue
    return str(path)
