"""Indexes of what every neuron does on a text: folders of the cache in a format of their own (`workbench.index`).

An index grows, so that a step names it by its folder and the revision that it saw.
"""

from __future__ import annotations

from pathlib import Path

from workbench.artifacts._artifact import Artifact, Content, Kind
from workbench.index.store import list_indexes, remove

NAME = "index"


def content_of(folder: Path, revision: int, fingerprint: str) -> Content:
    """What a step remembers of an index."""
    return Content(kind=NAME, spec={"folder": str(folder), "revision": revision}, fingerprint=fingerprint)


def _listed() -> list[Artifact]:
    return [
        Artifact(
            kind=NAME,
            name=info.name,
            hash="",
            model=info.model,
            fingerprint=info.fingerprint,
            path=info.path,
            bytes=info.bytes,
            created=info.created,
            problem=info.problem,
        )
        for info in sorted(list_indexes(), key=lambda info: -info.created)
    ]


def _remove(artifact: Artifact) -> None:
    remove(Path(artifact.path))


KIND = Kind(name=NAME, listed=_listed, remove=_remove)
