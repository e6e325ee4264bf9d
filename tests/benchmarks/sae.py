"""Encoding and decoding beside SAELens on the same weights and inputs, each in a process of its own with one thread.

SAELens' environment is made by `tests.oracle.saelens` in $WORKBENCH_ORACLE (or a temporary folder, minutes). Rounds
alternate; the ratio is of medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Results
from tests.oracle.saelens import environment

D_IN, D_SAE, TOKENS, K, ROUNDS, REPEATS = 576, 9_216, 512, 32, 5, 5
KINDS = ("standard", "gated", "jumprelu", "topk")
THEIRS = """
from sae_lens import SAE
sae = SAE.load_from_disk(folder)
encode, whole = sae.encode, sae.forward
"""
OURS = """
from pathlib import Path
from workbench.lab.sae import read_sae
sae = read_sae(Path(folder)).sae
encode, whole = sae.encode, sae
"""
TIMED = """
import json, sys, time, torch
folder, repeats, tokens, width = sys.argv[1], *map(int, sys.argv[2:5])
torch.set_num_threads(1)
x = torch.randn(tokens, width, generator=torch.Generator().manual_seed(0))
{load}
times = []
with torch.inference_mode():
    for call in (encode, whole):
        call(x)
        start = time.perf_counter()
        for _ in range(repeats):
            call(x)
        times.append((time.perf_counter() - start) / repeats)
print(json.dumps(times))
"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    kept = os.environ.get("WORKBENCH_ORACLE")
    oracle = environment(Path(kept) if kept else Path(tempfile.mkdtemp(prefix="wb-oracle-")))
    for kind in KINDS:
        saved = _save(kind, folder / kind)
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        for _ in range(ROUNDS):
            ours.append(_times(Path(sys.executable), OURS, saved))
            theirs.append(_times(oracle, THEIRS, saved))
        for at, what in enumerate(("encode", "encode and decode")):
            mine, other = (statistics.median(times[at] for times in side) for side in (ours, theirs))
            # Two processes on shared cores: a twentieth is noise.
            results.add(f"SAE {kind}: {what}", "≤ 1.05 × SAELens' time",
                        f"{mine / other:.2f} × ({1e3 * mine:.0f} ms)", mine / other <= 1.05)  # fmt: skip


def _times(python: Path, load: str, saved: Path) -> list[float]:
    sizes = [str(size) for size in (REPEATS, TOKENS, D_IN)]
    command = [str(python), "-c", TIMED.replace("{load}", load), str(saved), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def _save(kind: str, folder: Path) -> Path:
    import torch

    from workbench.artifacts.sae import SaeConfig
    from workbench.lab.sae import make_sae, write_sae

    generator = torch.Generator().manual_seed(1)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=generator), dim=-1)
    config = SaeConfig(kind=kind, d_in=D_IN, d_sae=D_SAE, d_out=D_IN, k=K, subtracts_b_dec=True,
                       hook="blocks.1.hook_resid_post")  # fmt: skip
    names = {"gated": ("b_gate", "r_mag", "b_mag"), "jumprelu": ("b_enc", "threshold")}.get(kind, ("b_enc",))
    tensors = {"W_enc": rows.T.contiguous(), "W_dec": rows, "b_dec": torch.zeros(D_IN)}
    tensors |= {name: torch.full((D_SAE,), 1.0 if name == "threshold" else 0.01) for name in names}
    folder.mkdir(parents=True)
    write_sae(make_sae(config, tensors), folder)
    return folder
