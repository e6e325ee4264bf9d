"""`workbench sessions`, `show`, `replay` and `note`: what was done, read from files. No model, no torch."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import PATH, json_option
from workbench.cli.saying import say
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.cli.output import Printer
    from workbench.session.reader import SessionReader
    from workbench.session.records import NoteRow, StepRow, ViewRow
    from workbench.views import AnyView
    from workbench.worker.protocol import Cancel, KeepDirection, Note, Pin, RemoveArtifact, RenameArtifact

width_option = click.option("--width", type=click.IntRange(20, 1000), metavar="CELLS", help="Draw this wide.")


@click.command("sessions", help="List the sessions: those of ./sessions and those of your data folder.")
@json_option
def sessions_command(as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.session.places import list_sessions

    summaries = list_sessions()
    if as_json:
        print_json(summaries)
        return
    from workbench.cli.page import short_path
    from workbench.drawing import draw
    from workbench.paths import session_dirs
    from workbench.views import Column, Table

    printer = _printer()
    rows = [
        [
            summary.title,
            summary.steps,
            when(summary.changed),
            summary.problem or summary.last,
            short_path(Path(summary.path)),
        ]
        for summary in summaries
    ]
    columns = [
        Column(name="session"),
        Column(name="steps", kind="int"),
        Column(name="changed"),
        Column(name="last"),
        Column(name="file"),
    ]
    places = ", ".join(short_path(folder) for folder in session_dirs())
    view = Table(title="sessions", columns=columns, rows=rows, note=f"looked in {places}")
    printer.lines(draw(view, printer.width, style=printer.style))


@click.command("show", help="Print a session's steps, or one STEP with its views as they were found.")
@click.argument("file", type=PATH)
@click.argument("step", type=click.IntRange(1), required=False)
@json_option
@width_option
@click.option("--jsonl", metavar="KEY", help="Print the table KEY of STEP as JSONL, for example completions of arms.")
@click.option("--csv", "as_csv", metavar="KEY", help="Print the view KEY of STEP as CSV, for example sets of battery.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write each view of STEP as a figure (SVG) into FOLDER.",
)
@click.option(
    "--columns",
    type=click.IntRange(1, 2),
    default=2,
    metavar="1|2",
    show_default=True,
    help="A figure's width: one column of a paper (3.25 in) or two (6.75 in).",
)
@click.option("--overwrite", is_flag=True, help="Write over figures that are there.")
def show_command(
    file: Path,
    step: int | None,
    as_json: bool,
    width: int | None,
    jsonl: str | None,
    as_csv: str | None,
    svg: Path | None,
    columns: int,
    overwrite: bool,
) -> None:
    from workbench.cli.output import print_json
    from workbench.cli.page import load_views, print_step, step_json

    if jsonl is not None:
        _print_lines(file, step, jsonl)
        return
    if as_csv is not None:
        _print_csv(file, step, as_csv)
        return
    if svg is not None:
        _write_figures(file, step, svg, columns, overwrite, as_json)
        return
    with open_session(file) as reader:
        if step is None:
            rows = reader.rows(0)
            if as_json:
                print_json(
                    {
                        "session": str(reader.path),
                        "title": reader.title,
                        "steps": rows,
                        "notes": reader.notes(),
                        "stacks": reader.stacks(),
                    }
                )
            else:
                _print_rows(_printer(width), reader, rows)
            return
        record = reader.step(step)
        views, problems = load_views(reader, step)
        if as_json:
            print_json(step_json(reader.path, record, views, reader.artifacts_of(step)))
            return
        printer = _printer(width)
        printer.text(_step_summary(reader, step), "dim")
        print_step(printer, reader.path, record, views, problems, reader.artifacts_of(step))
        _print_notes(printer, reader.notes(step))


def _print_lines(file: Path, step: int | None, key: str) -> None:
    """A table's rows as JSON objects, one a line. Raises UserError where the step has no such table."""
    from workbench.cli.output import print_json_lines
    from workbench.views import Table

    if step is None:
        raise UserError("--jsonl prints a table of one step: give its number after the file")
    view, rows = _view(file, step, key)
    if not isinstance(view, Table):
        tables = ", ".join(row.key for row in rows if row.kind == "table") or "none"
        raise UserError(f"step {step} has no table {key!r}: there are {tables}")
    keys = [column.key or column.name for column in view.columns]  # sessions of before there were keys
    print_json_lines(dict(zip(keys, cells, strict=False)) for cells in view.rows)


