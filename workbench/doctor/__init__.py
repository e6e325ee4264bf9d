"""What `workbench doctor` looks at. Each check is a function that gives findings; none of them imports torch here.

`workbench.doctor.equality` and `torch_probe` run in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def checks() -> list[Check]:
    """All of them, in the order they are told."""
    from workbench.doctor import login, machine, places, terminal

    return [*machine.CHECKS, *places.CHECKS, *login.CHECKS, *terminal.CHECKS]


def findings() -> Iterator[Finding]:
    """Every check's findings as they come; a check that fails on this machine says so instead of stopping the rest."""
    for check in checks():
        try:
            yield from check()
        except (OSError, ValueError) as error:
            name = check.__name__.replace("_", " ")
            yield Finding(name=name, state="look", found=f"could not be looked at: {error}")


def ok(name: str, found: str) -> Finding:
    return Finding(name=name, state="ok", found=found)


def look(name: str, found: str, cure: str) -> Finding:
    return Finding(name=name, state="look", found=found, cure=cure)


def bad(name: str, found: str, cure: str) -> Finding:
    return Finding(name=name, state="bad", found=found, cure=cure)
