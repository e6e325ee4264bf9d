"""Writing a data index so that it survives a kill at any moment.

Between checkpoints only windows.log grows (example windows that are to replace others). A checkpoint syncs the log,
writes a new state folder, and commits both by renaming index.json; then the log is played into the maps, which can
be repeated. Opening a folder undoes what was not committed and plays what was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from workbench.errors import UserError
from workbench.files import FolderLock, free_disk
from workbench.index import format
from workbench.index.format import WINDOW, IndexFile, file_hash, map_shapes, open_array, read_index_file
from workbench.text import size

MAPS = ("windows", "sign_windows")
RECORD = np.dtype([("map", "<u1"), ("slot", "<i8"), ("window", "<f2", WINDOW)])
PLAYED_AT_ONCE = 1 << 18
"""records"""


class IndexWriter:
    """The one writer of a data folder; a context manager that holds the folder's lock."""

    def __init__(self, folder: Path, fresh: IndexFile) -> None:
        """`fresh` becomes index.json of a new folder; in a folder that holds an index, its own is used instead."""
        self.folder = folder
        self.file = fresh
        self.arrays: dict[str, np.ndarray] = {}
        """the state that was committed last; empty in a new folder"""
        self._lock = FolderLock(folder)
        self._documents: dict[int, tuple[int, int]] = {}
        """number → offset in the token store, length"""
        self._unsaved: list[np.ndarray] = []
        self._stored = 0

    def __enter__(self) -> IndexWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.__enter__()
        try:
            if (self.folder / "index.json").exists():
                self._resume()
            else:
                self._create()
            self._log = open(self.folder / "windows.log", "ab")
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()
        self._lock.__exit__(kind, error, trace)

    # --- opening ------------------------------------------------------------------------------------

    def _create(self) -> None:
        self._remove_stale_states()
        for name, shape in map_shapes(self.file).items():
            # Sparse: no byte is written before an example needs it.
            np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape).flush()
        np.save(self.folder / "tokens.npy", np.zeros(1 << 16, dtype=np.int32))
        (self.folder / "windows.log").write_bytes(b"")

    def _resume(self) -> None:
        committed = read_index_file(self.folder)
        committed.progress.goal = self.file.progress.goal
        self.file = committed
        self._remove_stale_states()
        state = self.folder / committed.state
        try:
            self.arrays = {name: open_array(state, name, shape) for name, shape in committed.shapes.items()}
            log = self.folder / "windows.log"
            if log.stat().st_size < committed.log_bytes:
                raise FileNotFoundError
            os.truncate(log, committed.log_bytes)
        except FileNotFoundError:
            raise UserError(
                f"the index {self.folder.name} is damaged, files of it are missing: remove it with "
                f"`workbench index rm {self.folder.name}` and build it again"
            ) from None
        self._documents = {number: (offset, length) for number, offset, length in self.arrays["documents"].tolist()}
        self._stored = sum(length for _, length in self._documents.values())
        self._play()

    def _remove_stale_states(self) -> None:
        """Remove what an interrupted checkpoint left."""
        for path in self.folder.iterdir():
            if path.name.startswith("state-") and path.name != self.file.state:
                shutil.rmtree(path)

    # --- between checkpoints --------------------------------------------------------------------------

    def log(self, name: str, slots: np.ndarray, windows: np.ndarray) -> None:
        """Remember windows float16 [entry, WINDOW] for flat slots int64 [entry] of a map."""
        records = np.empty(len(slots), dtype=RECORD)
        records["map"] = MAPS.index(name)
        records["slot"] = slots
        records["window"] = windows
        try:
            self._log.write(records.data)
        except OSError as error:
            raise self._disk(error) from None

    def add_document(self, number: int, ids: np.ndarray) -> None:
        """A document's tokens; one that is there already is passed over."""
        if number in self._documents:
            return
        self._documents[number] = (self._stored, len(ids))
        self._unsaved.append(ids.astype(np.int32))
        self._stored += len(ids)

    # --- checkpoints ------------------------------------------------------------------------------------

    def checkpoint(self, arrays: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        """Commit accumulators and columns with everything logged so far. `self.file` holds progress and counts."""
        try:
            self._checkpoint(arrays, columns)
        except OSError as error:
            raise self._disk(error) from None

    def _checkpoint(self, arrays: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        self._save_tokens()
        self._log.flush()
        os.fsync(self._log.fileno())
        table = [(number, *place) for number, place in sorted(self._documents.items())]
        documents = np.array(table, dtype=np.int64).reshape(-1, 3)
        assert not arrays.keys() & columns.keys()
        everything = {**arrays, "documents": documents, **columns}
        everything |= self._peak_tokens(arrays, documents)
        old, self.file.revision = self.file.state, self.file.revision + 1
        self.file.state = f"state-{self.file.revision:06d}"
        self.file.shapes = format.write_arrays(self.folder / self.file.state, everything)
        self.file.log_bytes = os.fstat(self._log.fileno()).st_size
        self.file.hashes = {}
        format.write_index_file(self.folder, self.file)
        if old:
            shutil.rmtree(self.folder / old, ignore_errors=True)
        self._play()

    def finish(self) -> None:
        """Write the checksums of what was committed."""
        paths = [*self.folder.glob("*.npy"), self.folder / "windows.log", *(self.folder / self.file.state).iterdir()]
        self.file.hashes = {str(path.relative_to(self.folder)): file_hash(path) for path in sorted(paths)}
        format.write_index_file(self.folder, self.file)

    def _save_tokens(self) -> None:
        if not self._unsaved:
            return
        path = self.folder / "tokens.npy"
        store = np.load(path, mmap_mode="r+")
        if store.size < self._stored:
            larger = self.folder / "tokens.new.npy"
            grown = np.lib.format.open_memmap(larger, "w+", np.int32, (max(self._stored, 2 * store.size),))
            grown[: store.size] = store
            grown.flush()
            larger.replace(path)
            store = np.load(path, mmap_mode="r+")
        new = np.concatenate(self._unsaved)
        store[self._stored - len(new) : self._stored] = new
        store.flush()
        self._unsaved = []

    def _peak_tokens(self, arrays: Mapping[str, np.ndarray], documents: np.ndarray) -> dict[str, np.ndarray]:
        """peak_tokens int32 [tail, neuron, slot]: the token at each example's peak; −1 in empty slots."""
        store = open_array(self.folder, "tokens")
        numbers, positions = arrays["example_documents"], arrays["example_positions"]
        if not len(documents):
            return {"peak_tokens": np.full(numbers.shape, -1, dtype=np.int32)}
        rows = np.searchsorted(documents[:, 0], np.maximum(numbers, documents[0, 0]))
        at = documents[rows, 1] + np.maximum(positions, 0)
        return {"peak_tokens": np.where(numbers >= 0, store[at], -1).astype(np.int32)}

    def _play(self) -> None:
        """Play the committed log into the maps, then forget it. May be repeated."""
        path = self.folder / "windows.log"
        n = self.file.log_bytes // RECORD.itemsize
        if n:
            shapes = map_shapes(self.file)
            maps = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
            records = np.memmap(path, dtype=RECORD, mode="r", shape=(n,))
            for start in range(0, n, PLAYED_AT_ONCE):
                batch = np.array(records[start : start + PLAYED_AT_ONCE])
                for map_index, name in enumerate(MAPS):
                    rows = batch["map"] == map_index
                    if rows.any():
                        # numpy assigns in order, so that the last of several records for a slot stays.
                        maps[name].reshape(-1, WINDOW)[batch["slot"][rows]] = batch["window"][rows]
            for window_map in maps.values():
                window_map.flush()
        if self.file.log_bytes:
            self.file.log_bytes = 0
            format.write_index_file(self.folder, self.file)
        os.truncate(path, 0)

    def _disk(self, error: OSError) -> UserError:
        free = shutil.disk_usage(self.folder).free
        return UserError(
            f"the index could not be written ({error.strerror}; {size(free)} free at {self.folder.parent}): "
            f"what was there at the last checkpoint is kept; make room and run the same command to go on"
        )


def check_disk(folder: Path, needed: int) -> None:
    """Raises UserError where the disk has less than `needed` bytes free."""
    free = free_disk(folder)
    if needed > free:
        raise UserError(
            f"the index needs about {size(needed)} of disk and {size(free)} are free at {folder.parent}: make room, "
            f"move the cache (WORKBENCH_CACHE), or keep fewer examples (--top)"
        )
