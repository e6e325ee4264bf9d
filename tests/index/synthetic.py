"""An index made of random numbers, in the format of a real one: for screens, filters and timings without a model."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np

from workbench.index import bins, format, statistics
from workbench.index.families import family_bits, first_family, memberships
from workbench.index.format import SIGN_TOP, WINDOW, CorpusInfo, Counts, IndexFile, IndexSettings
from workbench.model_info import ModelInfo

FEATURES = [
    "is_capitalised", "is_month", "is_digit", "is_punctuation", "prev_is_comma", "prev_is_self", "pos_1_3", "letter_a",
]  # fmt: skip
WORDS = [
    "",
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "Paris",
    "May",
    "June",
    "January",
    "self",
    "args",
    ")",
    "(",
    ",",
    ".",
    "10",
    "Inc",
    "print",
    "return",
    "日本",
    "naïve",
    "\n\n",
]


def make(
    folder: Path | str, n_layers: int = 4, d_mlp: int = 64, seed: int = 0, top: int = 4, data: bool = True
) -> Path:
    """Write a weights folder and (with `data`) a data folder beside it into `folder`; returns the one to open.

    500,000 neurons with top 4 take about 700 MB.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n = n_layers * d_mlp
    model = ModelInfo(
        name="Synthetic", ref="synthetic", fingerprint=f"{seed:04d}{n_layers:04d}{d_mlp:08d}".ljust(64, "0"),
        architecture="LlamaForCausalLM", n_layers=n_layers, n_heads=4, n_kv_heads=2, d_model=64, d_head=16, d_mlp=d_mlp,
        d_vocab=1000, n_ctx=256, gated_mlp=True,
    )  # fmt: skip
    vocab = [" " + word if number % 2 and word else word or " " for number, word in enumerate(WORDS)]
    vocab += [f" w{number}" for number in range(len(vocab), 1000)]

    def normal(scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(n)).astype(np.float32)

    weights = {
        "w_in": np.abs(normal()) + 1, "w_gate": np.abs(normal()) + 1, "w_out": np.abs(normal()) + 1,
        "bias": np.zeros(n, np.float32), "cos": np.tanh(normal(0.2)), "cos_gate": np.tanh(normal(0.2)),
        "vocab_var": 0.002 * np.exp(normal(0.7)), "vocab_skew": normal(), "vocab_kurtosis": 3 + np.exp(normal(1.2)),
        "rho": 0.25 + 0.1 * np.abs(normal()),
    }  # fmt: skip
    weights = {name: values.astype(np.float32) for name, values in weights.items()}
    for name, sign in (("promoted", 1), ("suppressed", -1)):
        weights[f"{name}_tokens"] = rng.integers(0, 1000, (n, 10), dtype=np.int32)
        weights[f"{name}_values"] = (
            sign * np.sort(np.abs(rng.standard_normal((n, 10), dtype=np.float32)))[:, ::-1]
        ).astype(np.float32)
    for name in ("in", "out"):
        weights[f"near_{name}_ids"] = rng.integers(0, n, (n, 5), dtype=np.int32)
        weights[f"near_{name}_cos"] = np.sort(rng.random((n, 5), dtype=np.float32))[:, ::-1]
    met = memberships(weights, model, 0.2, [])
    weights |= {"family": first_family(met), "families": family_bits(met)}
    home = root / format.weights_folder_name(model)
    home.mkdir(exist_ok=True)
    (home / "vocab.json").write_bytes(msgspec.json.encode(vocab))
    shapes = format.write_arrays(home / "state-000001", weights)
    file = IndexFile(
        kind="weights", model=model, revision=1, state="state-000001", shapes=shapes, created=time.time(),
        facts={"rho_chance": 0.2}, progress=format.BuildProgress(done=True),
    )  # fmt: skip
    format.write_index_file(home, file)
    return _make_data(root, model, weights, rng, top) if data else home


