"""Batches that halve when the memory ends, and go on.

    for batch in report.track(batches(rows, size, report), "prompts", total=len(rows)):
        with batch:
            … batch.rows …

Where the `with` block runs out of memory, nothing of it counts: the batch comes again in halves, later ones are
smaller, and the report says so. The block keeps its results in its last lines.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Generic, TypeVar

import torch

from workbench.errors import UserError
from workbench.report import Report

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's or the machine's memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "not enough memory" in said)


class Batch(Generic[T]):
    """Some of the rows; a context that swallows running out of memory."""

    def __init__(self, rows: Sequence[T], start: int) -> None:
        self.rows = rows
        self.start = start
        """index of the first row among all"""
        self.failed = False

    def __enter__(self) -> Batch[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not is_out_of_memory(error):
            return False
        if len(self.rows) == 1:
            raise UserError("out of memory with a single prompt: take a shorter one, or free memory") from None
        self.failed = True
        return True


def batches(rows: Sequence[T], size: int, report: Report | None = None, each: int = 1) -> Iterator[Batch[T]]:
    """`rows` in batches of at most `size`, which halves whenever one runs out of memory.

    With a report, its progress counts `each` for a row (`report.track` itself counts one for each batch), and halving
    is noted.
    """
    start = 0
    while start < len(rows):
        batch = Batch(rows[start : start + size], start)
        yield batch
        if batch.failed:
            size = len(batch.rows) // 2
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if report is not None:
                report.note(f"memory ran out: went on with batches of {size}")
        else:
            start += len(batch.rows)
        if report is not None:
            report.progress.done = start * each
