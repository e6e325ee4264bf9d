"""What indexing every neuron costs, beside running the model and beside what people use now.

Side by side on the same full windows of the standard library, chunk by chunk in turn, each side at its own best batch.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.benchmarks.measure import Results, median

CONTEXT = 256
ROWS = 8
"""windows of a chunk: 2,048 tokens"""
CHUNKS = 8
TOP = 20
PEER_SECONDS = 274.0
"""interpkit 0.7 `maxact`, one neuron, 256 short texts, measured on the two-core machine (not run again here)"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    import torch

    from workbench.index.format import weights_folder_name
    from workbench.index.store import indexes_dir
    from workbench.lab.finding.fingerprint import fingerprint
    from workbench.lab.finding.source import resolve
    from workbench.lab.indexing.weights_index import build_weights
    from workbench.lab.model import load_lab

    torch.set_num_threads(2)
    source = resolve("default")
    lab = load_lab(source)
    lab.set_fingerprint(fingerprint(source))
    model = lab.model
    documents = _documents(model)
    _ratios(results, model, documents)
    _going_on(results, model, documents)
    _against_a_loop(results, model, documents)
    _short_texts(results, model)
    shutil.rmtree(indexes_dir() / weights_folder_name(model.info), ignore_errors=True)
    began = time.perf_counter()
    browsable = 0.0
    for done in build_weights(model):
        if not browsable and (indexes_dir() / weights_folder_name(model.info) / "index.json").exists():
            browsable = time.perf_counter() - began
        del done
    took = time.perf_counter() - began
    words = f"{browsable:.0f} s (with all neighbours: {took:.0f} s)"
    results.add(f"weights part of {model.info.n_neurons:,} neurons, to browse it", "≤ 60 s", words, browsable <= 60)


