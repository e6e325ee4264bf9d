"""The artifacts of many sessions, beside those of the user's folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from workbench.artifacts import Artifact, kinds, list_artifacts
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.records import ArtifactRow


def all_artifacts(sessions: Iterable[Path]) -> list[Artifact]:
    """Those in folders, with the step that made them where one of the sessions knows it, then those in sessions.

    Exported models are among the last: nobody but the session that made one knows its folder.
    """
    in_sessions: list[Artifact] = []
    origins: dict[tuple[str, str], Artifact] = {}
    for path in sessions:
        for artifact in session_artifacts(path):
            kind = kinds()[artifact.kind]
            if kind.in_session or kind.locate is not None:
                in_sessions.append(artifact)
            else:
                origins[artifact.kind, artifact.name] = artifact  # of several revisions the first: it comes last
    in_folders = []
    for artifact in list_artifacts():
        origin = origins.get((artifact.kind, artifact.name))
        if origin is not None and not artifact.session:
            artifact = msgspec.structs.replace(artifact, session=origin.session, step=origin.step)
        in_folders.append(artifact)
    return in_folders + in_sessions


def session_artifacts(path: Path) -> list[Artifact]:
    """What a session holds or remembers, newest first; nothing where it can't be read, nor of kinds unknown here."""
    try:
        with SessionReader(path) as reader:
            return [_of_session(reader, row, path) for row in reader.artifacts() if row.kind in kinds()]
    except UserError:
        return []


def _of_session(reader: SessionReader, row: ArtifactRow, path: Path) -> Artifact:
    kind = kinds()[row.kind]
    artifact = Artifact(
        kind=row.kind,
        name=row.name,
        hash=row.hash,
        model=row.model if kind.of_model else "",
        fingerprint=row.fingerprint if kind.of_model else "",
        session=str(path),
        step=row.step,
        path=str(path),
        bytes=row.bytes,
        created=row.created,
    )
    if kind.locate is None:
        return artifact
    try:
        place = kind.locate(reader.content(row.hash))
    except UserError as error:
        return msgspec.structs.replace(artifact, problem=str(error))
    return msgspec.structs.replace(artifact, hash=place.hash, path=place.path, bytes=place.bytes, problem=place.problem)
