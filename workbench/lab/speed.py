"""How fast this device reads, measured in passes of our own."""

from __future__ import annotations

import time

import torch

from workbench.lab.indexing.build import IndexBuild
from workbench.lab.loaded import Model
from workbench.lab.passes import run_pass
from workbench.lab.strength import sample_prompts

TIMED = 64
"""tokens of the pass that is timed"""


def timed_pass(model: Model) -> tuple[int, float]:
    """Tokens and seconds of a clean pass over text of our own; the first of two warms up."""
    ids = torch.from_numpy(sample_prompts(model)[0].ids[:TIMED]).to(model.info.device)[None]
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        run_pass(model, ids)
        seconds = time.perf_counter() - began
    return ids.shape[1], seconds


def probe_rate(build: IndexBuild) -> float:
    """Tokens a second that this device reads, measured on one block, after one to warm up."""
    ids = torch.full((1, min(build.settings.context, 128)), 1, device=build.model.info.device)
    hooks = build.source.hooks(0, lambda layer, activation: None, lambda part, activation: None)
    rate = 0.0
    for _ in range(2):
        began = time.monotonic()
        run_pass(build.model, ids, head=None, watch=hooks, stop=build.source.stop)
        if ids.is_cuda:
            torch.cuda.synchronize()
        rate = ids.numel() / max(time.monotonic() - began, 1e-6)
    return rate
