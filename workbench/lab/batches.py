"""How many rows go through the model at once, and batches that halve when memory runs out.

    for batch in report.track(batches(rows, size, report, model), "prompts", total=len(rows)):
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

from workbench.batch_memory import Work, rows_fitting
from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.memory import free_on_fullest
from workbench.report import Report

T = TypeVar("T")


def rows_at_once(model: Model, length: int, work: Work) -> int:
    """How many rows of `length` tokens go through the model together: by time, and by the free memory."""
    return rows_fitting(model.info, length, work, free_on_fullest(model.info.devices))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's or the machine's memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error)
    # CUDA's libraries say ALLOC_FAILED where there is no room for their own workspace.
    signs = ("out of memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in message for sign in signs)


class Batch(Generic[T]):
    """Some of the rows; a context that swallows running out of memory."""

    def __init__(self, rows: Sequence[T], start: int, size: int) -> None:
        self.rows = rows
        self.start = start
        """index of the first row among all"""
        self.size = size
        """rows of a batch that is full"""
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


def batches(
    rows: Sequence[T], size: int, report: Report | None = None, model: Model | None = None, progress_per_row: int = 1
) -> Iterator[Batch[T]]:
    """`rows` in batches of at most `size`, which halves whenever one runs out of memory.

    With a report, halving is noted and its progress counts `progress_per_row` for a row (`report.track` itself counts
    one for each batch; with 0 nothing is counted). The clean passes that `model` keeps are freed then.
    """
    start, failed_end = 0, len(rows)
    while start < len(rows):
        # What failed together is done before what comes after it.
        end = min(start + size, failed_end if start < failed_end else len(rows))
        batch = Batch(rows[start:end], start, size)
        yield batch
        if batch.failed:
            size, failed_end = len(batch.rows) // 2, end
            free_caches(model)
            if report is not None:
                report.note(f"memory ran out: went on with batches of {size}")
        else:
            start += len(batch.rows)
        if report is not None and progress_per_row:
            report.progress.done = start * progress_per_row


def free_caches(model: Model | None) -> None:
    """Free everything that is cached and can be computed again."""
    if model is not None:
        model.clean.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
