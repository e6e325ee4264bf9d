"""Building an index: its numbers against plain hooks, its rate against the bare forward, the memory that it takes."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from tests.gpu.models import Subject, Subjects
from tests.gpu.record import Record
from tests.tiny import TEXT
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.index.format import neurons_of, open_array
from workbench.index.memory import block_bytes
from workbench.lab.indexing.blocks import Block
from workbench.lab.indexing.build import IndexBuild, default_settings
from workbench.lab.indexing.weights_index import build_weights

BLOCKS = 6


def run(subjects: Subjects, record: Record) -> None:
    # A rate beside the forward's does not depend on how many layers there are; the weights part of all takes minutes.
    for shape in ("1B", "8B, 4 layers"):
        subject = subjects.get(shape, "bfloat16")
        subject.lab.model.clean.clear()
        _weights(subject, record)
        _data(subject, subjects, record)


def _weights(subject: Subject, record: Record) -> None:
    """The part that follows from the weights alone, which a data index is built beside."""
    steps = list(_timed_steps(build_weights(subject.lab.model)))
    seconds = sum(steps)
    record.figure(
        f"{subject.label}, the weights part of {subject.lab.info.n_neurons:,} neurons",
        f"{seconds:.1f} s, the longest step {max(steps):.2f} s",
        seconds=seconds,
        longest_step=max(steps),
    )


def _timed_steps(steps: Iterator[str]) -> Iterator[float]:
    began = time.perf_counter()
    for _ in steps:
        yield time.perf_counter() - began
        began = time.perf_counter()


def _corpus(n_tokens: int) -> Corpus:
    """Documents of the tests' words in random order, of 50 to 1,000 words."""
    draw = random.Random(0)
    words = TEXT.split()
    texts = []
    while n_tokens > 0:
        texts.append(" ".join(draw.choices(words, k=draw.randrange(50, 1000))))
        n_tokens -= len(texts[-1].split())
    return Corpus(CorpusInfo(name="random", spec="random", hash=f"{0:064d}", documents=len(texts)), texts)


def _data(subject: Subject, subjects: Subjects, record: Record) -> None:
    model, device = subject.lab.model, subjects.device
    settings = default_settings(model.info, 256, 20, explain=False)
    corpus = _corpus((BLOCKS + 2) * settings.block_tokens)
    goal = BLOCKS * settings.block_tokens * 9 // 10
    build = IndexBuild(model, corpus, settings, goal)
    seen: list[Block] = []
    rates: list[float] = []
    bare_rates: list[float] = []
    with build:
        for block in build.blocks():
            if not seen:
                _, used = device.peak(lambda block=block: build.add(block))
                _memory(subject, build, block, used, record)
            else:
                rates.append(block.tokens / _seconds(lambda block=block: build.add(block), device))
                ids = torch.from_numpy(block.ids).to(device.name)
                bare_rates.append(block.tokens / _seconds(lambda ids=ids: _bare(subject, ids), device))
            seen.append(block)
        rate, bare_rate = statistics.median(rates), statistics.median(bare_rates)
        record.figure(
            f"{subject.label}, indexing in blocks of {settings.block_tokens:,} tokens",
            f"{rate:,.0f} tokens/s, the bare forward {bare_rate:,.0f} (without its unembedding), "
            f"ratio {rate / bare_rate:.2f}",
            tokens_per_second=rate,
            bare_tokens_per_second=bare_rate,
            block_tokens=settings.block_tokens,
        )
        began = time.perf_counter()
    record.figure(f"{subject.label}, the index' last checkpoint", f"{time.perf_counter() - began:.1f} s")
    _compared(subject, build, seen, record)


def _seconds(work: Any, device: Any) -> float:
    device.synchronise()
    started = time.perf_counter()
    work()
    device.synchronise()
    return time.perf_counter() - started


def _bare(subject: Subject, ids: torch.Tensor) -> None:
    with torch.no_grad():
        subject.plain.model.base_model(input_ids=ids, use_cache=False)


def _memory(subject: Subject, build: IndexBuild, block: Block, used: int, record: Record) -> None:
    info = subject.lab.info
    estimate = block_bytes(neurons_of(info), build.settings, info, len(block.ids), 0)
    record.figure(
        f"{subject.label}, memory of a block of {block.ids.size:,} tokens",
        f"{used / 2**20:,.0f} MiB, estimated {estimate / 2**20:,.0f}; accumulators {build.memory / 2**20:,.0f}",
        used=used,
        estimate=estimate,
        accumulators=build.memory,
    )


def _compared(subject: Subject, build: IndexBuild, seen: list[Block], record: Record) -> None:
    """Largest activation and sum of every neuron of one layer."""
    info = subject.lab.info
    layer = info.n_layers // 2
    neurons = slice(layer * info.d_mlp, (layer + 1) * info.d_mlp)
    state = build.folder / build.file.state
    highest = np.array(open_array(state, "maximum")).reshape(-1)[neurons]
    total = np.array(open_array(state, "sums"))[:, 0].sum(0)[neurons]
    reference_highest = np.full(info.d_mlp, -np.inf, np.float32)
    reference_total, magnitude = np.zeros(info.d_mlp), np.zeros(info.d_mlp)
    for block in seen:
        ids = torch.from_numpy(block.ids).to(info.device)
        activation = subject.plain.read(ids, layer, "mlp_post").float()
        counted = activation[torch.from_numpy(block.counted).to(info.device)]
        reference_highest = np.maximum(reference_highest, counted.amax(0).cpu().numpy())
        reference_total += counted.sum(0, dtype=torch.float64).cpu().numpy()
        magnitude += counted.abs().sum(0, dtype=torch.float64).cpu().numpy()
    off = float(np.abs(highest - reference_highest).max() / np.abs(reference_highest).max())
    off_total = float((np.abs(total - reference_total) / magnitude).max())
    record.check(
        f"{subject.label}, the largest activation of each of {info.d_mlp:,} neurons beside plain hooks",
        off <= 0.01,
        "equal" if off == 0 else f"off by {off:.2g} of the largest",
        difference=off,
    )
    record.check(
        f"{subject.label}, sums of activations beside plain hooks",
        off_total <= 1e-3,
        f"off by {off_total:.2g} of the sum of magnitudes, over {sum(block.tokens for block in seen):,} tokens",
        difference=off_total,
    )
