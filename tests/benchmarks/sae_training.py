"""A step of training beside SAELens' own, on the same SAE and activations, each in a process with one thread.

SAELens' step is its trainer's: forward, losses, backward, gradients clipped, Adam. Its environment is the one of the
other SAE benchmark ($WORKBENCH_ORACLE). Rounds alternate; the ratio is of medians of tokens a second.
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

D_IN, K, BATCH, WIDTHS, ROUNDS, STEPS = 576, 32, 512, (2_304, 9_216), 3, 8
THEIRS = """
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer
made, config = {
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig), "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
}[kind]
sae = made(config(d_in=d_in, d_sae=width, k=k))
trainer = SAETrainer(
    cfg=SAETrainerConfig(
        n_checkpoints=0, checkpoint_path=None, save_final_checkpoint=False, total_training_samples=10**6, device="cpu",
        autocast=False, lr=1e-3, lr_end=1e-4, lr_scheduler_name="constant", lr_warm_up_steps=0, adam_beta1=0.9,
        adam_beta2=0.999, lr_decay_steps=0, n_restart_cycles=1, train_batch_size_samples=batch,
        dead_feature_window=1000, feature_sampling_window=2000, logger=LoggingConfig(log_to_wandb=False),
    ),
    sae=sae,
    data_provider=iter([]),
)
step = trainer.step
"""
OURS = """
from workbench.lab.sae.training import Scaling, Settings, Training
settings = Settings(kind=kind, width=width, k=k, steps=10**4, batch=batch, rate=1e-3, warm_up=0.05, decay=0.2,
                    auxiliary=1 / 32, dead_after=0.05, seed=0)
scaling = Scaling(factor=d_in**0.5 / float(x.norm(dim=-1).mean()), variance=float(x.var(0).sum()))
step = Training(settings, scaling, x.mean(0), torch.device("cpu")).train
"""
TIMED = """
import json, sys, time, torch
kind, width, d_in, k, batch, steps = sys.argv[1], *map(int, sys.argv[2:7])
torch.set_num_threads(1)
random = torch.Generator().manual_seed(0)
x = torch.randn(batch * 4, 64, generator=random) @ torch.randn(64, d_in, generator=random)
x += torch.randn(batch * 4, d_in, generator=random)
{load}
for at in range(2):
    step(x[at * batch:][:batch])
start = time.perf_counter()
for at in range(steps):
    step(x[at % 4 * batch:][:batch])
print(json.dumps(steps * batch / (time.perf_counter() - start)))
"""


def run(results: Results, env: dict[str, str], folder: Path) -> None:
    kept = os.environ.get("WORKBENCH_ORACLE")
    oracle = environment(Path(kept) if kept else Path(tempfile.mkdtemp(prefix="wb-oracle-")))
    for kind in ("topk", "batchtopk"):
        for width in WIDTHS:
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(ROUNDS):
                ours.append(_rate(Path(sys.executable), OURS, kind, width))
                theirs.append(_rate(oracle, THEIRS, kind, width))
            mine, other = statistics.median(ours), statistics.median(theirs)
            results.add(f"SAE training, {kind}, {width:,} features of {D_IN}", "≥ SAELens' tokens/s",
                        f"{mine / other:.1f} × ({mine:,.0f} against {other:,.0f} tokens/s)", mine >= other)  # fmt: skip


def _rate(python: Path, load: str, kind: str, width: int) -> float:
    """Tokens a second."""
    sizes = [str(size) for size in (width, D_IN, K, BATCH, STEPS)]
    command = [str(python), "-c", TIMED.replace("{load}", load), kind, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return float(json.loads(done.stdout.splitlines()[-1]))
