"""The substitutions of `sae-errors` beside a run_with_hooks loop: a whole pass of the bridge for each of them.

Both take the same numbers of the same logits. What the suffix allows is the blocks that are left out: (A + 1) · n over
n + A · (n − 1 − layer), with A substitutions of the stream behind a layer of n, taken of the time that blocks need.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Results

LAYERS = (12, 20)
WINDOWS, LENGTH, ARMS, ROUNDS = 2, 128, 4, 3


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    import torch

    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab
    from workbench.lab.sae.suffix import clean_pass
    from workbench.units import Site

    lab = load_lab(resolve("default"), device="cpu", dtype="float32")
    n_layers = lab.info.n_layers
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(100, 10_000, (WINDOWS, LENGTH), generator=random)

    def timed(call: Callable[[], Any]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    for layer in LAYERS:
        site = Site(layer, "resid_post")
        clean = clean_pass(lab.model, ids, [site])
        x = clean.at(site)
        puts = [x + torch.randn(x.shape, generator=random) for _ in range(ARMS)]

        def ours(site: Site = site, puts: list[torch.Tensor] = puts) -> list[torch.Tensor]:
            clean = clean_pass(lab.model, ids, [site])
            return [clean.with_site(site, put) for put in puts]

        def theirs(layer: int = layer, puts: list[torch.Tensor] = puts) -> list[torch.Tensor]:
            name = f"blocks.{layer}.hook_out"
            with torch.inference_mode():
                lab.model.bridge(ids)
                return [
                    lab.model.bridge.run_with_hooks(ids, fwd_hooks=[(name, lambda activation, hook, put=put: put)])
                    for put in puts
                ]

        def head(x: torch.Tensor = x) -> Any:
            return clean_pass(lab.model, ids, []).with_site(Site(n_layers - 1, "resid_post"), x)

        def whole() -> Any:
            return clean_pass(lab.model, ids, [])

        difference = max(float((a - b).abs().max()) for a, b in zip(ours(), theirs(), strict=True))
        times: dict[str, list[float]] = {"ours": [], "theirs": [], "whole": [], "head": []}
        for _ in range(ROUNDS):
            for name, call in (("ours", ours), ("theirs", theirs), ("whole", whole), ("head", head)):
                times[name].append(timed(call))
        median = {name: statistics.median(values) for name, values in times.items()}
        behind = max(median["head"] - median["whole"], 0.0)
        """a pass that begins behind the last block: the head alone"""
        blocks = median["whole"] - behind
        suffix = behind + blocks * (n_layers - 1 - layer) / n_layers
        allowed = (ARMS + 1) * median["whole"] / (median["whole"] + ARMS * suffix)
        ratio = median["theirs"] / median["ours"]
        results.add(
            f"sae-errors after layer {layer} of {n_layers}: {ARMS} substitutions, {WINDOWS} × {LENGTH} tokens",
            "≥ .9 × what the suffix allows, same numbers",
            f"{ratio:.2f} × a run_with_hooks loop, the suffix allows {allowed:.2f} ×; largest difference of a logit "
            f"{difference:.1e}",
            ratio >= 0.9 * allowed and difference < 1e-2,
        )
