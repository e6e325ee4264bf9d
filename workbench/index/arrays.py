"""One folder's arrays as memory maps, and where the model's vocabulary is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from workbench.errors import UserError
from workbench.index.format import IndexFile, open_array, rebuild, weights_folder_name


class HasFolder(Protocol):
    folder: Path


Index = TypeVar("Index", bound=HasFolder)
T = TypeVar("T")


def whole(read: Callable[[Index, int], T]) -> Callable[[Index, int], T]:
    """Makes what an index reads of a unit a sentence where its arrays point to places that there are not."""

    @wraps(read)
    def read_whole(self: Index, unit: int) -> T:
        try:
            return read(self, unit)
        except (LookupError, ValueError, TypeError, OverflowError) as error:
            raise UserError(
                f"{self.folder} is damaged: what it says of unit {unit} does not fit together ({error}); "
                f"{rebuild(self.folder)}"
            ) from None

    return read_whole


class NamedArrays(dict[str, np.ndarray]):
    """Arrays by name; one that is not there is damage, and raises UserError."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> np.ndarray:
        raise UserError(f"{self._folder} is damaged: index.json names no array {name!r}; {rebuild(self._folder)}")


class FolderArrays:
    """By name, of the state that `file` names. Raises UserError; FileNotFoundError where one is gone."""

    def __init__(self, folder: Path, file: IndexFile, home: Path) -> None:
        self.home = home
        """of the model: where its vocabulary is"""
        # What the model is said to have decides how much memory its columns take: the arrays have to agree.
        if not any(file.units.n in shape for shape in file.shapes.values()):
            raise UserError(
                f"{folder / 'index.json'} is damaged: none of its arrays is of the {file.units.n:,} "
                f"{'neurons' if file.sae is None else 'features'} that it says it has; {rebuild(folder)}"
            )
        self.arrays = NamedArrays(folder)
        for name, shape in file.shapes.items():
            self.arrays[name] = open_array(folder / file.state, name, shape)


def home_of(folder: Path, file: IndexFile) -> Path:
    """The weights part that an index of what is done on text needs beside it. Raises UserError where it is gone."""
    home = folder.parent / weights_folder_name(file.model)
    if not (home / "index.json").exists():
        raise UserError(
            f"{folder.name} needs {home.name} beside it, which is not there: "
            f"`workbench index build` with the model makes it again"
        )
    return home
