"""`workbench artifacts`: directions, sets, probes, indexes, stores, exported models. No model, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workbench.cli.direction_files import export_command, import_command, rename_command
from workbench.cli.options import PATH, from_group, json_option
from workbench.cli.saying import say
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.artifacts import Artifact, Content, Facts
    from workbench.views import Table

F = TypeVar("F", bound=Callable[..., Any])


@click.group("artifacts", help="Directions, sets, probes, indexes, stores …: what steps made or read.")
def artifacts_command() -> None:
    pass


for command in (import_command, export_command, rename_command):
    artifacts_command.add_command(command)


def _session_option(command: F) -> F:
    return click.option("--session", type=PATH, metavar="FILE", help="The session it lies in.")(command)


def _kind_option(command: F) -> F:
    return click.option(
        "--kind", default="", metavar="KIND", help="direction, data set, probe, SAE, index, activation store …"
    )(command)


@artifacts_command.command("list", help="List them: those in your folders, and those in sessions.")
@_session_option
@_kind_option
@json_option
def list_command(session: Path | None, kind: str, as_json: bool) -> None:
    from workbench.artifacts import activations
    from workbench.cli.output import print_json
    from workbench.paths import data_dir
    from workbench.text import size
    from workbench.views import Column, Table

    _check_kind(kind)
    all_listed = _artifacts(from_group("session", session))
    listed = [artifact for artifact in all_listed if kind in ("", artifact.kind)]
    if as_json:
        print_json(listed)
        return
    rows: list[list[Any]] = [
        [
            artifact.name or f"(no name) {artifact.hash[:12]}",
            artifact.kind,
            size(artifact.bytes),
            artifact.model,
            _origin(artifact),
            _what(artifact),
        ]
        for artifact in listed
    ]
    columns = [Column(name=name) for name in ("name", "kind")]
    columns += [Column(name="size", gives_way="early"), Column(name="model"), Column(name="from"), Column(name="what")]
    note = "" if rows else f"none yet: --direction and --prompts bring some, or files in {data_dir()}"
    lost = _without_set(all_listed) if kind in ("", activations.NAME) else []
    if lost:
        note = f"the data sets of these are not here any more, or have changed: {', '.join(lost)}"
    _print(Table(title="artifacts", columns=columns, rows=rows, note=note))


@artifacts_command.command("show", help="Show one: what it holds, its hash, where it lies and what it came from.")
@click.argument("name")
@_session_option
@_kind_option
@json_option
def show_command(name: str, session: Path | None, kind: str, as_json: bool) -> None:
    from workbench.artifacts import find_artifact
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.text import size
    from workbench.views import Column, Table

    _check_kind(kind)
    artifact = find_artifact(_artifacts(from_group("session", session)), name, kind)
    facts = _facts(artifact)
    if as_json:
        print_json({"artifact": artifact, "facts": dict(facts)})
        return
    shown = [
        ("kind", artifact.kind),
        ("hash", artifact.hash),
        ("size", size(artifact.bytes)),
        ("model", artifact.model),
        ("model fingerprint", artifact.fingerprint),
        ("from", _origin(artifact)),
        ("in", short_path(Path(artifact.path))),
        *facts,
        ("problem", artifact.problem),
    ]
    columns = [Column(name="what"), Column(name="value")]
    _print(Table(title=artifact.name, columns=columns, rows=[list(fact) for fact in shown if fact[1]]))


@artifacts_command.command(
    "rm", help="Remove one from your folders; with --session its name in that session. What a step uses stays there."
)
@click.argument("name")
@_session_option
@_kind_option
def rm_command(name: str, session: Path | None, kind: str) -> None:
    from workbench.artifacts import find_artifact, kinds, list_artifacts
    from workbench.text import size

    _check_kind(kind)
    session = from_group("session", session)
    if session is not None:
        _remove_name(session, name, kind)
        return
    artifact = find_artifact(list_artifacts(), name, kind)
    kinds()[artifact.kind].remove(artifact)
    kept = " (sessions that used it keep theirs)" if kinds()[artifact.kind].in_session else ""
    say(f"removed the {artifact.kind} {artifact.name}, {size(artifact.bytes)}{kept}")


@artifacts_command.command(
    "prune",
    help="Delete what nothing names and no step uses, what killed builds left, and activations beyond store_gigabytes.",
)
@_session_option
def prune_command(session: Path | None) -> None:
    from workbench.artifacts import kinds
    from workbench.cli.page import short_path
    from workbench.session.reader import SessionReader
    from workbench.session.writer import SessionWriter
    from workbench.text import size

    freed = sum(kind.prune() for kind in kinds().values())
    for path in _sessions(from_group("session", session)):
        try:
            with SessionReader(path) as reader:
                unused = any(not row.name and not row.steps for row in reader.artifacts())
            if unused:
                with SessionWriter(path) as writer:
                    freed += writer.prune_artifacts()
        except UserError as error:
            say(f"{short_path(path)} was left as it is: {error}", err=True)
    say(f"freed {size(freed)}" if freed else "nothing to free: every artifact has a name or is used by a step")


def _remove_name(session: Path, name: str, kind: str) -> None:
    """Takes the name off an artifact of a session, through the worker where one writes it."""
    from workbench.artifacts import find_artifact
    from workbench.cli.page import short_path
    from workbench.cli.sessions import open_session, send_to_worker
    from workbench.session.catalogue import session_artifacts
    from workbench.session.writer import SessionWriter
    from workbench.text import size
    from workbench.worker.protocol import RemoveArtifact

    open_session(session).close()
    path = session.absolute()
    artifact = find_artifact(session_artifacts(path), name, kind)
    try:
        with SessionWriter(path) as writer:
            writer.remove_artifact(artifact.kind, artifact.name)
    except UserError:
        # a worker that has the session open is the one who writes
        if not send_to_worker(RemoveArtifact(session=str(path), kind=artifact.kind, name=artifact.name)):
            raise
    with open_session(path) as reader:
        steps = next((row.steps for row in reader.artifacts() if row.hash == artifact.hash), 0)
    what = f"{artifact.name} names no {artifact.kind} in {short_path(path)} any more"
    kept = f"its {size(artifact.bytes)} stay: {steps:,} step{'s use' if steps > 1 else ' uses'} it"
    say(f"{what}; {kept if steps else f'freed {size(artifact.bytes)}'}")


def _artifacts(session: Path | None) -> list[Artifact]:
    """With a session, what lies there; else everything."""
    from workbench.cli.sessions import open_session
    from workbench.session.catalogue import all_artifacts, session_artifacts

    if session is None:
        return all_artifacts(_sessions(None))
    open_session(session).close()
    return session_artifacts(session.absolute())


def _sessions(session: Path | None) -> list[Path]:
    from workbench.session.places import list_sessions

    if session is not None:
        return [session.absolute()]
    return [Path(summary.path) for summary in list_sessions() if not summary.problem]


def _facts(artifact: Artifact) -> Facts:
    from workbench.artifacts import kinds
    from workbench.session.reader import SessionReader

    content: Content | None = None
    if artifact.path == artifact.session:
        with SessionReader(artifact.session) as reader:
            content = reader.content(artifact.hash)
    return [] if artifact.problem else kinds()[artifact.kind].facts(artifact, content)


def _what(artifact: Artifact) -> str:
    """What a direction, a probe or a store is of, in short, an exported model's folder; else empty."""
    from workbench.artifacts import activations, direction, model, probe, sae
    from workbench.cli.page import short_path

    if artifact.kind == model.NAME:
        return artifact.problem or short_path(Path(artifact.path))
    short = {
        probe.NAME: ("what", "read at"),
        direction.NAME: ("what", "read at"),
        sae.NAME: ("what",),
        activations.NAME: ("data set", "what", "last used"),
    }
    if artifact.kind not in short:
        return ""
    try:
        facts = dict(_facts(artifact))
    except UserError as error:
        return str(error)
    return ", ".join(facts[name] for name in short[artifact.kind] if name in facts)


def _without_set(listed: Sequence[Artifact]) -> list[str]:
    """Names of the activation stores whose data set is none of those listed."""
    from workbench.artifacts import activations

    names = []
    for artifact in listed:
        if artifact.kind != activations.NAME or artifact.problem or artifact.path == artifact.session:
            continue
        try:
            if activations.lost_set(artifact, listed):
                names.append(artifact.name)
        except UserError:
            continue  # a damaged store; its line says so
    return names


def _origin(artifact: Artifact) -> str:
    from workbench.cli.page import short_path

    if artifact.session:
        step = f", step {artifact.step}" if artifact.step else ""
        return f"{short_path(Path(artifact.session))}{step}"
    return short_path(Path(artifact.path))


def _check_kind(kind: str) -> None:
    from workbench.artifacts import kinds

    if kind and kind not in kinds():
        raise UserError(f"there is no kind {kind!r} of artifact: there are {', '.join(kinds())}")


def _print(view: Table) -> None:
    from workbench.cli.output import Printer
    from workbench.drawing import draw
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    printer.lines(draw(view, printer.width, style=printer.style))
