"""What taking activations for probes costs beside the bare forward: the same windows in the same batches, in turn.

One token of each short text, as facts and compound words are read; the mean over each text, which reads everything and
keeps little; and every token of whole windows, the most that a set can read.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measure import Results

TOKENS = 8192
"""of each set"""
SETS = (("the last token of each text", 32), ("the mean over each text", 128), ("every token", 128))


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    import torch

    from workbench.lab.finding.fingerprint import fingerprint
    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab

    torch.set_num_threads(2)
    source = resolve("default")
    lab = load_lab(source)
    lab.set_fingerprint(fingerprint(source))
    ids = _ids(lab.model)
    _timed(lab, _examples(ids[:1024].reshape(-1, 32), "warm"))
    for what, length in SETS:
        examples = _examples(ids.reshape(-1, length), what)
        times, size = _timed(lab, examples)
        n = len(times["taken"])
        ratio, without_logits = (sum(times[bare]) / sum(times["taken"]) for bare in ("bare", "blocks"))
        rates = [len(ids) / sum(times[side]) for side in ("taken", "bare")]
        results.add(
            f"taking {lab.info.n_neurons:,} neurons, {what}: {len(ids):,} tokens in {n} interleaved passes, "
            f"{size / 2**20:.0f} MiB written and synced",
            "≥ .9 × the bare forward's tokens/s, with its logits",
            f"{ratio:.2f} × ({rates[0]:.0f} against {rates[1]:.0f} tokens/s; {without_logits:.2f} × without logits)",
            ratio >= 0.9,
        )


def _ids(model: Any) -> np.ndarray:
    """The standard library's first tokens."""
    from workbench.datasets.corpora import open_corpus
    from workbench.lab.indexing.build import tokenise

    parts: list[np.ndarray] = []
    for _, ids in tokenise(model, open_corpus("stdlib")):
        parts.append(ids)
        if sum(map(len, parts)) >= TOKENS:
            return np.concatenate(parts)[:TOKENS]
    raise AssertionError("the standard library is too short")


def _examples(rows: np.ndarray, what: str) -> Any:
    """Of windows [row, position]."""
    from workbench.datasets.labelled.examples import Examples

    n, length = rows.shape
    window, last = np.arange(n), np.full(n, length - 1)
    first = np.ones_like(last) if what.startswith("the mean") else last
    if what == "every token":
        window, position = (axis.ravel() for axis in np.indices((n, length - 1)))
        first = last = position + 1
    return Examples(
        windows=tuple(map(tuple, rows.tolist())),
        window=window,
        first=first,
        last=last,
        label=np.zeros(len(window)),
        document=window,
        split=np.zeros(len(window), np.int8),
        pooling="mean" if what.startswith("the mean") else "token",
        classes=("no", "yes"),
        numeric=False,
        content_hash=what,
    )


def _timed(lab: Any, examples: Any) -> tuple[dict[str, list[float]], int]:
    """Seconds of each pass, bare, without logits and taken (the last with what comes after it); bytes of the store."""
    import torch

    from tests.lab.labs import new_report
    from workbench.lab.batches import rows_at_once
    from workbench.lab.probing.store import take

    model = lab.model
    ids = torch.tensor(examples.windows)
    rows = rows_at_once(model, ids.shape[1], "index")
    batches = iter(ids.split(rows))
    times: dict[str, list[float]] = {"bare": [], "blocks": [], "taken": []}
    began = 0.0

    def between() -> None:
        """Before each pass, and after the last."""
        nonlocal began
        if began:
            times["taken"].append(time.perf_counter() - began)
        batch = next(batches, None)
        for name, forward in (("bare", model.hf), ("blocks", model.hf.base_model)):
            if batch is not None:
                start = time.perf_counter()
                with torch.inference_mode():
                    forward(input_ids=batch, use_cache=False)
                times[name].append(time.perf_counter() - start)
        began = time.perf_counter()

    with take(lab, examples, "mlp_post", range(lab.info.n_layers), new_report(between)) as store:
        times["taken"][-1] += time.perf_counter() - began  # written through to the disk, and put in its place
        return times, store.head.bytes
