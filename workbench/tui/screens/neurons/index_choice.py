"""Which index is browsed: the model's neurons or an SAE's features, the fullest first; a newer revision as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.index.format import IndexedSae
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import IndexInfo
    from workbench.model_info import ModelInfo


class IndexChoice:
    """Looks into the folder of indexes; every method may touch the disk, so call them in a thread."""

    def __init__(self) -> None:
        self.chosen: Path | None = None
        """the folder that the user picked; else the best for the model"""
        self.sae = ""
        """whose features are browsed where no folder was picked; empty: neurons"""
        self.index: NeuronIndex | None = None
        self.problem = ""
        """why an index that is there is not shown, or is not what it should be"""

    def show(self, sae: str) -> None:
        """The fullest index of this SAE's features; empty: of neurons."""
        self.chosen, self.sae = None, sae

    def indexed_saes(self, model: ModelInfo | None) -> list[str]:
        """SAEs of the model with an index of their features, by name."""
        return sorted({info.sae for info in self.available(model) if info.sae and not info.problem})

    def available(self, model: ModelInfo | None) -> list[IndexInfo]:
        """Indexes of this model (all where it is not known yet), the one to open first in front, damaged ones last."""
        from workbench.index.store import list_indexes

        fingerprint = model.fingerprint if model else ""
        indexes = [
            info for info in list_indexes() if not fingerprint or info.problem or info.fingerprint == fingerprint
        ]
        kinds = ("data", "features", "weights", "")
        return sorted(
            indexes, key=lambda info: (info.problem != "", kinds.index(info.kind), -info.tokens, -info.created)
        )

    def open_newer(self, model: ModelInfo | None) -> NeuronIndex | None:
        """The index to show now, opened; None where it is the one that is shown already, or there is none."""
        from workbench.index.features import open_any

        folder = self._folder(model)
        if folder is None:
            return None
        current = self.index
        if current is not None and current.folder == folder and not current.changed():
            return None
        try:
            index = open_any(folder)
        except UserError as error:
            self.problem = str(error)
            return None
        self.problem = changed_sae(index.sae) if index.sae is not None else ""
        self.index = index
        return index

    def _folder(self, model: ModelInfo | None) -> Path | None:
        if self.chosen is not None:
            return self.chosen
        indexes = self.available(model)
        if indexes and all(info.problem for info in indexes):
            self.problem = indexes[0].problem
        readable = [info for info in indexes if not info.problem and info.sae == self.sae]
        if self.sae:
            now = registered_hash(self.sae)
            readable.sort(key=lambda info: info.sae_hash != now)
        return Path(readable[0].path) if readable else None


def registered_hash(sae: str) -> str:
    """Of the SAE that has this name now; empty where none has."""
    from workbench.artifacts.sae import list_saes

    return next((artifact.hash for artifact in list_saes() if artifact.name == sae), "")


def changed_sae(sae: IndexedSae) -> str:
    """What is to be said where an index' SAE is no more what it was; empty where it is."""
    now = registered_hash(sae.name)
    if not now:
        return f"the SAE {sae.name} is no longer registered: what its features did can be browsed, nothing tried"
    if now != sae.hash:
        return f"the SAE {sae.name} has changed since this index was made: I builds one of it as it is now"
    return ""
