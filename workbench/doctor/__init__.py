"""What `workbench doctor` looks at. Each check is a function that returns findings; none of them imports torch here.

`workbench.doctor.equality` and `torch_probe` run in processes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.doctor import login, machine, places, terminal
from workbench.doctor.finding import Check, Finding


def checks() -> list[Check]:
    """All of them, in the order they are printed."""
    return [*machine.CHECKS, *places.CHECKS, *login.CHECKS, *terminal.CHECKS]


def findings() -> Iterator[Finding]:
    """Every check's findings as they come; a check that fails on this machine says so instead of stopping the rest."""
    for check in checks():
        try:
            yield from check()
        except (OSError, ValueError) as error:
            name = check.__name__.replace("_", " ")
            yield Finding(name=name, state="warning", detail=f"could not be looked at: {error}")
