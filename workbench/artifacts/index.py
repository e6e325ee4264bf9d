"""Indexes of what every neuron does on a text: folders of the cache in a format of their own (`workbench.index`).

An index grows, so that a step names it by its folder and the revision that it saw.
"""

from __future__ import annotations

from pathlib import Path

from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._folder import prune_folders
from workbench.index.store import describe, indexes_dir, list_indexes, remove
from workbench.text import count

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


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    if content is not None:
        return [(key, str(content.spec.get(key, ""))) for key in ("folder", "revision")]
    info = describe(Path(artifact.path))
    return [
        ("tokens", count(info.tokens) if info.kind != "weights" else "none: weights alone"),
        ("corpus", info.corpus),
        *([("features of", f"{info.sae} {info.sae_hash[:12]}")] if info.sae else []),
        ("more", f"workbench index info {info.name}"),
    ]


def _prune() -> int:
    """A build that was killed before its first checkpoint leaves a folder without a head."""
    return prune_folders(indexes_dir(), lambda folder: not (folder / "index.json").exists())


KIND = Kind(name=NAME, listed=_listed, remove=_remove, facts=_facts, prune=_prune)