def _make_data(
    root: Path, model: ModelInfo, weights: dict[str, np.ndarray], rng: np.random.Generator, top: int
) -> Path:
    n, documents, length = model.n_neurons, 50, 200
    settings = IndexSettings(top=top, explain=True)
    corpus = CorpusInfo(name="synthetic", spec="synthetic", hash="5" * 64, documents=documents)
    folder = root / format.data_folder_name(model, corpus, settings)
    folder.mkdir(exist_ok=True)
    tokens = rng.integers(0, 60, documents * length, dtype=np.int32)
    np.save(folder / "tokens.npy", tokens)
    per_document = np.stack([np.arange(documents), np.arange(documents) * length, np.full(documents, length)], axis=1)
    scale = np.exp(rng.standard_normal(n))
    half = 5000
    sums = np.stack([half * scale**power * (0.1, 1.0, 0.5, 20.0)[power - 1] for power in (1, 2, 3, 4)])
    sums = np.stack([sums, sums])
    values = np.sort(np.abs(rng.standard_normal((2, n, top), dtype=np.float32)) * 5 + 1)[:, :, ::-1].copy()
    values[1] *= -0.1
    windows = np.lib.format.open_memmap(folder / "windows.npy", "w+", np.float16, (2, n, top, WINDOW))
    noise = rng.standard_normal((2, min(n, 4096), top, WINDOW)).astype(np.float16)
    for start in range(0, n, 4096):
        windows[:, start : start + 4096] = noise[:, : min(4096, n - start)]
    windows[:, :, :, WINDOW // 2] = values
    windows.flush()
    sign_windows = np.lib.format.open_memmap(folder / "sign_windows.npy", "w+", np.float16, (4, n, SIGN_TOP, WINDOW))
    sign_windows.flush()
    example_documents = rng.integers(0, documents, (2, n, top), dtype=np.int32)
    positions = rng.integers(1, length, (2, n, top), dtype=np.int32)
    counts_per_bin = np.zeros((n, bins.BINS), dtype=np.uint32)
    counts_per_bin[:, 110:175] = rng.integers(0, 20, (n, 65))
    sign_fractions = rng.dirichlet([1, 1, 1, 1], n).T
    arrays = {
        "sums": sums,
        "positive_counts": rng.integers(0, 2 * half, n),
        "positive_squares": sums[:, 1].sum(axis=0) * rng.random(n),
        "minimum": values[1, :, 0].copy(),
        "maximum": values[0, :, 0].copy(),
        "clusters": np.stack([sums[0, 1] * 400, sums[0, 0] * 400]),
        "open_documents": np.zeros(0, np.int32),
        "open_sums": np.zeros((0, n)),
        "open_counts": np.zeros(0, np.int64),
        "histogram": counts_per_bin,
        "documents": per_document,
        "example_values": values,
        "example_documents": example_documents,
        "example_positions": positions,
        "peak_tokens": tokens[example_documents * length + positions],
        "sign_counts": (600 * sign_fractions).astype(np.int64),
        "sign_sums": rng.standard_normal((4, 2, n)) ** 2,
        "sign_values": rng.standard_normal((4, n, SIGN_TOP), dtype=np.float32),
        "sign_documents": rng.integers(0, documents, (4, n, SIGN_TOP), dtype=np.int32),
        "sign_positions": rng.integers(1, length, (4, n, SIGN_TOP), dtype=np.int32),
        "part_sums": np.abs(rng.standard_normal((2, 2, n))) * 100,
        "part_extremes": np.stack([np.full((2, n), -3.0), np.full((2, n), 3.0)], axis=1).astype(np.float32),
    }
    counts = Counts(tokens=[half, half], sampled=600, closed_documents=documents, closed_squares=documents * 200.0**2)
    columns = statistics.columns(arrays, counts)
    columns |= {
        "best": rng.integers(-1, len(FEATURES), n).astype(np.int16),
        "vr": rng.random(n, dtype=np.float32) ** 4,
        "vr_chosen": rng.random(n, dtype=np.float32),
        "best_sign": rng.choice(np.array([-1, 1], np.int8), n),
    }
    met = memberships(weights | columns, model, 0.2, FEATURES)
    columns |= {"family": first_family(met), "families": family_bits(met)}
    shapes = format.write_arrays(folder / "state-000001", arrays | columns)
    file = IndexFile(
        kind="data", model=model, corpus=corpus, settings=settings, counts=counts, features=FEATURES, revision=1,
        state="state-000001", shapes=shapes, created=time.time(),
        progress=format.BuildProgress(blocks=5, documents=documents, tokens=2 * half, goal=2 * half, done=True),
    )  # fmt: skip
    format.write_index_file(folder, file)
    return folder
