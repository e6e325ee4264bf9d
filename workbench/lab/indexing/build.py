"""Building a data index: blocks of tokens through the model, without its unembedding, into accumulators on disk.

    build = IndexBuild(model, corpus, settings, token_goal)
    with build:
        for block in report.track(build.blocks(report), "tokens", total=token_goal):
            build.add(block)

Every block is whole or not there; a checkpoint comes about twice a minute and at the end, however that comes. The same
corpus, settings and device give the same bits, interrupted or not.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from workbench.batch_memory import SHARE, tokens_at_once
from workbench.datasets.corpora import Corpus
from workbench.errors import UserError
from workbench.index.clusters import DocumentSums
from workbench.index.format import (
    BuildProgress,
    IndexFile,
    IndexSettings,
    data_folder_name,
    versions,
)
from workbench.index.memory import block_bytes, disk_bytes, state_bytes
from workbench.index.store import indexes_dir
from workbench.index.writer import IndexWriter, check_disk
from workbench.lab.applying import Hook
from workbench.lab.batches import batches, is_out_of_memory
from workbench.lab.editing import CLEAN
from workbench.lab.indexing.accumulate import Accumulators, BlockTensors, looks_at_rows_together
from workbench.lab.indexing.aside import Aside
from workbench.lab.indexing.blocks import Block, blocks
from workbench.lab.indexing.sources import Neurons, Source
from workbench.lab.indexing.token_features import VERSION, TokenFeatures
from workbench.lab.indexing.weights import vocabulary
from workbench.lab.loaded import Model
from workbench.lab.memory import free_memory
from workbench.lab.metrics import sum_float64
from workbench.lab.passes import not_finite, run_pass
from workbench.model_info import ModelInfo
from workbench.report import Report
from workbench.units import Site

FIRST_CHECKPOINT = 5.0
"""seconds until there is something to browse"""
CHECKPOINT = 30.0
ENCODED = {"cpu": 1 << 27, "other": 1 << 30}
"""bytes of a block's activations of features, which are as wide as the SAE"""
LONGEST_PAUSE = 120.0
"""seconds between checkpoints: twenty times what one takes, within these bounds"""


def default_settings(info: ModelInfo, context: int, top: int, explain: bool, width: int = 0) -> IndexSettings:
    """Settings for a model on its device: a block takes about a second or less, and its activations of the `width`
    features of an SAE take ENCODED bytes at most."""
    tokens = tokens_at_once(info.device, "index")
    if width:
        tokens = min(tokens, ENCODED["cpu" if info.device == "cpu" else "other"] // (4 * width))
    context = min(context, info.n_ctx)
    if context < 2 + (info.bos_token is not None):
        raise UserError("a context has at least a few tokens: --context 256 is usual")
    return IndexSettings(
        context=context,
        top=top,
        explain=explain,
        block_tokens=max(tokens, context),
        shelf_blocks=32 if info.device == "cpu" else 4,
        features=VERSION if explain else "",
    )


def tokenise(model: Model, corpus: Corpus, without: Collection[int] = ()) -> Iterator[tuple[int, np.ndarray]]:
    """Documents as token ids int64, without BOS or any other special token, even where the text spells one.

    Documents whose numbers are in `without` are passed over. Raises UserError for a token that the model does not know.
    """
    tokenizer = model.tokens.tokenizer
    special = np.array(sorted(tokenizer.all_special_ids), dtype=np.int64)
    for number, text in corpus.documents():
        if number in without:
            continue
        ids = np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)
        ids = ids[~np.isin(ids, special)]
        model.tokens.check_embedded(ids)
        yield number, ids


def not_finite_row(model: Model, block: Block, row: int) -> str:
    """Why the model makes no numbers of a block's row, as a sentence without its full stop."""
    length = int(block.lengths[row])
    ids = torch.from_numpy(block.ids[row, :length]).to(model.info.device)
    why = not_finite(model, ids, length, CLEAN)
    return f"on document {int(block.documents[row])} of the corpus: {why}"


def bos_id(model: Model) -> int | None:
    """The BOS that the tokenizer's own call puts in front; None where it adds none."""
    return int(model.tokens.prompt("a").ids[0]) if model.info.bos_token is not None else None


