"""The folders of indexes: which there are, whether they are whole, and removing them."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from workbench import paths
from workbench.errors import UserError
from workbench.files import FolderLock, size_on_disk
from workbench.index.format import IndexFile, file_hash, map_shapes, open_array, read_index_file, weights_folder_name
from workbench.model_info import ModelInfo


class IndexInfo(msgspec.Struct, kw_only=True, frozen=True):
    """One line of `workbench index list`."""

    name: str
    path: str
    kind: str
    model: str
    fingerprint: str
    corpus: str
    sae: str = ""
    """whose features it holds; empty where it holds neurons"""
    sae_hash: str = ""
    tokens: int
    documents: int
    goal: int = msgspec.field(name="wanted")
    """tokens to count"""
    complete: bool
    explain: bool
    bytes: int
    """on disk"""
    created: float
    problem: str = ""
    """why it can't be opened, as a sentence"""


def indexes_dir() -> Path:
    return paths.cache_dir() / "indexes"


def weights_done(info: ModelInfo) -> bool:
    """Whether the weights part of a model, whose fingerprint is known, is there and whole."""
    try:
        return read_index_file(indexes_dir() / weights_folder_name(info)).progress.done
    except UserError:
        return False


def list_indexes(fingerprint: str | None = None) -> list[IndexInfo]:
    """All indexes, data before weights, newest first; with `fingerprint`, only that model's."""
    root = indexes_dir()
    indexes = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if not folder.is_dir() or not (folder / "index.json").is_file():
            continue
        info = describe(folder)
        if fingerprint is None or info.fingerprint == fingerprint:
            indexes.append(info)
    return sorted(indexes, key=lambda info: (info.kind == "weights", -info.created))


def describe(folder: Path) -> IndexInfo:
    """What index.json says; a folder that can't be read has a `problem`."""
    try:
        file = read_index_file(folder)
    except UserError as error:
        file = None
        problem = str(error)
    else:
        problem = ""
    return IndexInfo(
        name=folder.name,
        path=str(folder),
        kind=file.kind if file else "",
        model=file.model.name if file else "",
        fingerprint=file.model.fingerprint if file else "",
        corpus=file.corpus.name if file and file.corpus else "",
        sae=file.sae.name if file and file.sae else "",
        sae_hash=file.sae.hash if file and file.sae else "",
        tokens=sum(file.counts.tokens) if file else 0,
        documents=file.progress.documents if file else 0,
        goal=file.progress.goal if file else 0,
        complete=bool(file and file.progress.done),
        explain=bool(file and file.settings and file.settings.explain),
        bytes=size_on_disk(folder),
        created=file.created if file else 0.0,
        problem=problem,
    )


def find_folder(name: str) -> Path:
    """A folder by its name, its beginning, or its path. Raises UserError naming the ones there are."""
    path = Path(name)
    if (path / "index.json").is_file():
        return path
    names = [info.name for info in list_indexes()]
    matches = [full_name for full_name in names if full_name == name] or [
        full_name for full_name in names if full_name.startswith(name)
    ]
    if len(matches) == 1:
        return indexes_dir() / matches[0]
    if matches:
        raise UserError(f"{name!r} could be {' or '.join(matches)}: write more of it")
    choices = f"there are {', '.join(names)}" if names else "no index is built: `workbench index build` makes one"
    raise UserError(f"there is no index {name!r}: {choices}")


def best_index(model: ModelInfo | None = None) -> Path:
    """The folder to look at where none was named: the model's index of neurons with most tokens, else its weights.

    Raises UserError where there is none.
    """
    listed = list_indexes(model.fingerprint if model else None)
    readable = [info for info in listed if not info.problem and info.kind != "features"]
    if not readable:
        raise UserError(
            "there is no index yet: `workbench index build --corpus stdlib --tokens 20000` makes a small one"
        )
    return Path(max(readable, key=lambda info: (info.kind == "data", info.tokens, info.created)).path)


def verify(folder: Path) -> list[str]:
    """What is wrong with an index, as sentences; an empty list if nothing is."""
    try:
        file = read_index_file(folder)
    except UserError as error:
        return [str(error)]
    problems = _check_shapes(folder, file)
    if not file.hashes:
        problems.append("it is still growing, or its build was killed: there are no checksums to compare with yet")
    for name, expected_hash in file.hashes.items():
        path = folder / name
        try:
            if not path.is_file():
                problems.append(f"{name} is missing")
            elif file_hash(path) != expected_hash:
                problems.append(f"{name} is not what was written: its checksum differs")
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}")
    return problems


def _check_shapes(folder: Path, file: IndexFile) -> list[str]:
    checks = [(folder / file.state, name, shape) for name, shape in file.shapes.items()]
    if file.settings:
        checks += [(folder, name, list(shape)) for name, shape in map_shapes(file).items()]
    problems = []
    for place, name, shape in checks:
        try:
            open_array(place, name, shape)
        except FileNotFoundError:
            problems.append(f"{place.name}/{name}.npy is missing")
        except UserError as error:
            problems.append(str(error))
    return problems


def remove(folder: Path) -> None:
    """Delete an index. Raises UserError for a folder that is none, and where it is being built."""
    if not (folder / "index.json").is_file():
        raise UserError(f"{folder} is no index: there is no index.json in it, so nothing was removed")
    try:
        with FolderLock(folder):
            # Without its head it is no index any more, whatever happens to the rest.
            (folder / "index.json").unlink()
            shutil.rmtree(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be removed: {error.strerror}") from None
