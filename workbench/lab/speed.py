"""How fast this device reads, measured in passes of our own."""

from __future__ import annotations

import time

import torch

from workbench.lab.batches import is_out_of_memory, rows_at_once
from workbench.lab.indexing.build import IndexBuild
from workbench.lab.loaded import Model
from workbench.lab.passes import run_pass
from workbench.lab.strength import sample_prompts

TIMED = 64
"""tokens of a row of the pass that is timed"""
LEAST_SECONDS = 0.25
"""of a pass that tells how fast a device is: a shorter one is mostly what every pass takes to begin"""


def timed_pass(model: Model) -> tuple[int, float]:
    """Tokens and seconds of a clean pass over text of our own, with rows enough that the device is busy."""
    row = torch.from_numpy(sample_prompts(model)[0].ids[:TIMED]).to(model.info.device)[None]
    _seconds(model, row)  # warms up
    n_rows, seconds = 1, _seconds(model, row)
    most = rows_at_once(model, row.shape[1], "last")
    while seconds < LEAST_SECONDS and 2 * n_rows <= most:
        try:
            seconds = _seconds(model, row.expand(2 * n_rows, -1))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break  # what fewer rows took says enough
        n_rows *= 2
    return n_rows * row.shape[1], seconds


def _seconds(model: Model, ids: torch.Tensor) -> float:
    began = time.perf_counter()
    last = run_pass(model, ids, head="last").last
    assert last is not None
    last[:, 0].cpu()  # waits for the device
    return time.perf_counter() - began


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
