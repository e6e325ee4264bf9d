"""One hash for what a model is: its config, its tokenizer, its weights. No torch here.

The same content has the same fingerprint wherever it lies: in the hub's cache or in a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from workbench import paths
from workbench.errors import UserError
from workbench.files import cache_bytes
from workbench.lab.finding.checkpoint import TOKENIZER_FILES, weight_files
from workbench.lab.finding.download import BLOCK
from workbench.lab.finding.source import ModelSource
from workbench.lab.progress import Meter, StageListener, silent

_SHA256 = re.compile(r"[0-9a-f]{64}")


def fingerprint(source: ModelSource, progress: StageListener = silent) -> str:
    """64 hex digits; reads every byte that is not known yet, and remembers (about 1 s a gigabyte).

    Raises UserError where a file can't be read, or changes while it is. May run on a thread; raising from
    `progress` stops it.
    """
    meter = Meter(progress, "hashing", "reading the model's files for their fingerprint", unread_bytes(source))
    done = 0

    def read(file: Path) -> str:
        nonlocal done
        before = done
        sha256 = _hash(file, lambda n: meter.at(before + n))
        done += file.stat().st_size
        return sha256

    return _combine(source, lambda file: _known_sha256(file) or read(file))


def fingerprint_cached(source: ModelSource) -> str | None:
    """The fingerprint if no large file has to be read for it, at once; else None."""

    def quick(file: Path) -> str:
        sha256 = _known_sha256(file)
        if sha256 is None and file.suffix == ".safetensors":
            raise LookupError
        return sha256 or _hash(file, lambda n: None)

    try:
        return _combine(source, quick)
    except LookupError:
        return None


def _combine(source: ModelSource, sha256: Callable[[Path], str]) -> str:
    try:
        listed = sorted((file.name, sha256(file)) for file in _files(source))
    except OSError as error:
        raise UserError(f"{error.filename or source.path} cannot be read: {error.strerror}") from None
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _files(source: ModelSource) -> list[Path]:
    small = [source.path / name for name in ("config.json", *TOKENIZER_FILES)]
    return [file for file in small if file.is_file()] + weight_files(source.path)


def unread_bytes(source: ModelSource) -> int:
    """How much `fingerprint` has to read."""
    unread = [file for file in _files(source) if file.exists() and _known_sha256(file) is None]
    return sum(file.stat().st_size for file in unread)


def _known_sha256(file: Path) -> str | None:
    """The file's SHA-256 from the hub's cache, where large files are named by it, or from an earlier reading."""
    real = file.resolve()
    if real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
        return real.name
    try:
        sha256 = _sha256_file(_identity(real.stat())).read_text()
    except OSError:
        return None
    return sha256 if _SHA256.fullmatch(sha256) else None


def _hash(file: Path, progress: Callable[[int], None]) -> str:
    """`progress` is told the bytes read."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        before = os.fstat(stream.fileno())
        done = 0
        # A file that grows meanwhile is read no further than it was at first.
        while done < before.st_size and (block := stream.read(BLOCK)):
            digest.update(block)
            done += len(block)
            progress(done)
        after = os.fstat(stream.fileno())
    if _identity(before) != _identity(after):
        raise UserError(f"{file} changed while it was read: start again when it is finished")
    cache_bytes(_sha256_file(_identity(before)), digest.hexdigest().encode())
    return digest.hexdigest()


def _identity(stat: os.stat_result) -> str:
    """Device, inode, size and times: content that changed without any of these is not found out."""
    return paths.short_hash(
        *map(str, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)),
    )


def _sha256_file(identity: str) -> Path:
    return paths.cache_dir() / "hashes" / identity
