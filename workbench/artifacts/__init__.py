"""Artifacts: what a step makes and later steps use. One file a kind; files that begin with _ hold what kinds share.

`kinds()` finds them by their `KIND`: adding one is adding a file. Small artifacts (directions, prompt sets) lie in the
session file, once, by their hash; large ones in a folder of their own, written whole or not at all: in the cache where
they can be made again, else in the data folder. No torch, and no database here.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workbench.artifacts._artifact import Artifact as Artifact
from workbench.artifacts._artifact import Content as Content
from workbench.artifacts._artifact import Kind as Kind
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


def find_artifact(name: str, kind: str = "") -> Artifact:
    """One of the user's folders by its name (`@` before it or not). Raises UserError naming the ones there are."""
    plain = name.removeprefix("@")
    known = [each for each in list_artifacts() if not kind or each.kind == kind]
    named = [each for each in known if each.name == plain]
    if len(named) == 1:
        return named[0]
    if named:
        raise UserError(f"{plain!r} is a {' and a '.join(each.kind for each in named)}: say which with --kind")
    there = ", ".join(each.name for each in known)
    raise UserError(f"there is no artifact {plain!r}: " + (f"there are {there}" if there else "none is stored yet"))
