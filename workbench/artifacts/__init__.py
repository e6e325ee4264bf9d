"""Artifacts: what a step makes and later steps use. One file a kind; files that begin with _ hold what kinds share.

`kinds()` finds them by their `KIND`: adding one is adding a file. Small artifacts (directions, prompt sets) lie in the
session file, once, by their hash; large ones in a folder of their own, written whole or not at all: in the cache where
they can be made again, else in the data folder. No torch, and no database here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from workbench.artifacts._artifact import Artifact as Artifact
from workbench.artifacts._artifact import Content as Content
from workbench.artifacts._artifact import Facts as Facts
from workbench.artifacts._artifact import Kind as Kind
from workbench.artifacts._artifact import Role as Role
from workbench.artifacts._artifact import Use as Use
from workbench.errors import UserError


@cache
def kinds() -> dict[str, Kind]:
    """All kinds of artifacts by name."""
    modules = (
        importlib.import_module(f"{__name__}.{file.name}")
        for file in pkgutil.iter_modules(__path__)
        if not file.name.startswith("_")
    )
    return {kind.name: kind for kind in sorted((module.KIND for module in modules), key=lambda each: each.name)}


def list_artifacts() -> list[Artifact]:
    """Those that lie in folders of the user, by kind, newest first; what sessions hold is listed from them."""
    return [artifact for kind in kinds().values() for artifact in kind.listed()]


def find_artifact(known: Sequence[Artifact], name: str, kind: str = "") -> Artifact:
    """One of `known` by its name (`@` before it or not). Raises UserError naming the ones there are.

    Also where the name stands for one thing here and for another there.
    """
    plain = name.removeprefix("@")
    among = [each for each in known if each.name and kind in ("", each.kind)]
    named = [each for each in among if each.name == plain]
    if len({each.kind for each in named}) > 1:
        raise UserError(f"{plain!r} is a {' and a '.join(each.kind for each in named)}: say which with --kind")
    if not named:
        there = ", ".join(dict.fromkeys(each.name for each in among))
        raise UserError(f"there is no artifact {plain!r}: " + (f"there are {there}" if there else "none is stored yet"))
    if len({each.hash for each in named}) > 1:
        places = ", ".join(dict.fromkeys(each.path for each in named))
        raise UserError(f"{plain!r} is another {named[0].kind} in each of {places}: name a session with --session")
    return named[0]
