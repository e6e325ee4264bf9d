"""`--out FILE.npz`: every array of a step's views, under names that say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.errors import UserError
from workbench.view_arrays import view_arrays
from workbench.views import AnyView


def check_out(path: Path) -> None:
    """Raises UserError, before anything runs, where the file could not be written in the end."""
    if path.suffix != ".npz":
        raise UserError(f"--out {path}: the arrays are saved as NumPy's .npz: name it {path.with_suffix('.npz').name}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.absolute().parent}")


def save_arrays(path: Path, views: list[AnyView]) -> None:
    """Writes `title.part` → array for all views; text as arrays of strings. Raises UserError if it can't."""
    try:
        np.savez_compressed(path, allow_pickle=False, **view_arrays(views))
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from None
