"""What an index reads of a model: every layer's neurons, or the features of an SAE at its site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from workbench.index.derived import derived_columns, feature_columns, weight_columns
from workbench.index.format import IndexedSae, IndexFile, Units, neurons_of
from workbench.lab.applying import Hook
from workbench.lab.sae.placing import PlacedSae
from workbench.model_info import ModelInfo
from workbench.units import Feature, Neuron, Site, Unit

Layer = Callable[[int, torch.Tensor], None]
"""Takes a layer and its activations [row, position, unit]."""
Part = Callable[[str, torch.Tensor], None]
"""Takes `gate` or `linear` and its values [row, position, neuron]."""


class Source(Protocol):
    units: Units
    sae: IndexedSae | None
    stop: int | None
    """the block that a pass need not come to"""

    def hooks(self, first: int, layer: Layer, part: Part) -> dict[Site, Hook]:
        """Of one pass: what gives the activations of the layers from `first` on, in their order."""
        ...

    def columns(self, arrays: Mapping[str, np.ndarray], file: IndexFile) -> dict[str, np.ndarray]:
        """What a state holds beside its accumulators."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """A state is gone on from."""
        ...

    def unit(self, layer: int, index: int) -> Unit: ...


class Neurons:
    """Every neuron of the model."""

    sae: IndexedSae | None = None
    stop: int | None = None

    def __init__(self, info: ModelInfo, home: Path) -> None:
        """The weights part is in `home`. Raises UserError where there is none."""
        self.units = neurons_of(info)
        self._weights = weight_columns(home, info)

    def hooks(self, first: int, layer: Layer, part: Part) -> dict[Site, Hook]:
        def taking(work: Callable[[torch.Tensor], None]) -> Hook:
            def hook(activation: torch.Tensor, hook: object = None) -> None:
                work(activation)

            return hook

        def product(number: int) -> Hook:
            return taking(lambda activation: layer(number, activation))

        hooks: dict[Site, Hook] = {}
        for number in range(first, self.units.layers):
            if self.units.gated:
                hooks[Site(number, "mlp_pre")] = taking(lambda activation: part("gate", activation))
                hooks[Site(number, "mlp_pre_linear")] = taking(lambda activation: part("linear", activation))
            hooks[Site(number, "mlp_post")] = product(number)
        return hooks

    def columns(self, arrays: Mapping[str, np.ndarray], file: IndexFile) -> dict[str, np.ndarray]:
        return derived_columns(arrays, file, self._weights)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        return

    def unit(self, layer: int, index: int) -> Unit:
        return Neuron(layer, index)


class Features:
    """The features of one SAE, which a pass encodes where it comes to their site."""

    def __init__(self, placed: PlacedSae, sae: IndexedSae, weights: Mapping[str, np.ndarray]) -> None:
        """`weights` as `feature_weights.weights` gives them; they may be empty where an index is gone on with."""
        self.sae: IndexedSae | None = sae
        self.units = Units(1, sae.width, gated=False, tails=1)
        self.stop: int | None = placed.site.layer + 1
        self._placed, self._sae, self._weights = placed, sae, dict(weights)

    def hooks(self, first: int, layer: Layer, part: Part) -> dict[Site, Hook]:
        def encoded(activation: torch.Tensor, hook: object = None) -> None:
            layer(0, self._placed.sae.encode(activation))

        return {} if first else {self._placed.site: encoded}

    def columns(self, arrays: Mapping[str, np.ndarray], file: IndexFile) -> dict[str, np.ndarray]:
        return feature_columns(arrays, file, self._weights)

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        from workbench.lab.indexing.feature_weights import NAMES

        self._weights = {name: np.array(arrays[name]) for name in NAMES if name in arrays}

    def unit(self, layer: int, index: int) -> Unit:
        return Feature(self._sae.layer, index, self._sae.name)
