"""The memory maps of a store while it is taken: written block by block, with how many blocks are safe on the disk."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import numpy as np

from workbench.artifacts.activations import NUMBER, layer_file
from workbench.errors import JSON_ERRORS, UserError
from workbench.files import write_whole

PROGRESS = "progress.json"
PAUSE = 30.0
"""seconds between two times that all is written through to the disk"""


class Progress(msgspec.Struct, kw_only=True):
    """progress.json: how the examples are divided into blocks, and how many of these are done."""

    tokens: int
    examples: int
    blocks: int = 0


class Maps:
    """One map a layer, [example, number]; a context manager, which keeps what was written however it ends.

    They are written with `pwrite`, not through memory: a disk that fills up is an error there, and would end the
    process here.
    """

    def __init__(self, folder: Path, layers: Sequence[int], shape: tuple[int, int], fresh: Progress) -> None:
        """`fresh` is the progress of a new build; one that was killed goes on with its own."""
        self._folder = folder
        self._layers = tuple(layers)
        self._shape = shape
        self._files: list[BinaryIO] = []
        self._offset = 0
        self._saved = time.monotonic()
        try:
            self.progress = msgspec.json.decode((folder / PROGRESS).read_bytes(), type=Progress)
        except (OSError, *JSON_ERRORS):
            self.progress = fresh

    def __enter__(self) -> Maps:
        is_new = not self.progress.blocks
        for layer in self._layers:
            file = layer_file(self._folder, layer)
            stream = open(file, "wb" if is_new else "r+b", buffering=0)
            self._files.append(stream)
            if is_new:
                _write_header(stream, self._shape)
            else:
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
            self._offset = stream.tell()
            os.truncate(stream.fileno(), self._offset + self._shape[0] * self._row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                self.save()
        finally:
            for stream in self._files:
                stream.close()

    @property
    def _row(self) -> int:
        """Bytes of an example."""
        return self._shape[1] * NUMBER.itemsize

    def write(self, examples: np.ndarray, values: Sequence[np.ndarray]) -> None:
        """int64 [example], ascending, and each layer's float32 [example, number]. Raises UserError for a full disk."""
        starts = np.flatnonzero(np.diff(examples, prepend=-2) != 1).tolist()
        try:
            for stream, layer_values in zip(self._files, values, strict=True):
                numbers = np.ascontiguousarray(layer_values, dtype=NUMBER)
                for start, end in zip(starts, [*starts[1:], len(examples)], strict=True):
                    _write_at(stream.fileno(), numbers[start:end], self._offset + int(examples[start]) * self._row)
        except OSError as error:
            raise _write_error(self._folder, error) from None

    def count_block(self) -> None:
        """One more is written."""
        self.progress.blocks += 1
        if time.monotonic() - self._saved > PAUSE:
            self.save()

    def save(self) -> None:
        """Writes all through to the disk. Raises UserError for a full one."""
        try:
            for stream in self._files:
                os.fsync(stream.fileno())
            write_whole(self._folder / PROGRESS, msgspec.json.encode(self.progress))
        except OSError as error:
            raise _write_error(self._folder, error) from None
        self._saved = time.monotonic()

    def finish(self) -> None:
        """All blocks are written: what a build that goes on would need is deleted."""
        (self._folder / PROGRESS).unlink(missing_ok=True)


def _write_header(stream: BinaryIO, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(
        stream, {"descr": np.lib.format.dtype_to_descr(NUMBER), "fortran_order": False, "shape": shape}
    )


def _write_at(descriptor: int, numbers: np.ndarray, offset: int) -> None:
    data = numbers.data.cast("B")
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _write_error(folder: Path, error: OSError) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"the disk is full at {folder.parent}: make room and run the same command again, which goes on from there"
        )
    return UserError(f"{folder} cannot be written: {error.strerror}")
