"""Artifacts that are single files of the user's data folder, named by their stem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.artifacts._artifact import Artifact
from workbench.errors import UserError


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """By name. What is hidden, as a file that is being written, is none of them."""
    if not folder.is_dir():
        return []
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    return sorted(file for file in files if file.name.endswith(tuple(suffixes)))


def name_of(file: Path, suffixes: Sequence[str]) -> str:
    """What a file's name is without its suffix, `months` of `months.json.gz`."""
    return next(file.name.removesuffix(suffix) for suffix in suffixes if file.name.endswith(suffix))


def file_named(folder: Path, suffixes: Sequence[str], name: str) -> Path | None:
    """The file of this name, the first of the suffixes before the others; None where there is none."""
    return next(
        (file for suffix in suffixes for file in files_in(folder, [suffix]) if file.name == name + suffix), None
    )


def list_files(kind: str, folder: Path, suffixes: Sequence[str], hash_of: Callable[[Path], str]) -> list[Artifact]:
    """Newest first; a file for which `hash_of` raises UserError has that sentence as its problem."""
    artifacts = []
    for file in files_in(folder, suffixes):
        stat = file.stat()
        digest = problem = ""
        try:
            digest = hash_of(file)
        except UserError as error:
            problem = str(error)
        artifacts.append(
            Artifact(
                kind=kind,
                name=name_of(file, suffixes),
                hash=digest,
                path=str(file),
                bytes=stat.st_size,
                created=stat.st_mtime,
                problem=problem,
            )
        )
    return sorted(artifacts, key=lambda artifact: -artifact.created)


def remove_file(artifact: Artifact) -> None:
    """Deletes it; one that is gone already is no error. Raises UserError where it can't be deleted."""
    try:
        Path(artifact.path).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{artifact.path} cannot be removed: {error.strerror}") from None
