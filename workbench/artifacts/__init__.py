"""Artifacts: what a step makes and later steps use. One file for each kind; files that begin with _ are
shared by kinds.

`kinds()` finds them by their `KIND`: adding one is adding a file. Small artifacts (directions, prompt sets) lie in the
session file, once, by their hash; large ones in a folder of their own, written whole or not at all: in the cache where
they can be made again, else in the data folder. No torch, and no database here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from workbench.artifacts._artifact import SHORT_HASH as SHORT_HASH
from workbench.artifacts._artifact import Artifact as Artifact
from workbench.artifacts._artifact import Content as Content
from workbench.artifacts._artifact import Facts as Facts
from workbench.artifacts._artifact import Kind as Kind
from workbench.artifacts._artifact import Role as Role
from workbench.artifacts._artifact import Use as Use
from workbench.artifacts._sae_features import check_feature as check_feature
from workbench.artifacts._sae_features import config_of as config_of
from workbench.artifacts._sae_features import encoded_site as encoded_site
from workbench.artifacts._sae_features import sae_names as sae_names
from workbench.artifacts._sae_features import sae_of_layer as sae_of_layer
from workbench.artifacts._sae_features import saes_of_layer as saes_of_layer
from workbench.artifacts._sae_features import with_sae_names as with_sae_names
from workbench.errors import UserError


@cache
def kinds() -> dict[str, Kind]:
    """All kinds of artifacts by name."""
    modules = (
        importlib.import_module(f"{__name__}.{file.name}")
        for file in pkgutil.iter_modules(__path__)
        if not file.name.startswith("_")
    )
    return {kind.name: kind for kind in sorted((module.KIND for module in modules), key=lambda kind: kind.name)}


def list_artifacts() -> list[Artifact]:
    """Those that lie in folders of the user, by kind, newest first; what sessions hold is listed from them."""
    return [artifact for kind in kinds().values() for artifact in kind.listed()]


def find_artifact(artifacts: Sequence[Artifact], name: str, kind: str = "") -> Artifact:
    """One of `artifacts` by its name (with or without `@`).

    Raises UserError: for a name that none has, listing the names, and for a name of different artifacts.
    """
    bare_name = name.removeprefix("@")
    candidates = [artifact for artifact in artifacts if artifact.name and kind in ("", artifact.kind)]
    matches = [artifact for artifact in candidates if artifact.name == bare_name]
    if len({artifact.kind for artifact in matches}) > 1:
        raise UserError(
            f"{bare_name!r} is a {' and a '.join(artifact.kind for artifact in matches)}: say which with --kind"
        )
    if not matches:
        names = ", ".join(dict.fromkeys(artifact.name for artifact in candidates))
        raise UserError(
            f"there is no artifact {bare_name!r}: " + (f"there are {names}" if names else "none is stored yet")
        )
    if len({artifact.hash for artifact in matches}) > 1:
        places = ", ".join(dict.fromkeys(artifact.path for artifact in matches))
        raise UserError(
            f"{bare_name!r} is another {matches[0].kind} in each of {places}: name a session with --session"
        )
    return matches[0]
