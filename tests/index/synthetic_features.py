"""An index of an SAE's features made of random numbers, beside a synthetic one of neurons, and its SAE registered."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from workbench.artifacts.sae import SaeConfig, register
from workbench.index import format
from workbench.index.derived import feature_columns
from workbench.index.format import WINDOW, CorpusInfo, Counts, IndexedSae, IndexFile, IndexSettings
from workbench.index.reader import NeuronIndex
from workbench.lab.sae import make_sae, write_sae

DOCUMENTS, LENGTH = 40, 100


def registered(name: str = "res-1", d_sae: int = 90, seed: int = 0) -> IndexedSae:
    """An SAE of the synthetic model's layer 1."""
    config = SaeConfig(
        kind="standard", d_in=64, d_sae=d_sae, d_out=64, subtracts_b_dec=True, hook="blocks.1.hook_resid_post"
    )
    g = torch.Generator().manual_seed(seed)
    tensors = {
        "W_enc": torch.randn(64, d_sae, generator=g), "b_enc": torch.zeros(d_sae),
        "W_dec": torch.randn(d_sae, 64, generator=g), "b_dec": torch.zeros(64),
    }  # fmt: skip
    sae = make_sae(config, tensors)
    artifact = register(name, config, lambda folder: write_sae(sae, folder))
    return IndexedSae(name=name, hash=artifact.hash, layer=1, site="L1.resid_post", width=d_sae)


def make_features(neurons: NeuronIndex, sae: IndexedSae, top: int = 4) -> Path:
    """Written beside `neurons`, whose model and vocabulary it is of; feature 0 never fires."""
    rng = np.random.default_rng(sae.width)
    n, settings = sae.width, IndexSettings(top=top)
    corpus = CorpusInfo(name="synthetic", spec="synthetic", hash="5" * 64, documents=DOCUMENTS)
    folder = neurons.folder.parent / format.data_folder_name(neurons.info, corpus, settings, sae)
    folder.mkdir()
    tokens = rng.integers(0, 60, DOCUMENTS * LENGTH, dtype=np.int32)
    np.save(folder / "tokens.npy", tokens)
    f = np.maximum(rng.standard_normal((DOCUMENTS, LENGTH, n)) * 3 - np.linspace(1, 7, n), 0).astype(np.float32)
    f[:, 0] = f[:, :, 0] = 0
    best = f.argmax(axis=1)  # [document, feature]
    values = np.take_along_axis(f, best[:, None], axis=1)[:, 0]
    order = np.argsort(-values, axis=0, kind="stable")[:top].T  # [feature, slot]
    positions = np.take_along_axis(best.T, order, axis=1)
    values = np.take_along_axis(values.T, order, axis=1)
    windows = np.lib.format.open_memmap(folder / "windows.npy", "w+", np.float16, (1, n, top, WINDOW))
    for feature in range(n):
        for slot in range(top):
            at = positions[feature, slot] + np.arange(WINDOW) - WINDOW // 2
            inside = (at >= 0) & (at < LENGTH)
            windows[0, feature, slot, inside] = f[order[feature, slot], at[inside], feature]
    windows.flush()
    filled = values > 0
    flat = f.reshape(-1, n).astype(np.float64)
    sums = np.stack([(flat**power).sum(axis=0) for power in (1, 2, 3, 4)])
    documents = np.where(filled, order, -1).astype(np.int32)
    counts_per_bin = np.zeros((n, format.BINS), np.uint32)
    counts_per_bin[:, 128] = (flat == 0).sum(axis=0)
    counts_per_bin[:, 190:200] = rng.integers(0, 20, (n, 10))
    arrays = {
        "sums": np.stack([sums, np.zeros_like(sums)]),
        "positive_counts": (flat > 0).sum(axis=0),
        "positive_squares": sums[1],
        "minimum": f.min(axis=(0, 1)),
        "maximum": f.max(axis=(0, 1)),
        "clusters": np.stack([sums[0] ** 2 / DOCUMENTS, sums[0] * LENGTH]),
        "open_documents": np.zeros(0, np.int32),
        "open_sums": np.zeros((0, n)),
        "open_counts": np.zeros(0, np.int64),
        "histogram": counts_per_bin,
        "documents": np.stack(
            [np.arange(DOCUMENTS), np.arange(DOCUMENTS) * LENGTH, np.full(DOCUMENTS, LENGTH)], axis=1
        ),
        "example_values": np.where(filled, values, 0).astype(np.float32)[None],
        "example_documents": documents[None],
        "example_positions": positions.astype(np.int32)[None],
        "peak_tokens": np.where(filled, tokens[order * LENGTH + positions], -1).astype(np.int32)[None],
    }
    weights = {
        "decoder": (1 + rng.random(n)).astype(np.float32),
        "vocab_var": (0.002 * np.exp(rng.standard_normal(n))).astype(np.float32),
        "vocab_skew": rng.standard_normal(n).astype(np.float32),
        "vocab_kurtosis": (3 + np.exp(rng.standard_normal(n))).astype(np.float32),
    }
    for name, sign in (("promoted", 1), ("suppressed", -1)):
        weights[f"{name}_tokens"] = rng.integers(0, 1000, (n, 10), dtype=np.int32)
        weights[f"{name}_values"] = (sign * np.sort(rng.random((n, 10)))[:, ::-1]).astype(np.float32)
    half = DOCUMENTS * LENGTH // 2
    file = IndexFile(
        kind="features", model=neurons.info, sae=sae, corpus=corpus, settings=settings,
        counts=Counts(tokens=[half, half], sampled=DOCUMENTS * LENGTH, closed_documents=DOCUMENTS),
        revision=1, state="state-000001", created=time.time(),
        progress=format.BuildProgress(documents=DOCUMENTS, tokens=2 * half, goal=2 * half, done=True),
    )  # fmt: skip
    columns = feature_columns(arrays, file, weights)
    file.shapes = format.write_arrays(folder / "state-000001", arrays | columns)
    format.write_index_file(folder, file)
    return folder
