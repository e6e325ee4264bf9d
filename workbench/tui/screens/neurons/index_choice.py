"""Which index is browsed: the model's own, the fullest first; a newer revision of it as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import IndexInfo
    from workbench.model_info import ModelInfo


class IndexChoice:
    """Looks into the folder of indexes; every method may touch the disk, so call them in a thread."""

    def __init__(self) -> None:
        self.chosen: Path | None = None
        """the folder that the user picked; else the best for the model"""
        self.index: NeuronIndex | None = None
        self.problem = ""
        """why an index that is there is not shown"""

    def available(self, model: ModelInfo | None) -> list[IndexInfo]:
        """Indexes of this model (all where it is not known yet), the one to open first in front, damaged ones last."""
        from workbench.index.store import list_indexes

        fingerprint = model.fingerprint if model else ""
        indexes = [
            info for info in list_indexes() if not fingerprint or info.problem or info.fingerprint == fingerprint
        ]
        return sorted(indexes, key=lambda info: (info.problem != "", info.kind != "data", -info.tokens, -info.created))

    def open_newer(self, model: ModelInfo | None) -> NeuronIndex | None:
        """The index to show now, opened; None where it is the one that is shown already, or there is none."""
        from workbench.index.reader import NeuronIndex

        folder = self._folder(model)
        if folder is None:
            return None
        current = self.index
        if current is not None and current.folder == folder and not current.changed():
            return None
        try:
            index = NeuronIndex.open(folder)
        except UserError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        self.index = index
        return index

    def _folder(self, model: ModelInfo | None) -> Path | None:
        if self.chosen is not None:
            return self.chosen
        indexes = self.available(model)
        readable = [info for info in indexes if not info.problem]
        if indexes and not readable:
            self.problem = indexes[0].problem
        return Path(readable[0].path) if readable else None
