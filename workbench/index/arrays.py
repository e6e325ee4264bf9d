"""One folder's arrays as memory maps, and where the model's vocabulary is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.errors import UserError
from workbench.index.format import IndexFile, open_array, weights_folder_name


class FolderArrays:
    """By name, of the state that `file` names. Raises UserError; FileNotFoundError where one is gone."""

    def __init__(self, folder: Path, file: IndexFile, home: Path) -> None:
        self.home = home
        """of the model: where its vocabulary is"""
        state = folder / file.state
        self.arrays: dict[str, np.ndarray] = {
            name: open_array(state, name, shape) for name, shape in file.shapes.items()
        }


def home_of(folder: Path, file: IndexFile) -> Path:
    """The weights part that an index of what is done on text needs beside it. Raises UserError where it is gone."""
    home = folder.parent / weights_folder_name(file.model)
    if not (home / "index.json").exists():
        raise UserError(
            f"{folder.name} needs {home.name} beside it, which is not there: "
            f"`workbench index build` with the model makes it again"
        )
    return home