def _print_csv(file: Path, step: int | None, key: str) -> None:
    """Raises UserError where the step has no such view."""
    from workbench.drawing.export import export_csv

    if step is None:
        raise UserError("--csv prints a view of one step: give its number after the file")
    view, rows = _view(file, step, key)
    if view is None:
        raise UserError(f"step {step} has no view {key!r}: there are {', '.join(row.key for row in rows) or 'none'}")
    click.echo(export_csv(view), nl=False)


def _view(file: Path, step: int, key: str) -> tuple[AnyView | None, list[ViewRow]]:
    """A step's view by its key, None where it has none of it; and what it has."""
    with open_session(file) as reader:
        reader.step(step)
        rows = reader.views(step)
        row = next((row for row in rows if row.key == key), None)
        return (reader.load_view(row) if row else None), rows


def _write_figures(file: Path, step: int | None, folder: Path, columns: int, overwrite: bool, as_json: bool) -> None:
    """A file a view, named after the step and the view's key. Raises UserError before the first where one is there."""
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.drawing.svg import export_svg
    from workbench.files import save_text

    if step is None:
        raise UserError("--svg writes the views of one step: give its number after the file")
    with open_session(file) as reader:
        reader.step(step)
        rows = reader.views(step)
        names = _figure_names(step, [row.key for row in rows])
        taken = [name for name in names if (folder / name).exists()]
        if taken and not overwrite:
            raise UserError(
                f"{folder / taken[0]} is there already: --overwrite writes over it, or choose another folder"
            )
        written = []
        for row, name in zip(rows, names, strict=True):
            try:
                view = reader.load_view(row)
            except UserError as error:
                say(f"not written: {error}", err=True)
                continue
            figure = export_svg(view, 1 if columns == 1 else 2)
            written.append(save_text(folder / name, figure, overwrite, "--overwrite writes over it"))
    if as_json:
        print_json({"figures": [str(path) for path in written]})
        return
    for path in written:
        say(short_path(path))
    if not written:
        say(f"step {step} has no views")


def _figure_names(step: int, keys: Sequence[str]) -> list[str]:
    """`step-3-next-token.svg` for each view's key, no two alike whatever a file's keys are."""
    names: list[str] = []
    for at, key in enumerate(keys):
        name = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:60] or "view"
        name = f"step-{step}-{name}.svg"
        names.append(name if name not in names else f"{name.removesuffix('.svg')}-{at}.svg")
    return names


@click.command("replay", help="Step through a session as it happened. Needs no model.")
@click.argument("file", type=PATH)
@click.option("--text", is_flag=True, help="Print the timeline instead of opening it.")
@width_option
def replay_command(file: Path, text: bool, width: int | None) -> int | None:
    from workbench.cli.page import load_views, print_step

    if not text and sys.stdin.isatty() and sys.stdout.isatty():
        from workbench.tui.entry import run_replay

        open_session(file).close()
        return run_replay(file.absolute())
    printer = _printer(width)
    with open_session(file) as reader:
        rows = reader.rows(0)
        _print_rows(printer, reader, rows)
        for row in rows:
            record = reader.step(row.id)
            views, problems = load_views(reader, row.id)
            printer.blank()
            printer.lines([_rule(printer, row)])
            printer.text(_step_summary(reader, row.id), "dim")
            print_step(printer, reader.path, record, views, problems, reader.artifacts_of(row.id))
            _print_notes(printer, reader.notes(row.id))
    return None


@click.command("note", help="Write a note into a session, about one step or about all of it.")
@click.argument("file", type=PATH)
@click.argument("text")
@click.option("--step", type=click.IntRange(1), metavar="N", help="The step it is about.")
def note_command(file: Path, text: str, step: int | None) -> None:
    from workbench.cli.flags import check_text
    from workbench.cli.page import short_path
    from workbench.session.writer import SessionWriter
    from workbench.worker.protocol import Note

    check_text("TEXT", text)
    open_session(file).close()  # a note makes no session
    try:
        with SessionWriter(file) as writer:
            writer.note(text, step)
    except UserError:
        # a worker that has the session open is the one who writes
        if not send_to_worker(Note(session=str(file.absolute()), text=text, step=step)):
            raise
    about = f" about step {step}" if step else ""
    say(f"the note{about} is in {short_path(file.absolute())}")


