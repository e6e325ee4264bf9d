"""What one job sees of a model's weights by name: its directions, and what heads write.

`@refusal` came with the run, as numbers; `@L12.N345.out` is what that neuron writes, `.in` and `.gate` what it reads,
as the weights are stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from workbench.artifacts.direction import NEURON_WEIGHTS, Direction
from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.units import Neuron, parse_unit


class JobWeights:
    """Of one job, on this model; `directions` are the named directions that came with it."""

    def __init__(self, model: Model, directions: Mapping[str, Direction]) -> None:
        self._model = model
        self._directions = directions

    def head_output(self, layer: int, head: int) -> torch.Tensor:
        """What a query head's z adds to the stream with, float32 [d_head, d_model]."""
        return self._model.head_output(layer, head)

    def direction(self, name: str) -> np.ndarray:
        """The direction `@name`, float32 [d_model], as stored. Raises UserError where there is none that fits."""
        match = NEURON_WEIGHTS.fullmatch(name)
        if match:
            return self._weight(match[1], match[2])
        if name not in self._directions:
            names = ", ".join(f"@{known_name}" for known_name in self._directions)
            raise UserError(f"there is no direction @{name} here: " + (f"there are {names}" if names else "none came"))
        vector = self._directions[name].numbers
        info = self._model.info
        if len(vector) != info.d_model:
            raise UserError(f"@{name} has shape {vector.shape}: directions of {info.name} have {info.d_model} numbers")
        return vector.copy()

    def contrast(self, name: str) -> Mapping[str, str]:
        """What is known of the prompts behind a direction, as its file says it; empty for none."""
        return self._directions[name].contrast if name in self._directions else {}

    def _weight(self, neuron: str, side: str) -> np.ndarray:
        info = self._model.info
        unit = parse_unit(neuron, info)
        assert isinstance(unit, Neuron)
        if side == "gate" and not info.gated_mlp:
            raise UserError(f"{info.name} has no gates: its neurons have @{unit}.in and @{unit}.out")
        mlp = self._model.bridge.blocks[unit.layer].mlp
        row = mlp.W_out[unit.index] if side == "out" else getattr(mlp, f"W_{side}")[:, unit.index]
        return np.asarray(row.detach().float().cpu().numpy())
