"""What a norm does to its input, read off the module by probing it: gain, bias, and whether it subtracts the mean.

Offsets (1 + weight), norms without a weight and norms that are LayerNorm by another name need no case of their own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64
from workbench.units import Site

PROBE = 1e3
"""large enough that a norm's epsilon vanishes beside it"""


@dataclass(frozen=True)
class NormMap:
    """A norm as gain ⊙ (x − mean) / scale + bias; RMS norms subtract no mean. The scale depends on x alone.

    What it gives is on the CPU where the norm's device has no float64.
    """

    gain: torch.Tensor
    """float64 [d_model]"""
    bias: torch.Tensor
    """float64 [d_model]"""
    centred: bool
    """whether the mean is subtracted"""

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """What parts [..., d_model] of the input become at scale 1, without the bias; float64."""
        return self._centred(as_float64(vectors)) * self.gain

    def pull_back(self, covectors: torch.Tensor) -> torch.Tensor:
        """The covectors on inputs that do, at scale 1, what `covectors` [..., d_model] do on outputs; float64."""
        return self._centred(as_float64(covectors) * self.gain)

    def _centred(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors - vectors.mean(-1, keepdim=True) if self.centred else vectors


def norm_output(norm: Any, stream: torch.Tensor) -> torch.Tensor:
    """What the bridge's `norm` makes of `stream` [..., d_model], on the stream's device and in its type."""
    output: torch.Tensor = copy.deepcopy(norm.original_component).to(stream.device)(stream)
    return output


def norm_map(module: Any, d_model: int, device: torch.device | str) -> NormMap:
    """The map of a norm's Hugging Face module over `d_model` numbers, computed on `device` in float32."""
    module = copy.deepcopy(module).float().to(device)
    with torch.inference_mode():
        ones = torch.ones(d_model, device=device)
        probe = ones.clone()
        probe[1::2] = -1
        bias = module((0 * ones)[None])[0]
        centred = bool(torch.allclose(module((PROBE * ones)[None])[0], bias, atol=1e-3))
        shape = probe - probe.mean() if centred else probe
        shape = shape / shape.square().mean().sqrt()
        gain = (module((PROBE * probe)[None])[0] - bias) / shape
    return NormMap(as_float64(gain), as_float64(bias), centred)


def written(model: Model, layer: int, neurons: slice = slice(None)) -> torch.Tensor:
    """What neurons of a layer write into the stream: w_out through a norm after the MLP, where there is one, times the
    factor with which the MLP's output is added.

    float32 [neuron, d_model], the norm at scale 1.
    """
    w_out = model.weight(layer, "mlp.W_out")[neurons].float()
    return through_norm(model, layer, "ln2_post", w_out * model.sites.weight_gain(Site(layer, "mlp_post")))


def through_norm(model: Model, layer: int, name: str, vectors: torch.Tensor) -> torch.Tensor:
    """Vectors [..., d_model] behind a norm of the block at scale 1, `ln1_post` or `ln2_post`, where it has that one."""
    norm = getattr(model.bridge.blocks[layer], name, None)
    if norm is None:
        return vectors
    mapped = norm_map(norm.original_component, model.info.d_model, vectors.device)(vectors)
    return mapped.float().to(vectors.device)
