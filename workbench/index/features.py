"""`FeatureIndex`: the features of one SAE, looked at as neurons are; no model, no torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from workbench.errors import UserError
from workbench.index import bins
from workbench.index.arrays import FolderArrays, home_of, whole
from workbench.index.card import Card
from workbench.index.catalogue import FEATURES, IndexColumn
from workbench.index.format import IndexFile, read_index_file
from workbench.index.reader import NeuronIndex
from workbench.text import count
from workbench.units import Feature, Unit

_STORED = {"frequency": "positive"}
"""columns whose arrays have the name that they have for neurons"""


def open_any(folder: Path) -> NeuronIndex:
    """An index of neurons, or of an SAE's features. Raises UserError for one that is damaged or newer."""
    kind = FeatureIndex if read_index_file(folder).sae is not None else NeuronIndex
    return kind.open(folder)


class FeatureIndex(NeuronIndex):
    """All of one layer, that of the SAE's site; an id is the feature's index."""

    @classmethod
    def _open(cls, folder: Path, file: IndexFile) -> NeuronIndex:
        # What follows from the SAE's weights is kept with what its features do; the vocabulary is the model's.
        arrays = FolderArrays(folder, file, home_of(folder, file))
        return cls(folder, file, arrays, arrays)

    def _make_columns(self) -> dict[str, IndexColumn]:
        assert self._data is not None
        arrays = self._data.arrays
        columns: dict[str, IndexColumn] = {}
        for item in FEATURES:
            values = arrays.get(_STORED.get(item.name, item.name))
            if item.name == "feature":
                values = np.arange(self.units.n, dtype=np.int32)
            elif item.name == "peak":
                values = self._peaks()
            elif item.name == "promotes" and "promoted_tokens" in arrays:
                values = arrays["promoted_tokens"][:, 0]
            if values is None or (item.name in ("best", "vr") and not self.features):
                continue
            columns[item.name] = IndexColumn(
                name=item.name,
                title=item.title,
                help=item.help,
                kind=item.kind,
                values=values,
                labels=self.features if item.name == "best" else (),
            )
        return columns

    def unit(self, neuron: int) -> str:
        """Its address with the SAE's name, as every experiment takes it."""
        assert self.sae is not None
        return str(Feature(self.sae.layer, neuron, self.sae.name))

    def short(self, neuron: int) -> str:
        assert self.sae is not None
        return str(Feature(self.sae.layer, neuron))

    def id_of(self, unit: Unit) -> int | None:
        """None for what is no feature of this SAE; one without an SAE's name is meant to be of this one."""
        assert self.sae is not None
        if not isinstance(unit, Feature) or unit.layer != self.sae.layer or unit.sae not in ("", self.sae.name):
            return None
        return unit.index if unit.index < self.units.width else None

    def card(self, layer: int, index: int) -> Card:
        """Everything known of one feature. Raises UserError where there is no such feature."""
        assert self.sae is not None
        if layer != self.sae.layer or not 0 <= index < self.units.width:
            raise UserError(
                f"there is no L{layer}.F{index} here: the SAE {self.sae.name} has {count(self.units.width)} features "
                f"of layer {self.sae.layer}, 0 to {self.units.width - 1}"
            )
        return self.card_of(index)

    @whole
    def card_of(self, neuron: int) -> Card:
        assert self.sae is not None
        assert self._data is not None
        assert self._reader is not None
        data = self._data.arrays
        names = [name for name, column in self.columns.items() if column.kind in ("number", "probability")]
        best = int(self.value("best", neuron)) if "best" in self.columns else -1
        return Card(
            unit=self.unit(neuron),
            layer=self.sae.layer,
            index=neuron,
            family="",
            families=[],
            stats={name: self.value(name, neuron) for name in names},
            percentiles={name: self.percentile(name, neuron) for name in names},
            group="SAE",
            promoted=[(self.token(token), value) for token, value in self.promoted(neuron)],
            suppressed=[(self.token(token), value) for token, value in self.suppressed(neuron)],
            neighbours_in=[],
            neighbours_out=[],
            tail_share=(1.0, 0.0),
            high=self._reader.tail(0, neuron),
            low=[],
            edges=bins.edges(),
            histogram=np.array(data["histogram"][neuron]),
            n_sampled=self.file.counts.sampled,
            signs=[],
            parts=[],
            best=self.features[best] if best >= 0 else "",
            best_sign=int(data["best_sign"][neuron]) if best >= 0 else 0,
            vr=self.value("vr", neuron),
            vr_chosen=float(data["vr_chosen"][neuron]) if best >= 0 else math.nan,
            mean=self.value("mean", neuron),
            se=self.value("se", neuron),
            n_tokens=self.n_tokens,
            n_documents=self.n_documents,
            corpus=self.corpus.name if self.corpus else "",
            complete=self.complete,
        )
