"""What of a block's parts reaches the stream, measured when a model is loaded.

Most models add the outputs of attention and the MLP as they are, some times a factor of their own (Granite's
`residual_multiplier`). Which, is not read off a config but off the model: something known stands in for a part's
output, nothing else is in the block, and the block's output shows what came of it. In the same pass known activations
go through W_O and W_out, and the stream between attention and the MLP is set to a known one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from workbench.edits import Positions
from workbench.lab.added import writer
from workbench.lab.applying import PassLayout
from workbench.lab.changes import Change, Fill, ReplaceByPosition
from workbench.lab.editing import Plan
from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64, beside
from workbench.lab.parts import Heads, Whole
from workbench.lab.passes import run_pass
from workbench.units import ADDED_AS, Site

_SEED = 0x6A1
_ADDED = ("resid_pre", "attn_out", "mlp_out")
"""sites whose sum a block's output is"""
POSITIONS = 4
"""of the text that are enough to measure on"""
ROUNDINGS = 8
"""steps of the number type by which what reached the stream may differ from a multiple of what was put in"""
FLOAT32 = 1e-5
"""the same in float32, of the stream's norm: sums of many products are rounded in another order"""


def measure_gains(model: Model, ids: torch.Tensor) -> list[str]:
    """Sets the gains of `model.sites` on a short text, int64 [position]; sentences on what does not reach the stream.

    A gain that is a number of the config to rounding is that number.
    """
    ids = ids[:POSITIONS]
    info, sites = model.info, model.sites
    widths = dict.fromkeys(("resid_pre", "attn_out", "mlp_out", "resid_mid"), info.d_model)
    widths |= {"z": info.n_heads * info.d_head, "mlp_post": info.d_mlp}
    random = torch.Generator().manual_seed(_SEED)
    known = {
        name: torch.randn(len(ids), width, generator=random).to(model.hf.device, model.hf.dtype)
        for name, width in widths.items()
        if Site(0, name) in sites
    }
    plans = [_alone(model, "", known), *(_alone(model, name, known) for name in known)]
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
    unreached_sites: set[Site] = set()
    for layer in range(info.n_layers):
        nothing, *streams = captured[Site(layer, "resid_post")]
        by_name = dict(zip(known, streams, strict=True))
        # Gemma 4 multiplies all of the stream at a block's end: that is no gain of a part.
        whole = _gain(by_name["resid_pre"] - nothing, known["resid_pre"], configured, by_name["resid_pre"]) or 1.0
        if whole != 1:
            nothing, by_name = nothing / whole, {name: stream / whole for name, stream in by_name.items()}
        for name in ("attn_out", "mlp_out"):
            gain = _gain(by_name[name] - nothing, known[name], configured, by_name[name])
            if gain is None:
                unreached.setdefault(name, layer)
                unreached_sites.add(Site(layer, name))
            elif gain != 1:
                sites.gains[Site(layer, name)] = gain
        middle = by_name.get("resid_mid")
        if middle is not None and not (
            torch.equal(middle, known["resid_mid"])
            or (whole != 1 and _gain(middle, known["resid_mid"], configured, middle) == 1)
        ):
            unreached.setdefault("resid_mid", layer)
            unreached_sites.add(Site(layer, "resid_mid"))
        for name, output_name in ADDED_AS.items():
            if output_name in unreached:
                continue  # and so what it is made of
            usual = sites.weight_gain(Site(layer, name))
            stream = by_name[name][-1]
            output = _output(model, layer, name, known[name][-1])
            gain = _gain(stream - nothing[-1], output, [usual, *configured], stream)
            if gain is None:
                unreached.setdefault(name, layer)
            elif gain != usual:
                sites.gains[Site(layer, name)] = gain
    sites.unreached = unreached_sites
    return [f"layer {layer}: {_UNREACHED[name]}" for name, layer in unreached.items()]


_EDITS = "is not what the stream gets in this model: such edits are refused, take resid_pre or resid_post"
_UNREACHED = {
    "attn_out": f"what an edit puts in the place of attn_out {_EDITS}",
    "mlp_out": f"what an edit puts in the place of mlp_out {_EDITS}",
    "resid_mid": f"what an edit puts in the place of resid_mid {_EDITS}",
    "z": "W_O times z is not what attention adds to the stream: dla and norms of heads are not what heads add",
    "mlp_post": "W_out times mlp_post is not what the MLP adds to the stream: dla and controls of neurons miss that",
}


def _alone(model: Model, name: str, known: Mapping[str, torch.Tensor]) -> Plan:
    """In every block, what is known [position, …] at the site of this name alone adds to the stream."""
    n_heads = model.info.n_heads
    changes: dict[Site, tuple[Change, ...]] = {}
    for layer in range(model.info.n_layers):
        for site in (Site(layer, other) for other in _ADDED if other not in (name, ADDED_AS.get(name))):
            changes[site] = (Fill(site, Whole(), Positions(), 0.0),)
        if name:
            site = Site(layer, name)
            part = Heads(tuple(range(n_heads))) if name == "z" else Whole()
            values = part.take(known[name], n_heads)
            changes[site] = (ReplaceByPosition(site, part, Positions("range", 0, len(values) - 1), values),)
    return Plan(changes)


def _output(model: Model, layer: int, name: str, activation: torch.Tensor) -> torch.Tensor:
    """What attention makes of z [head · d_head], or the MLP of mlp_post [d_mlp], by its weights alone; [d_model]."""
    weight, bias, norm = writer(model, Site(layer, name))
    with torch.inference_mode():
        output: torch.Tensor = beside(activation, weight.device) @ weight
        if bias is not None:
            output = output + bias
        output = output if norm is None else norm(output[None])[0]
        return beside(output, activation.device)


def _gain(added: torch.Tensor, known: torch.Tensor, configured: Sequence[float], stream: torch.Tensor) -> float | None:
    """The factor with which `known` [..., d_model] was `added` to `stream`; None where that is no multiple of it.

    Fitted by least squares; the nearest of the `configured` numbers where that is one of them to rounding.
    """
    if torch.equal(added, known):
        return 1.0
    step = torch.finfo(stream.dtype).eps
    added, known, size = as_float64(added), as_float64(known), float(as_float64(stream).norm())
    gain = float((added * known).sum() / known.square().sum())
    if not float((added - gain * known).norm()) <= max(ROUNDINGS * step, FLOAT32) * size:
        return None
    nearest = min(configured, key=lambda number: abs(number - gain))
    return nearest if abs(nearest - gain) * float(known.norm()) <= max(step, FLOAT32) * size else gain


def _numbers(config: Any) -> Iterator[float]:
    for value in vars(config).values():
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and number:
                yield number