class IndexBuild:
    """One run of a build; a context manager. Raises UserError where the disk is too small or another build runs."""

    def __init__(
        self,
        model: Model,
        corpus: Corpus,
        settings: IndexSettings,
        token_goal: int,
        folder: Path | None = None,
        source: Source | None = None,
    ) -> None:
        """`folder` is where a shard goes; by default the folder that the index is found by. Of neurons, or `source`."""
        self.model, self.corpus, self.settings, self.token_goal = model, corpus, settings, token_goal
        info = model.info
        self.source = source or Neurons(info, indexes_dir())
        units, sae = self.source.units, self.source.sae
        self.features = TokenFeatures(vocabulary(model)) if settings.explain else None
        names = self.features.names if self.features else []
        self.bos = bos_id(model)
        self.folder = folder or indexes_dir() / data_folder_name(info, corpus.info, settings, sae)
        self.memory = state_bytes(units, settings, len(names))
        self.disk = disk_bytes(units, settings, len(names))
        if not (self.folder / "index.json").exists():
            check_disk(self.folder, self.disk)
        fresh = IndexFile(
            kind="data" if sae is None else "features",
            model=info,
            sae=sae,
            corpus=corpus.info,
            settings=settings,
            progress=BuildProgress(goal=token_goal),
            features=names,
            versions=versions(),
            created=time.time(),
            facts={"bos": float(self.bos is not None)},
        )
        self._writer = IndexWriter(self.folder, fresh)
        self._device = torch.device(info.device)
        self._accumulators = Accumulators(units, settings, len(names), self._device)
        self._documents = DocumentSums(units.n)
        self._aside = Aside(looks_at_rows_together(self._device))
        """of the last block: its windows into the log, its sums by document"""
        self._feature_counts = np.zeros((2, len(names)), dtype=np.int64)
        self._dirty = False
        self._saved = time.monotonic() - CHECKPOINT + FIRST_CHECKPOINT
        self._pause = CHECKPOINT
        self._begun = time.monotonic()

    @property
    def file(self) -> IndexFile:
        return self._writer.file

    @property
    def tokens(self) -> int:
        """Counted so far, in this run and earlier ones."""
        return sum(self.file.counts.tokens)

    def __enter__(self) -> IndexBuild:
        self._writer.__enter__()
        state = self._writer.arrays
        if "merged" in self.file.facts:
            self._writer.__exit__(None, None, None)
            raise UserError(f"{self.folder.name} was merged from parts: more tokens can only be added to the parts")
        if state:
            self._accumulators.restore(state)
            self._documents.restore(state)
            self.source.restore(state)
            if self.features:
                self._feature_counts = np.array(state["feature_counts"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # A cancel keeps what is done; anything else may have left a block half added.
            if error is None or type(error).__name__ in ("Cancelled", "GeneratorExit"):
                if self._dirty or not self.file.state:
                    self.checkpoint()
                self._writer.finish()
        finally:
            self._aside.close()
            self._writer.__exit__(kind, error, trace)

    # --- the pass ------------------------------------------------------------------------------------

    def blocks(self, report: Report | None = None) -> Iterator[Block]:
        """The blocks still to be done. Ends when `token_goal` tokens are counted, or at the end of the corpus."""
        progress = self.file.progress
        progress.done = progress.exhausted = False
        switches = self.model.rotations.switches(1, self.settings.context)
        stream = blocks(tokenise(self.model, self.corpus), self.settings, self.bos, switches)
        for number, (read, block) in enumerate(stream):
            for document, ids in read:
                self._writer.add_document(document, ids)
            if number < progress.blocks:
                continue
            if self.tokens >= self.token_goal:
                break
            yield block
            if report is not None:
                report.progress.done = self.tokens
        else:
            progress.exhausted = True
        progress.done = True
        self._dirty = True
        if not self.tokens:
            raise UserError(
                f"the corpus {self.corpus.info.spec} has no token to count: its documents are shorter than two tokens"
            )

    def add(self, block: Block, report: Report | None = None) -> None:
        """Run the model on a block and add what its neurons do. Raises UserError where activations are no numbers."""
        tensors = self._prepared(block)
        self._run(block, tensors, report)
        self._check(tensors)
        self._aside.wait()
        self._accumulators.end_block(self._log)
        self._count(block, tensors)
        self._dirty = True
        if time.monotonic() - self._saved > self._pause:
            self.checkpoint()

    def _prepared(self, block: Block) -> BlockTensors:
        return self._accumulators.begin_block(block, self.features.by_half(block) if self.features else [])

    def _run(self, block: Block, tensors: BlockTensors, report: Report | None) -> None:
        """A block's pass; in parts where memory runs out. A layer that was added before it did is not added again."""
        n_rows = len(block.lengths)
        row_sums = self._accumulators.row_sums
        added = np.zeros(n_rows, dtype=np.int64)  # of each row: layers so far
        for batch in batches(range(n_rows), self._rows_fitting(n_rows), report, self.model, progress_per_row=0):
            rows = slice(batch.start, batch.start + len(batch.rows))
            part = tensors if len(batch.rows) == n_rows else self._prepared(block.part(rows.start, rows.stop))
            before = int(added[rows.start])
            with batch:
                ids = torch.from_numpy(part.block.ids).to(self._device)
                # A block is added whole: a cancel is noticed between blocks.
                hooks, stop = self._hooks(part, added[rows]), self.source.stop
                run_pass(self.model, ids, head=None, watch=hooks, stop=stop, cancellable=False)
            if part is not tensors:
                after = int(added[rows.start])
                row_sums[rows, before:after] = self._accumulators.row_sums[:, before:after]
        self._accumulators.row_sums = row_sums

    def _rows_fitting(self, n_rows: int) -> int:
        """How many of a block's rows go together: all, or as many as fit into the free memory."""
        free, n_features = free_memory(self.model.info.device), len(self.features.names if self.features else [])
        units, info = self.source.units, self.model.info
        while n_rows > 1 and block_bytes(units, self.settings, info, n_rows, n_features) > SHARE * free:
            n_rows //= 2
        return n_rows

    def _hooks(self, tensors: BlockTensors, added: np.ndarray) -> dict[Site, Hook]:
        """For the layers that are not added yet; `added` [row] counts on, all rows alike."""

        def add(layer: int, activation: torch.Tensor) -> None:
            try:
                self._accumulators.layer(layer, activation, tensors, self._log)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # A layer that is half added can't be taken back.
                raise UserError(
                    f"out of memory on {self.model.info.device} in an index block: free memory and run the same "
                    f"command again, which goes on from the last checkpoint"
                ) from None
            added[:] = layer + 1

        def keep(part: str, activation: torch.Tensor) -> None:
            self._accumulators.keep_part(part, activation, tensors)

        return self.source.hooks(int(added[0]), add, keep)

    def _check(self, tensors: BlockTensors) -> None:
        wrong = ~torch.isfinite(self._accumulators.row_sums)
        if wrong.any():
            row, layer, index = (int(x) for x in wrong.nonzero()[0])
            why = not_finite_row(self.model, tensors.block, row)
            raise UserError(
                f"{self.source.unit(layer, index)} is not a number {why}. The index stops at its last checkpoint"
            )

    def _count(self, block: Block, tensors: BlockTensors) -> None:
        counts, progress = self.file.counts, self.file.progress
        per_row = block.lengths - 1
        row_sums = self._accumulators.row_sums.flatten(1).cpu().numpy()
        self._aside.do(lambda: self._documents.add(block.documents, row_sums, per_row, block.closes, counts))
        counts.tokens[0] += int(per_row[: block.first_half].sum())
        counts.tokens[1] += int(per_row[block.first_half :].sum())
        counts.sampled += len(tensors.sample)
        counts.skipped += len(per_row)
        for half, features in enumerate(tensors.features):
            self._feature_counts[half] += sum_float64(features, 1).long().cpu().numpy()
        progress.blocks += 1
        progress.tokens = sum(counts.tokens)

    def _log(self, name: str, slots: np.ndarray, windows: np.ndarray) -> None:
        self._aside.do(lambda: self._writer.log(name, slots, windows))

    # --- checkpoints ---------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Commit everything so far."""
        began = time.monotonic()
        self._aside.wait()
        self.file.progress.documents = self.file.counts.closed_documents + len(self._documents.open)
        arrays = self._accumulators.arrays() | self._documents.arrays()
        if self.features:
            arrays["feature_counts"] = self._feature_counts
        self.file.seconds += began - self._begun
        columns = self.source.columns(arrays, self.file)
        self._writer.checkpoint(arrays, columns)
        self._begun = self._saved = time.monotonic()
        self._pause = min(max(CHECKPOINT, 20 * (self._saved - began)), LONGEST_PAUSE)
        self._dirty = False
