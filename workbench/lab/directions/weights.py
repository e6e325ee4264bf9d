"""What one job sees of a model's weights by name: its directions, and what heads write.

`@refusal` came with the run, as numbers. `@L12.N345.out` is what that neuron writes into the stream, `.in` and `.gate`
what it reads, as effective weights (METHODS, "Effective weights"); with `.raw` behind it, as the weights are stored.
`@L5.H3.ov1` is the direction that a head writes most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
import torch

from workbench.artifacts.direction import Direction, Origin
from workbench.directions.names import ModelDirection, model_direction
from workbench.errors import UserError
from workbench.lab.directions.heads import output_direction
from workbench.lab.effective import effective_weights
from workbench.lab.loaded import Model
from workbench.lab.norms import written
from workbench.lab.sae.features import feature_sae
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.vectors import feature_vector, feature_vector_site
from workbench.units import Feature, Head, Neuron, parse_unit


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
        of_model = model_direction(name)
        if of_model is not None:
            return self._of_model(of_model)
        vector = self.named(name).numbers
        info = self._model.info
        if len(vector) != info.d_model:
            raise UserError(
                f"@{name} has {len(vector):,} numbers, and the stream of {info.name} {info.d_model:,}: "
                f"a direction fits models of its own width"
            )
        return vector.copy()

    def sae(self, unit: Feature) -> PlacedSae:
        """The SAE that a feature is of, at its site. Raises UserError where there is none, or no such feature."""
        return feature_sae(self._model, unit).placed

    def contrast(self, name: str) -> Mapping[str, str]:
        """What is known of the prompts behind a direction, as its file says it; empty for none."""
        return self._directions[name].contrast if name in self._directions else {}

    def origin(self, name: str) -> Origin:
        """Where a direction comes from, as far as it is known. Raises UserError where there is none of this name."""
        of_model = model_direction(name)
        if of_model is None:
            return self.named(name).origin
        info, unit = self._model.info, self._unit(of_model)
        if isinstance(unit, Feature):
            site = feature_vector_site(self.sae(unit), of_model.side, info)
            return Origin(
                method="feature",
                about=f"@{name}",
                model=info.name,
                fingerprint=info.fingerprint,
                layer=site.layer,
                site=site.name,
            )
        return Origin(
            method="head" if of_model.rank else "neuron",
            about=f"@{name}",
            model=info.name,
            fingerprint=info.fingerprint,
            layer=unit.layer,
            normalised=bool(of_model.rank),
        )

    def named(self, name: str) -> Direction:
        """The direction that came as `@name`. Raises UserError where none did."""
        if name not in self._directions:
            names = ", ".join(f"@{known_name}" for known_name in self._directions)
            raise UserError(f"there is no direction @{name} here: " + (f"there are {names}" if names else "none came"))
        return self._directions[name]

    def _unit(self, direction: ModelDirection) -> Feature | Head | Neuron:
        return cast(Feature | Head | Neuron, parse_unit(direction.unit, self._model.info))

    def _of_model(self, direction: ModelDirection) -> np.ndarray:
        unit, info = self._unit(direction), self._model.info
        if isinstance(unit, Head):
            return np.asarray(output_direction(self._model, unit, direction.rank).float().numpy())
        if isinstance(unit, Feature):
            return np.asarray(feature_vector(self._model, self.sae(unit), unit, direction.side).cpu().numpy())
        if direction.side == "gate" and not info.gated_mlp:
            raise UserError(f"{info.name} has no gates: its neurons have @{unit}.in and @{unit}.out")
        row = self._stored(unit, direction.side) if direction.raw else self._effective(unit, direction.side)
        return np.asarray(row.detach().float().cpu().numpy())

    def _stored(self, unit: Neuron, side: str) -> torch.Tensor:
        weight = self._model.weight(unit.layer, f"mlp.W_{side}")
        return weight[unit.index] if side == "out" else weight[:, unit.index]

    def _effective(self, unit: Neuron, side: str) -> torch.Tensor:
        alone = slice(unit.index, unit.index + 1)
        if side == "out":
            return written(self._model, unit.layer, alone)[0]
        try:
            weights = effective_weights(self._model)
        except UserError as error:
            raise UserError(f"@{unit}.{side} is not known, @{unit}.{side}.raw is: {error}") from None
        return weights.reads(unit.layer, cast(Literal["in", "gate"], side), alone)[0]
