"""What of attention's and the MLP's output reaches the stream, measured when a model is loaded.

Most models add it as it is, some times a factor of their own (Granite's `residual_multiplier`). Which, is not read off
a config but off the model: a known vector stands in for the output, nothing else is in the block, and the block's
output shows what came of it. In the same pass the stream between attention and the MLP is set to a known one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from workbench.edits import Positions
from workbench.lab.applying import PassLayout
from workbench.lab.changes import Change, Fill, ReplaceByPosition
from workbench.lab.editing import Plan
from workbench.lab.loaded import Model
from workbench.lab.parts import Whole
from workbench.lab.passes import run_pass
from workbench.units import Site

_SEED = 0x6A1
ROUNDINGS = 4
"""steps of the number type by which what reached the stream may differ from a multiple of what was put in"""


def measure_gains(model: Model, ids: torch.Tensor) -> list[str]:
    """Sets the gains of `model.sites` on a short text, int64 [position]; a sentence where edits don't reach the stream.

    A gain that is a number of the config to rounding is that number.
    """
    info, sites = model.info, model.sites
    random = torch.Generator().manual_seed(_SEED)
    known = torch.randn(len(ids), info.d_model, generator=random).to(model.hf.device, model.hf.dtype)
    names = ["attn_out", "mlp_out", *(["resid_mid"] if Site(0, "resid_mid") in sites else [])]
    plans = [_alone(name, info.n_layers, known) for name in ("", *names)]
    captured = run_pass(
        model,
        ids.to(model.hf.device).expand(len(plans), -1),
        plans,
        PassLayout((len(ids),) * len(plans), info.n_heads),
        head=None,
        capture=[Site(layer, "resid_post") for layer in range(info.n_layers)],
        checked=False,
        cancellable=False,
    ).captured
    configured = [1.0, *_numbers(model.hf.config)]
    unreached: dict[str, int] = {}
    for layer in range(info.n_layers):
        nothing, *streams = captured[Site(layer, "resid_post")]
        for name, stream in zip(names, streams, strict=True):
            # A stream that is set is all that there is; what is added may come to something else.
            gain = _gain(stream, torch.zeros_like(nothing) if name == "resid_mid" else nothing, known, configured)
            if gain is None or (name == "resid_mid" and gain != 1):
                unreached.setdefault(name, layer)
            elif gain != 1:
                sites.gains[Site(layer, name)] = gain
    return [
        f"layer {layer}: what an edit puts in the place of {name} is not what the stream gets in this model: take "
        f"edits of resid_pre or resid_post"
        for name, layer in unreached.items()
    ]


def _alone(name: str, n_layers: int, known: torch.Tensor) -> Plan:
    """In every block, `known` [position, d_model] at the site of this name and nothing at all others."""
    positions = Positions("range", 0, len(known) - 1)
    changes: dict[Site, tuple[Change, ...]] = {}
    for layer in range(n_layers):
        for site in (Site(layer, other) for other in ("resid_pre", "attn_out", "mlp_out")):
            changes[site] = (Fill(site, Whole(), positions, 0.0),)
        if name:
            changes[Site(layer, name)] = (ReplaceByPosition(Site(layer, name), Whole(), positions, known),)
    return Plan(changes)


def _gain(
    stream: torch.Tensor, nothing: torch.Tensor, known: torch.Tensor, configured: Sequence[float]
) -> float | None:
    """The factor with which `known` [position, d_model] came into `stream`, which without it is `nothing`.

    None where what came into it is no multiple of it, beyond rounding.
    """
    if torch.equal(stream, nothing + known):
        return 1.0
    step = torch.finfo(stream.dtype).eps
    size, added, known = float(stream.double().norm()), stream.double() - nothing.double(), known.double()
    gain = float((added * known).sum() / known.square().sum())
    if not float((added - gain * known).norm()) <= ROUNDINGS * step * size:
        return None
    nearest = min(configured, key=lambda number: abs(number - gain))
    return nearest if abs(nearest - gain) * float(known.norm()) <= step * size else gain


def _numbers(config: Any) -> Iterator[float]:
    return (number for number in vars(config).values() if isinstance(number, float) and number)
