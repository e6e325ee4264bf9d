"""What a check of the doctor gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

State = Literal["ok", "look", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor: what was looked at, how it is, what was found and what to do."""

    name: str
    state: State
    """ok; look: works, and could be better; bad: something will not work"""
    found: str
    cure: str = ""


Check = Callable[[], list[Finding]]


def ok(name: str, found: str) -> Finding:
    return Finding(name=name, state="ok", found=found)


def look(name: str, found: str, cure: str) -> Finding:
    return Finding(name=name, state="look", found=found, cure=cure)


def bad(name: str, found: str, cure: str) -> Finding:
    return Finding(name=name, state="bad", found=found, cure=cure)
