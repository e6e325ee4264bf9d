"""Which units a probing experiment ranks: the neurons of some layers, or the features of one SAE. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from workbench.artifacts import config_of
from workbench.artifacts.sae import find_sae
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiment import Cost
from workbench.experiments._probe_data import ProbeData, store_cost
from workbench.params import SaeName
from workbench.text import count, size
from workbench.units import Feature, Neuron

if TYPE_CHECKING:
    import torch

    from workbench.artifacts.activations import Store
    from workbench.experiments._sae import OpenedSae
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo
    from workbench.report import Report

SITE = "mlp_post"
COPIES = 4
"""of a layer's activations that probes hold at once at most: themselves, ranks, and float64 of the train examples"""

ProbedSae = Annotated[
    SaeName,
    Meta(
        description="probe the features of this registered SAE instead of neurons",
        extra={"example": "res-10", "more": True},
    ),
]


@dataclass(frozen=True)
class ProbedUnits:
    """Neurons of `layers`, or with `sae` its features, which are of the single layer that it encodes."""

    layers: tuple[int, ...]
    width: int
    """units of a layer"""
    sae: OpenedSae | None = None

    @property
    def noun(self) -> str:
        return "feature" if self.sae is not None else "neuron"

    @property
    def nouns(self) -> str:
        return f"{self.noun}s"

    @property
    def experiment(self) -> str:
        """The one that shows what a unit does."""
        return self.noun

    @property
    def site(self) -> str:
        return self.sae.placed.site.name if self.sae is not None else SITE

    @property
    def sae_name(self) -> str:
        """Empty for neurons."""
        return self.sae.name if self.sae is not None else ""

    @property
    def sae_hash(self) -> str:
        return self.sae.hash if self.sae is not None else ""

    def unit(self, layer: int, index: int) -> Neuron | Feature:
        return Feature(layer, index, self.sae_name) if self.sae is not None else Neuron(layer, index)

    def of_layer(self, layer: int) -> str:
        """`neurons of L12`, `features of res-10`."""
        return f"{self.nouns} of {self.sae_name or f'L{layer}'}"

    def activations(self, lab: Lab, data: ProbeData, report: Report) -> Store:
        """Of every example. Raises UserError where those of features are more than memory holds."""
        from workbench.lab.probing.store import take, take_features

        named = {"data_set": data.name, "set_hash": data.set_hash}
        if self.sae is None:
            return take(lab, data.examples, SITE, self.layers, report, **named)
        self._check_memory(lab, len(data.label))
        return take_features(lab, data.examples, self.sae.placed, self.sae.hash, report, **named)

    def _check_memory(self, lab: Lab, examples: int) -> None:
        from workbench.lab.memory import free_memory

        needed, free = 4 * COPIES * examples * self.width, free_memory(lab.info.device)
        if needed > free:
            raise UserError(
                f"{count(self.width)} features at {count(examples)} examples need about {size(needed)} of memory, and "
                f"{size(free)} are free: probe fewer examples, for example --examples "
                f"{max(1, examples * free // needed // 100 * 100)}"
            )

    def encoded(self, lab: Lab, data: ProbeData, report: Report) -> torch.Tensor | None:
        """The site that features are encoded from, float32 [example, number], where random bases are drawn beside them.

        None for neurons, which are a basis themselves.
        """
        import numpy as np
        import torch

        from workbench.lab.probing.store import take

        if self.sae is None:
            return None
        site = self.sae.placed.site
        named = {"data_set": data.name, "set_hash": data.set_hash}
        with take(lab, data.examples, site.name, [site.layer], report, **named) as store:
            return torch.from_numpy(np.array(store.layer(site.layer))).to(lab.model.hf.device)


def probed_units(lab: Lab, layers: Sequence[int], sae: str, report: Report) -> ProbedUnits:
    """Of a run's parameters: layers (none: all) or an SAE's name; what does not fit of it goes to the notes.

    Raises UserError where there is no such SAE, it is not for this model, or is of other layers than those named.
    """
    from workbench.experiments._sae import open_sae

    asked = tuple(sorted(set(layers)))
    if not sae.strip():
        return ProbedUnits(asked or tuple(range(lab.info.n_layers)), lab.info.d_mlp)
    opened = open_sae(lab, sae, report)
    site = opened.placed.site
    if asked and asked != (site.layer,):
        raise UserError(
            f"the features of {opened.name} are of layer {site.layer}, and --layers names "
            f"{', '.join(map(str, asked))}: leave --layers out, or name an SAE of that layer"
        )
    return ProbedUnits((site.layer,), opened.placed.sae.config.d_sae, opened)


def units_cost(params: Any, info: ModelInfo) -> Cost | None:
    """What taking a set's activations takes, of a run with `data`, `layers`, `sae` and the set's limits.

    Raises UserError where there is no such SAE.
    """
    data: LabelledSet = params.data
    width, layers = info.d_mlp, len(set(params.layers)) or info.n_layers
    if params.sae.strip():
        width, layers = config_of(find_sae(params.sae)).d_sae, 1
    return store_cost(data, width, layers, params.examples, params.text_tokens)