def send_to_worker(message: Cancel | Note | Pin | RemoveArtifact | KeepDirection | RenameArtifact) -> bool:
    """Sends it to the running workers until one has done it. Returns whether one has."""
    from workbench.worker.protocol import Done
    from workbench.worker.start import ask, scan

    for place, _, _ in scan():
        match ask(place, message):
            case [Done()]:
                return True
    return False


def _printer(width: int | None = None) -> Printer:
    from workbench.cli.output import Printer
    from workbench.settings import load

    return Printer(width, load().theme)


def open_session(file: Path) -> SessionReader:
    """To read from. Raises UserError where there is none."""
    from workbench.session.reader import SessionReader

    if not file.exists():
        raise UserError(f"there is no session {file}: workbench sessions lists the ones there are")
    return SessionReader(file)


def _print_rows(printer: Printer, reader: SessionReader, rows: list[StepRow]) -> None:
    """The timeline: a step that came from another stands under it, indented."""
    from workbench.cli.page import short_path
    from workbench.drawing import draw
    from workbench.edits import STACK
    from workbench.text import seconds
    from workbench.views import Column, Table

    depths = _depths(rows)
    mark = printer.style.glyphs("└ ", "+ ")
    table = []
    for row in rows:
        indent = "  " * (depths[row.id] - 1) + mark if depths[row.id] else ""
        outcome = f"{row.status}: {row.error}" if row.error else row.headline or row.status
        expected = f" (expected: {row.expected})" if row.expected else ""
        took = seconds(row.seconds) if row.seconds is not None else None
        table.append([row.id, indent + row.experiment, row.label, row.edits, outcome + expected, took])
    columns = [
        Column(name="step", kind="int"),
        Column(name="experiment"),
        Column(name="on"),
        *([Column(name="edits")] if any(row.edits for row in rows) else []),
        Column(name="found"),
        Column(name="took"),
    ]
    if not any(row.edits for row in rows):
        table = [[*line[:3], *line[4:]] for line in table]
    view = Table(title=f"{reader.title} · {short_path(reader.path)}", columns=columns, rows=table, note=reader.notice)
    printer.lines(draw(view, printer.width, height=len(rows) + 4, style=printer.style))
    for name, entries in reader.stacks().items():
        edits = "; ".join(str(entry.edit) if entry.on else f"({entry.edit}, off)" for entry in entries)
        printer.text(f"{STACK}{name}  {edits}")
    _print_notes(printer, [note for note in reader.notes() if note.step is None])


def _depths(rows: list[StepRow]) -> dict[int, int]:
    """How many steps each one descends from, at most six."""
    depths: dict[int, int] = {}
    for row in rows:
        depths[row.id] = min(6, depths[row.parent] + 1) if row.parent in depths and row.parent is not None else 0
    return depths


def _step_summary(reader: SessionReader, step: int) -> str:
    """What a step did, to what, when."""
    row = reader.row(step)
    if row is None:
        return ""
    parts = [row.experiment, row.label, row.edits and f"edits {row.edits}", when(row.created)]
    return " · ".join(part for part in parts if part)


def _rule(printer: Printer, row: StepRow) -> Any:
    from workbench.drawing.layout import plain

    dash = printer.style.glyphs("─", "-")
    text = f"{dash * 2} {row.id} "
    return plain(text + dash * max(0, printer.width - len(text)), "dim")


def _print_notes(printer: Printer, notes: list[NoteRow]) -> None:
    for note in notes:
        printer.text(f"{printer.style.glyphs('★', '*')} {note.text}")


def when(moment: float) -> str:
    """A time in short: `14:02`, `yesterday 14:02`, `2026-11-20`."""
    then, now = time.localtime(moment), time.localtime()
    day = time.strftime("%Y-%m-%d", then)
    if day == time.strftime("%Y-%m-%d", now):
        return time.strftime("%H:%M", then)
    if day == time.strftime("%Y-%m-%d", time.localtime(time.time() - 86400)):
        return time.strftime("yesterday %H:%M", then)
    return day
