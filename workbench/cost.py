"""What an experiment will take, said before it begins. No torch: the shell, the screens and the lab say the same.

An experiment's `cost(params, info)` counts its work in whole forward passes of so many tokens. How long that takes on
this machine follows from what the same experiment took before; before its first run, from what a clean pass takes.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from workbench import paths
from workbench.errors import JSON_ERRORS, UserError
from workbench.experiment import Cost
from workbench.experiments import experiment
from workbench.files import cache_bytes
from workbench.model_info import ModelInfo
from workbench.params import Params, make_params
from workbench.room import estimated_tokens, expected_bytes
from workbench.text import count, estimate, size

MOST = 0.5
"""of the free memory: what takes more says so"""
FORWARD = "forward"
"""a clean pass, among experiments"""


class Measured(msgspec.Struct, frozen=True):
    """What the last runs did, the last one counting half."""

    work: float
    """tokens"""
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.work / max(self.seconds, 1e-6)


def cost_of(name: str, params: Params | Mapping[str, Any], info: ModelInfo) -> Cost | None:
    """What a run will take; None where that is too little to say, and for parameters that can't be run."""
    definition = experiment(name)
    if definition.cost is None:
        return None
    try:
        values = params if isinstance(params, Params) else make_params(definition.params, dict(params))
        return definition.cost(values, info)
    except UserError:
        return None


def seconds_of(name: str, cost: Cost, info: ModelInfo) -> float | None:
    """None before anything was measured."""
    known = measured(info)
    forward = known.get(FORWARD)
    before = known.get(name, forward)
    if before is None:
        return None
    if cost.work <= before.work or forward is None:
        return cost.work / before.rate
    # Small runs are mostly what every run takes once: what is beyond their work goes at the rate of passes.
    return before.seconds + (cost.work - before.work) / max(before.rate, forward.rate)


def cost_line(name: str, params: Params | Mapping[str, Any], info: ModelInfo, free: int = 0) -> str:
    """`about 16 s: 214 passes of 6 tokens, 1.2 GiB on disk`; empty where there is none.

    Without seconds before anything was measured, and without a disk that is not needed. With the bytes of memory that
    are `free`, what it takes of them on a GPU, or where that is most of them.
    """
    cost = cost_of(name, params, info)
    if cost is None:
        return ""
    work = f"{count(cost.passes)} passes of {count(cost.tokens)} tokens"
    work += f", {size(cost.disk)} on disk" if cost.disk else ""
    memory = _memory(name, params, info, free) if free else 0
    if memory > MOST * free or (memory and info.device != "cpu"):
        work += f", {size(memory)} of memory ({size(free)} free)"
    took = seconds_of(name, cost, info)
    return work if took is None else f"{estimate(took, 'about ')}: {work}"


def _memory(name: str, params: Params | Mapping[str, Any], info: ModelInfo, free: int) -> int:
    """Bytes that a run takes at most where `free` are; of parameters whose cost is known."""
    definition = experiment(name)
    values = params if isinstance(params, Params) else make_params(definition.params, dict(params))
    return expected_bytes(definition, values, info, free, lambda text, *_: round(estimated_tokens(text)))


# --- what runs took ------------------------------------------------------------------------------


def measured(info: ModelInfo) -> dict[str, Measured]:
    """By experiment, on this machine with this model; also of a clean pass."""
    try:
        return msgspec.json.decode(_file(info).read_bytes(), type=dict[str, Measured])
    except (OSError, *JSON_ERRORS):
        return {}


def remember(info: ModelInfo, name: str, work: float, took: float) -> None:
    """Keep what a run of so many tokens took, in seconds."""
    known = measured(info)
    before = known.get(name)
    known[name] = Measured((before.work + work) / 2, (before.seconds + took) / 2) if before else Measured(work, took)
    cache_bytes(_file(info), msgspec.json.encode(known))


def _file(info: ModelInfo) -> Path:
    named = paths.short_hash(info.ref, info.dtype, ",".join(info.devices), platform.node())
    return paths.cache_dir() / "rates" / f"{named}.json"
