"""What an experiment will take, said before it begins. No torch: the shell, the screens and the lab say the same.

An experiment's `cost(params, info)` counts its work in whole forward passes of so many tokens. How many tokens a second
that is on this machine is what the same experiment did last time; before its first run, what a clean pass does.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from workbench import paths
from workbench.errors import UserError
from workbench.experiment import Cost
from workbench.experiments import experiment
from workbench.files import cache_bytes
from workbench.model_info import ModelInfo
from workbench.params import Params, make_params
from workbench.text import count, estimate, size

FORWARD = "forward"
"""the rate of a clean pass, among those of experiments"""


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
    measured = rates(info)
    rate = measured.get(name) or measured.get(FORWARD)
    return cost.work / rate if rate else None


def cost_line(name: str, params: Params | Mapping[str, Any], info: ModelInfo) -> str:
    """`about 16 s: 214 passes of 6 tokens, 1.2 GiB on disk`; empty where there is none.

    Without seconds before anything was measured, and without a disk that is not needed.
    """
    cost = cost_of(name, params, info)
    if cost is None:
        return ""
    work = f"{count(cost.passes)} passes of {count(cost.tokens)} tokens"
    work += f", {size(cost.disk)} on disk" if cost.disk else ""
    took = seconds_of(name, cost, info)
    return work if took is None else f"{estimate(took, 'about ')}: {work}"


# --- rates ---------------------------------------------------------------------------------------


def rates(info: ModelInfo) -> dict[str, float]:
    """Tokens a second by experiment, as measured on this machine with this model; also of a clean pass."""
    try:
        return msgspec.json.decode(_file(info).read_bytes(), type=dict[str, float])
    except (OSError, msgspec.DecodeError):
        return {}


def remember(info: ModelInfo, name: str, work: float, took: float) -> None:
    """Keep a measured rate, half of it the one before."""
    measured = rates(info)
    rate = work / max(took, 1e-6)
    measured[name] = (measured[name] + rate) / 2 if name in measured else rate
    cache_bytes(_file(info), msgspec.json.encode(measured))


def _file(info: ModelInfo) -> Path:
    named = paths.short_hash(info.ref, info.dtype, info.device, platform.node())
    return paths.cache_dir() / "rates" / f"{named}.json"
