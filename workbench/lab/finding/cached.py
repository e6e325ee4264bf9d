"""What the hub's cache holds of a model, and what it lacks: shared by listing and opening models.

A model's folder there is models--ORG--NAME: `refs/main` says which commit is the current one, `snapshots/COMMIT` links
its files, `blobs` holds them. Downloads that broke off, caches copied in part and files cleaned away leave pieces.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

import msgspec

from workbench.errors import UserError
from workbench.lab.finding.checkpoint import INDEX, TOKENIZER_FILES, read_checkpoint

SMALL_FILES = ["config.json", "generation_config.json", INDEX, *TOKENIZER_FILES]
WEIGHTS = ["model*.safetensors"]
_PREFIX = "models--"


class CachedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the hub's cache."""

    ref: str
    """hub id"""
    folder: Path
    """its current snapshot; where that is not known or not there, the model's folder in the cache"""
    problem: str
    """what it lacks, as a sentence; empty where it is whole"""


def find_cached(ref: str) -> CachedModel | None:
    """What the cache holds of a hub model; None where it holds nothing. The network is not asked."""
    home = _cache() / f"{_PREFIX}{ref.replace('/', '--')}"
    snapshots = _snapshots(home)
    if not snapshots:
        return None
    try:
        commit = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        return _without_main(ref, home, snapshots)
    folder = home / "snapshots" / commit
    if folder not in snapshots:
        problem = f"its snapshot {commit[:12]}, which refs/main names, is not in the hub's cache"
        return CachedModel(ref=ref, folder=home, problem=f"{problem}{_unfinished(home)}")
    return CachedModel(ref=ref, folder=folder, problem=_lacks(home, folder))


def list_cached() -> list[CachedModel]:
    """Every model of the hub's cache, by name, whole or not."""
    cache = _cache()
    homes = sorted(cache.glob(f"{_PREFIX}*")) if cache.is_dir() else []
    models = (find_cached(home.name.removeprefix(_PREFIX).replace("--", "/", 1)) for home in homes)
    return sorted((model for model in models if model is not None), key=lambda model: model.ref)


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def _snapshots(home: Path) -> list[Path]:
    try:
        return sorted(path for path in (home / "snapshots").iterdir() if path.is_dir() and any(path.iterdir()))
    except OSError:
        return []


def _without_main(ref: str, home: Path, snapshots: list[Path]) -> CachedModel:
    """Without refs/main the current snapshot is unknown: the last whole one is offered by its folder."""
    whole = [folder for folder in snapshots if not _lacks(home, folder)]
    offer = f": open that snapshot by its folder, {whole[-1]}" if whole else _unfinished(home)
    problem = "refs/main is missing in the hub's cache, so which snapshot is the current one is not known"
    return CachedModel(ref=ref, folder=whole[-1] if whole else home, problem=problem + offer)


def _lacks(home: Path, folder: Path) -> str:
    """What keeps a snapshot from being whole; empty where nothing does."""
    patterns = [*SMALL_FILES, *WEIGHTS]
    dangling = sorted(
        file.name
        for file in folder.iterdir()
        if not file.exists() and any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns)
    )
    if dangling:
        more = f" and {len(dangling) - 1} more" if len(dangling) > 1 else ""
        return f"{dangling[0]}{more} in {folder} points at a file that is not in the hub's cache{_unfinished(home)}"
    try:
        read_checkpoint(folder)
    except UserError as error:
        return f"{error}{_unfinished(home)}"
    return ""


def _unfinished(home: Path) -> str:
    parts = len(list((home / "blobs").glob("*.incomplete")))
    if not parts:
        return ""
    return f" ({parts} file{'s' * (parts > 1)} of a download that has not finished: open the model again to go on)"
