"""What every kind of artifact has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import numpy as np

Role = Literal["used", "made"]
SHORT_HASH = 12
"""digits of a hash that stand for it where an artifact has no name"""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact, as lists show it; what it holds is read with its kind's own functions."""

    kind: str
    name: str
    """empty where the name was removed and steps still use it"""
    hash: str
    """of its content, hex; empty where that is not known without reading all of it"""
    model: str = ""
    """the model's name; empty for what belongs to none"""
    fingerprint: str = ""
    """of that model's config, tokenizer and weights"""
    session: str = ""
    """path of the session that it came from, or lies in"""
    step: int | None = None
    """the step of that session that made it, or brought it there"""
    path: str = ""
    """the file or folder it lies in"""
    bytes: int = 0
    created: float = 0.0
    """seconds since the epoch"""
    problem: str = ""
    """why it can't be read, as a sentence"""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that lies in a session file: what is stored of it."""

    kind: str
    spec: dict[str, Any]
    """plain data; the array is not in it"""
    array: np.ndarray | None = None
    fingerprint: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 of kind, spec and array, hex: the same content has the same hash in every session."""
        digest = hashlib.sha256(msgspec.json.encode([self.kind, self.spec], order="sorted"))
        if self.array is not None:
            little_endian = np.ascontiguousarray(self.array, dtype=self.array.dtype.newbyteorder("<"))
            digest.update(f"{little_endian.dtype.name}{little_endian.shape}".encode())
            digest.update(little_endian.tobytes())
        return digest.hexdigest()


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """That a step uses or made an artifact, under the name it had then."""

    content: Content
    name: str
    role: Role = "used"
    takes_name: bool = True
    """from now on the name stands for this one in the session; not where a step runs again with what it used"""


Facts = list[tuple[str, str]]
"""what a user sees of an artifact: names and values"""


def _prune_nothing() -> int:
    return 0


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What one file of `workbench.artifacts` defines."""

    name: str
    listed: Callable[[], list[Artifact]]
    """those in the user's folders, newest first; none raises"""
    remove: Callable[[Artifact], None]
    """deletes one that was listed. Raises UserError, also where it is being written"""
    facts: Callable[[Artifact, Content | None], Facts]
    """what it holds; the content is given where it lies in a session. Raises UserError"""
    prune: Callable[[], int] = _prune_nothing
    """deletes what killed builds left in the user's folders; the bytes freed"""
    in_session: bool = False
    """small enough to lie in the session file; a session only remembers the others"""
    of_model: bool = True
    """belongs to one model"""
    locate: Callable[[Content], Artifact] | None = None
    """of a kind that is in no folder of ours: where one lies, its size, and a problem where it is gone"""
