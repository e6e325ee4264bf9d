"""What a check of the doctor returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

State = Literal["ok", "warning", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor: what was checked, its state, the details and what to do."""

    name: str
    state: State
    """ok; warning: works, and could be better; bad: something will not work"""
    detail: str = msgspec.field(name="found")
    """a sentence; `found` in JSON"""
    cure: str = ""


Check = Callable[[], list[Finding]]


def ok(name: str, detail: str) -> Finding:
    return Finding(name=name, state="ok", detail=detail)


def warning(name: str, detail: str, cure: str) -> Finding:
    return Finding(name=name, state="warning", detail=detail, cure=cure)


def bad(name: str, detail: str, cure: str) -> Finding:
    return Finding(name=name, state="bad", detail=detail, cure=cure)