def _documents(model: Any) -> list[tuple[int, np.ndarray]]:
    """Documents of whole windows only, so that neither side has padding; as many as the chunks need."""
    from workbench.datasets.corpora import open_corpus
    from workbench.lab.indexing.build import tokenise

    documents: list[tuple[int, np.ndarray]] = []
    windows = 0
    for number, ids in tokenise(model, open_corpus("stdlib")):
        n = min(len(ids) // CONTEXT, 4)
        if n:
            documents.append((number, ids[: n * CONTEXT]))
            windows += n
        if windows >= (CHUNKS + 1) * ROWS:
            return documents
    raise AssertionError("the standard library is too short")


def _chunks(documents: list[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """int64 [row, position] each, in the corpus' order."""
    rows = np.concatenate([ids.reshape(-1, CONTEXT) for _, ids in documents]).astype(np.int64)
    return [rows[start : start + ROWS] for start in range(0, len(rows) - ROWS + 1, ROWS)]


class _LeftError(Exception):
    """A build that is left as it is."""


class _Index:
    """A build that is fed a chunk at a time."""

    def __init__(self, model: Any, documents: list[tuple[int, np.ndarray]], rows: int, explain: bool) -> None:
        from workbench.datasets.corpora import Corpus
        from workbench.index.format import CorpusInfo
        from workbench.index.store import indexes_dir
        from workbench.lab.indexing import build as indexing

        settings = indexing.default_settings(model.info, CONTEXT, TOP, explain)
        settings = msgspec.structs.replace(settings, block_tokens=rows * CONTEXT, shelf_blocks=max(1, ROWS // rows))
        info = CorpusInfo(name=f"bench-{rows}-{explain}", spec="bench", hash="0" * 64, documents=len(documents))
        self.build = indexing.IndexBuild(model, Corpus(info, []), settings, 1 << 60, indexes_dir() / info.name)
        self._documents, self._settings, self._rows = documents, settings, rows
        self._blocks: Iterator[Any] = iter(())

    def __enter__(self) -> _Index:
        from workbench.lab.indexing.blocks import blocks

        self.build.__enter__()
        self._blocks = blocks(iter(self._documents), self._settings, None)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.build.__exit__(kind, error, trace)

    def chunk(self) -> None:
        for _ in range(ROWS // self._rows):
            read, block = next(self._blocks)
            for number, ids in read:
                self.build._writer.add_document(number, ids)
            self.build.add(block)


def _bare(model: Any, rows: int) -> Callable[[np.ndarray], None]:
    import torch

    def forward(chunk: np.ndarray) -> None:
        with torch.inference_mode():
            for start in range(0, len(chunk), rows):
                model.hf(input_ids=torch.from_numpy(chunk[start : start + rows]), use_cache=False)

    return forward


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _best_rows(cost: Callable[[int], float]) -> int:
    """Rows of a batch with the least time for a chunk, the better of two tries each."""
    return min((1, 2, 4, 8), key=lambda rows: min(cost(rows), cost(rows)))


def _ratios(results: Results, model: Any, documents: list[tuple[int, np.ndarray]]) -> None:
    chunks = _chunks(documents)
    _bare(model, 2)(chunks[0])  # warm
    bare_rows = _best_rows(lambda rows: _timed(lambda: _bare(model, rows)(chunks[0])))

    def index_cost(rows: int) -> float:
        with _Index(model, documents, rows, explain=False) as index:
            index.chunk()  # filling the lists is not what a long build does
            return _timed(index.chunk)

    index_rows = _best_rows(index_cost)
    bare = _bare(model, bare_rows)
    times: dict[str, list[float]] = {"bare": [], "index": [], "explain": []}
    memory = []
    with _Index(model, documents, index_rows, False) as plain, _Index(model, documents, index_rows, True) as explained:
        for chunk in chunks[:CHUNKS]:
            times["bare"].append(_timed(lambda chunk=chunk: bare(chunk)))  # type: ignore[misc]
            times["index"].append(_timed(plain.chunk))
            times["explain"].append(_timed(explained.chunk))
            memory.append(_anonymous())
        finish = _timed(plain.build.checkpoint)
    tokens = ROWS * CONTEXT
    for name, goal, words in (("index", 1.0, ""), ("explain", 0.85, " with --explain")):
        ratio = sum(times["bare"]) / sum(times[name])
        middle = median([a / b for a, b in zip(times["bare"], times[name], strict=True)])
        rates = [len(times[side]) * tokens / sum(times[side]) for side in (name, "bare")]
        results.add(
            f"indexing {model.info.n_neurons:,} neurons{words}, {len(times[name]) * tokens:,} tokens from empty lists, "
            f"{len(times[name])} interleaved chunks, batch {index_rows} × {CONTEXT} (bare: {bare_rows} × {CONTEXT})",
            f"≥ {goal:g} × the bare forward's tokens/s, with its logits",
            f"{ratio:.2f} × (median {middle:.2f}; {rates[0]:.0f} against {rates[1]:.0f} tokens/s; "
            f"a checkpoint {finish:.1f} s)",
            ratio >= goal,
        )
    grown = (memory[-1] - memory[len(memory) // 2]) / 2**20
    results.add(
        f"memory from {len(memory) // 2 * tokens:,} to {len(memory) * tokens:,} tokens, two builds",
        "grows by < 64 MiB",
        f"{grown:+.0f} MiB of {memory[-1] / 2**20:.0f} MiB",
        grown < 64,
    )


def _going_on(results: Results, model: Any, documents: list[tuple[int, np.ndarray]]) -> None:
    """The same where the lists are full, with README's index: as nearly all of a long build is."""
    from workbench.index.format import read_index_file
    from workbench.index.store import indexes_dir
    from workbench.index.writer import IndexWriter

    folder = next(indexes_dir().glob("stdlib-*"), None)
    if folder is None:
        print("no index of the standard library to go on with: README's command builds one", flush=True)
        return
    file = read_index_file(folder)
    with IndexWriter(folder, file) as writer:
        state = {name: np.array(array) for name, array in writer.arrays.items()}
    rows = file.settings.block_tokens // CONTEXT
    bare = _bare(model, 1)
    tokens = sum(file.counts.tokens)
    for explain in (False, file.settings.explain):
        times: dict[str, list[float]] = {"bare": [], "index": []}
        # The lists name documents that this build has not read: it ends without a checkpoint.
        with contextlib.suppress(_LeftError), _Index(model, documents, rows, explain) as index:
            index.build._pause = float("inf")
            index.build._accumulators.restore(state)
            index.chunk()
            for chunk in _chunks(documents)[1:CHUNKS]:
                times["bare"].append(_timed(lambda chunk=chunk: bare(chunk)))  # type: ignore[misc]
                times["index"].append(_timed(index.chunk))
            raise _LeftError
        goal = 0.85 if explain else 1.0
        ratio = sum(times["bare"]) / sum(times["index"])
        middle = median([a / b for a, b in zip(times["bare"], times["index"], strict=True)])
        words = " with --explain" if explain else ""
        rates = [len(times[side]) * ROWS * CONTEXT / sum(times[side]) for side in ("index", "bare")]
        results.add(
            f"the same{words}, lists full ({tokens:,} tokens seen), batch {rows} × {CONTEXT} (bare: 1 × {CONTEXT})",
            f"≥ {goal:g} × the bare forward's tokens/s, with its logits",
            f"{ratio:.2f} × (median {middle:.2f}; {rates[0]:.0f} against {rates[1]:.0f} tokens/s)",
            ratio >= goal,
        )


def _anonymous() -> int:
    """Private memory in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def _against_a_loop(results: Results, model: Any, documents: list[tuple[int, np.ndarray]]) -> None:
    """A `run_with_cache` loop with NumPy top-k, for the highest examples alone, against everything an index keeps."""
    import torch

    chunks, rows = _chunks(documents)[:2], 2
    owner = np.concatenate([np.full(len(ids) // CONTEXT, number) for number, ids in documents])
    n = model.info.n_neurons
    best = np.full((0, n), -np.inf, dtype=np.float32)
    of: np.ndarray = np.zeros((0, n), dtype=np.int64)
    began = time.perf_counter()
    for number, chunk in enumerate(chunks):
        for start in range(0, ROWS, rows):
            _, cache = model.bridge.run_with_cache(
                torch.from_numpy(chunk[start : start + rows]),
                names_filter=lambda name: name.endswith("mlp.out.hook_in"),
            )
            layers = [cache[f"blocks.{layer}.mlp.out.hook_in"].numpy() for layer in range(model.info.n_layers)]
            whole = np.concatenate(layers, axis=2)
            for row in range(rows):
                document = owner[number * ROWS + start + row]
                highest = whole[row, 1:].max(axis=0)
                same = of == document
                highest = np.maximum(highest, np.where(same, best, -np.inf).max(axis=0, initial=-np.inf))
                best = np.concatenate([np.where(same, -np.inf, best), highest[None]])
                of = np.concatenate([of, np.full((1, n), document)])
                keep = np.argsort(-best, axis=0)[:TOP]
                best, of = np.take_along_axis(best, keep, 0), np.take_along_axis(of, keep, 0)
    loop = time.perf_counter() - began
    with _Index(model, documents, rows, explain=False) as index:
        ours = sum(_timed(index.chunk) for _ in chunks)
        values = index.build._accumulators.arrays()["example_values"][0]
    expected = best.T[:, : values.shape[1]]
    ordered = -np.sort(-values, axis=1)[:, : expected.shape[1]]
    finite = np.isfinite(expected)
    equal = bool(np.allclose(ordered[finite], expected[finite], rtol=1e-4, atol=1e-4))
    results.add(
        f"against run_with_cache and NumPy top-{TOP} (highest examples alone), {len(chunks) * ROWS * CONTEXT:,} tokens",
        "faster, equal results",
        f"{loop / ours:.1f} × faster ({ours:.1f} s against {loop:.1f} s), {'equal' if equal else 'NOT equal'}",
        equal and ours < loop,
    )


def _short_texts(results: Results, model: Any) -> None:
    """256 short texts, every neuron, against a packaged tool's one neuron."""
    from workbench.datasets.corpora import Corpus, open_corpus
    from workbench.index.format import CorpusInfo
    from workbench.index.store import indexes_dir
    from workbench.lab.indexing import build as indexing

    texts = [text.strip()[:120] for text in open_corpus("stdlib").texts][:256]
    info = CorpusInfo(name="bench-short", spec="bench", hash="1" * 64, documents=len(texts))
    settings = indexing.default_settings(model.info, CONTEXT, TOP, False)
    build = indexing.IndexBuild(model, Corpus(info, texts), settings, 1 << 60, indexes_dir() / info.name)
    began = time.perf_counter()
    with build:
        for block in build.blocks():
            build.add(block)
    took = time.perf_counter() - began
    results.add(
        f"{len(texts)} short texts, all {model.info.n_neurons:,} neurons, written to disk",
        f"< {PEER_SECONDS:.0f} s, interpkit 0.7 maxact for one neuron",
        f"{took:.0f} s ({build.tokens:,} tokens)",
        took < PEER_SECONDS,
    )
