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
from typing import Generic, Literal, TypeVar

import torch

from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.memory import BYTES, compared_bytes, free_memory, layer_bytes
from workbench.report import Report

T = TypeVar("T")
Work = Literal["forward", "last", "stream", "gradients", "generation", "index"]
"""what a batch is for: logits at every position; those at the last, of many edits of one prompt; the stream at every
block's input; gradients; tokens that are generated; a block of an index"""

TOKENS: dict[Work, tuple[int, int]] = {
    "forward": (256, 16384),
    "last": (640, 16384),
    "stream": (640, 16384),
    "gradients": (160, 4096),
    "generation": (16384, 16384),
    "index": (512, 16384),
}
"""tokens of a batch that takes about a second or less, on a CPU (small batches are nearly free there) and elsewhere"""
GENERATED_ROWS = (16, 256)
"""rows that are generated together at most: what a step reads of the weights is read once for all of them"""
SHARE = 0.5
"""of the free memory that a batch may take"""


def tokens_at_once(device: str, work: Work) -> int:
    """Tokens of a batch of about a second, whatever the memory."""
    return TOKENS[work][device != "cpu"]


def rows_at_once(model: Model, length: int, work: Work) -> int:
    """How many rows of `length` tokens go through the model together: by time, and by the free memory."""
    info = model.info
    limit = max(1, tokens_at_once(info.device, work) // max(1, length))
    if work == "generation":
        limit = min(limit, GENERATED_ROWS[info.device != "cpu"])
    fits = int(SHARE * min(map(free_memory, info.devices))) // (token_bytes(model, length, work) * max(1, length))
    # Where memory is the limit, powers of two: a little more or less of it gives the same shapes, and the same bits.
    return limit if fits >= limit else 1 << max(0, fits.bit_length() - 1)


def token_bytes(model: Model, length: int, work: Work) -> int:
    """Bytes that a token takes while a batch of full size goes through (`python -m tests.gpu.estimates`).

    "forward" compares a clean pass with one under edits, "stream" keeps every block's input, gradients what every layer
    needs on the way back, generation the keys and values of every layer.
    """
    info = model.info
    wide = BYTES[info.dtype]
    inside = layer_bytes(wide, info.d_model, info.d_mlp, info.n_heads, length)
    match work:
        case "forward":
            return compared_bytes(wide, info.d_model, info.d_mlp, info.n_heads, info.d_vocab, length)
        case "stream":
            return inside + wide * info.n_layers * info.d_model
        case "generation":
            kept = wide * 2 * info.n_layers * info.n_kv_heads * info.d_head
            return kept + max(inside, wide * info.d_vocab)
        case "gradients":
            probabilities = wide + 4 if wide < 4 else wide
            mlp = (4 if info.gated_mlp else 2) * info.d_mlp
            # Parallel blocks have one stream to read, and norms that keep nothing of their own.
            stream = (2 if info.parallel_blocks else 11) * info.d_model
            return inside + info.n_layers * (wide * (stream + mlp) + probabilities * info.n_heads * length)
        case _:
            return inside


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
