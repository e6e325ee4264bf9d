"""Writing the weights part of an index: what can be browsed without any text."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from workbench.files import FolderLock
from workbench.index import format
from workbench.index.families import family_bits, first_family, memberships
from workbench.index.format import BuildProgress, IndexFile, weights_folder_name, write_index_file
from workbench.index.store import indexes_dir
from workbench.index.writer import check_disk
from workbench.lab.indexing.weights import n_steps, vocabulary, weights_arrays
from workbench.lab.loaded import Model


def weights_folder(model: Model) -> Path:
    return indexes_dir() / weights_folder_name(model.info)


def build_weights(model: Model) -> Iterator[str]:
    """Compute and write the weights part in steps of about a second; each gives a word for what it did.

    After the vocabulary's step the folder can be opened; neighbours follow. One begun by a killed process is made anew.
    """
    folder = weights_folder(model)
    check_disk(folder, 400 * model.info.n_neurons)
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder):
        (folder / "vocab.json").write_bytes(msgspec.json.encode(vocabulary(model)))
        file = IndexFile(
            kind="weights",
            model=model.info,
            versions=format.versions(),
            created=time.time(),
            progress=BuildProgress(goal=n_steps(model)),
        )
        columns: dict[str, np.ndarray] = {}
        began = time.monotonic()
        for step, (name, finished) in enumerate(weights_arrays(model), start=1):
            columns |= finished
            file.progress.blocks = step
            file.seconds = time.monotonic() - began
            if finished:
                if "rho_chance" in finished:
                    file.facts["rho_chance"] = float(columns.pop("rho_chance"))
                family_members = memberships(columns, model.info, file.facts["rho_chance"], [])
                columns |= {"family": first_family(family_members), "families": family_bits(family_members)}
                file.progress.done = step == n_steps(model)
                _publish(folder, file, columns)
            yield name


def _publish(folder: Path, file: IndexFile, columns: dict[str, np.ndarray]) -> None:
    file.revision += 1
    state = f"state-{file.revision:06d}"
    shutil.rmtree(folder / state, ignore_errors=True)
    old = list(folder.glob("state-*"))
    file.shapes = format.write_arrays(folder / state, columns)
    file.state = state
    if file.progress.done:
        paths = [folder / "vocab.json", *sorted((folder / state).iterdir())]
        file.hashes = {str(path.relative_to(folder)): format.file_hash(path) for path in paths}
    write_index_file(folder, file)
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
