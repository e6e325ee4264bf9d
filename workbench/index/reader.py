"""`NeuronIndex`: an index opened to look at. Columns and cards come from memory maps; no model, no torch.

`workbench.index.features` opens the features of an SAE, which are looked at in the same ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from workbench.errors import JSON_ERRORS, UserError
from workbench.index import bins, examples
from workbench.index.arrays import FolderArrays, home_of, whole
from workbench.index.card import Card, NamedFamily, Part, SignCase
from workbench.index.catalogue import ADDRESS, DATA, NUMERIC, SIGNS, WEIGHTS, IndexColumn
from workbench.index.families import FAMILIES, NAMES
from workbench.index.format import BINS, IndexFile, read_index_file
from workbench.model_info import ModelInfo
from workbench.statistics import rank_percentile
from workbench.units import Neuron, Unit

_TRIES = 5


class NeuronIndex:
    """The weights part of a model's index, with a data part if the folder is one.

    A unit's id is layer · width + index, of neurons as of features.
    It shows one revision: where an index grows, open it again when `changed()` says so.
    """

    def __init__(self, folder: Path, file: IndexFile, weights: FolderArrays, data: FolderArrays | None) -> None:
        self.folder = folder
        self.file = file
        self._weights = weights
        self._data = data
        self.info: ModelInfo = file.model
        self.units = file.units
        self.sae = file.sae
        """whose features these are; None of neurons"""
        self.corpus = file.corpus
        self.settings = file.settings
        self.revision = file.revision
        self.has_data = data is not None
        self.n_tokens = sum(file.counts.tokens)
        self.n_documents = file.progress.documents
        self.complete = file.progress.done
        self.features = tuple(file.features)
        self._reader = examples.ExampleReader(folder, file, data.arrays, self.token) if data else None
        self.columns: dict[str, IndexColumn] = self._make_columns()
        """by name as in filters, in the order of a column chooser"""

    @classmethod
    def open(cls, folder: Path) -> NeuronIndex:
        """Open a weights or a data folder. Raises UserError for one that is damaged, foreign or newer."""
        folder = Path(folder)
        for attempt in range(_TRIES):
            file = read_index_file(folder)
            try:
                return cls._open(folder, file)
            except FileNotFoundError as error:
                # A growing index may have moved on between the two reads.
                if attempt == _TRIES - 1 or read_index_file(folder).revision == file.revision:
                    raise UserError(
                        f"{error.filename} is missing: remove the index with `workbench index rm {folder.name}` "
                        f"and build it again"
                    ) from None
        raise AssertionError("unreachable")

    @classmethod
    def _open(cls, folder: Path, file: IndexFile) -> NeuronIndex:
        if file.sae is not None:
            raise UserError(
                f"{folder.name} holds features of the SAE {file.sae.name}, and this needs an index of neurons: "
                f"`workbench index list` names the ones there are"
            )
        if file.kind == "weights":
            return cls(folder, file, FolderArrays(folder, file, folder), None)
        home = home_of(folder, file)
        weights_file = read_index_file(home)
        if weights_file.model.n_neurons != file.model.n_neurons:
            raise UserError(f"{folder.name} and {home.name} are of different models: remove both and build again")
        return cls(folder, file, FolderArrays(home, weights_file, home), FolderArrays(folder, file, home))

    def changed(self) -> bool:
        """Whether there is a newer revision on disk. Never raises."""
        try:
            return read_index_file(self.folder).revision != self.revision
        except UserError:
            return False

    def close(self) -> None:
        """Let go of the memory maps."""
        self.columns.clear()
        self._weights.arrays.clear()
        if self._data:
            self._data.arrays.clear()

    # --- columns ----------------------------------------------------------------------------------

    def _make_columns(self) -> dict[str, IndexColumn]:
        ids = np.arange(self.units.n, dtype=np.int32)
        address = {"layer": ids // self.units.width, "neuron": ids % self.units.width}
        labels = {"family": NAMES, "best": self.features}
        columns: dict[str, IndexColumn] = {}
        for item in (*ADDRESS, *DATA, *WEIGHTS, *SIGNS):
            values = address.get(item.name)
            if item.name == "promotes":
                values = self._weights.arrays["promoted_tokens"][:, 0]
            elif item.name == "peak":
                values = self._peaks() if self._data else None
            elif values is None:
                values = self._data.arrays.get(item.name) if self._data else None
                values = self._weights.arrays.get(item.name) if values is None else values
            if values is None or (item.name in ("best", "vr") and not self.features):
                continue
            columns[item.name] = IndexColumn(
                name=item.name,
                title=item.title,
                help=item.help,
                kind=item.kind,
                unit=item.unit,
                values=values,
                labels=labels.get(item.name, ()),
            )
        return columns

    def _peaks(self) -> np.ndarray:
        """The token at the highest activation, int32 [neuron or feature]; −1 where none was seen."""
        assert self._data is not None
        values, documents = (self._data.arrays[f"example_{kind}"][0] for kind in ("values", "documents"))
        best = np.where(documents >= 0, values, -np.inf).argmax(axis=1)
        tokens: np.ndarray = np.take_along_axis(self._data.arrays["peak_tokens"][0], best[:, None], axis=1)[:, 0]
        return tokens

    def percentile(self, column: str, neuron: int) -> float:
        """Where a neuron stands within its layer, 0 … 100; nan where its value is unknown."""
        start = neuron // self.units.width * self.units.width
        values = np.asarray(self.columns[column].values[start : start + self.units.width])
        return rank_percentile(values, neuron - start)

    # --- tokens -------------------------------------------------------------------------------------

    @cached_property
    def tokens(self) -> list[str]:
        """Every token of the vocabulary as the tokenizer decodes it."""
        path = self._weights.home / "vocab.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[str])
        except (OSError, *JSON_ERRORS):
            raise UserError(
                f"{path} is missing or damaged: remove the index with `workbench index rm "
                f"{self._weights.home.name}` and build it again"
            ) from None

    def token(self, token: int) -> str:
        return self.tokens[token] if 0 <= token < len(self.tokens) else f"<{token}>"

    @cached_property
    def _ids_by_text(self) -> dict[str, list[int]]:
        ids: dict[str, list[int]] = {}
        for token, text in enumerate(self.tokens):
            ids.setdefault(text, []).append(token)
        return ids

    def token_ids(self, text: str) -> list[int]:
        """Tokens that decode to exactly this text; several can."""
        return self._ids_by_text.get(text, [])

    def promoted(self, neuron: int) -> list[tuple[int, float]]:
        """Tokens whose logits rise most for each unit of positive activation: id and logits, largest first."""
        return self._tokens_of("promoted", neuron)

    def suppressed(self, neuron: int) -> list[tuple[int, float]]:
        """Tokens whose logits fall most, lowest first: what a negative activation promotes."""
        return self._tokens_of("suppressed", neuron)

    def _tokens_of(self, table: str, neuron: int) -> list[tuple[int, float]]:
        if f"{table}_tokens" not in self._weights.arrays:
            return []
        tokens = self._weights.arrays[f"{table}_tokens"][neuron].tolist()
        values = self._weights.arrays[f"{table}_values"][neuron].tolist()
        return [(token, value) for token, value in zip(tokens, values, strict=True) if token >= 0]

    def promotes(self, token: int) -> np.ndarray:
        """Logits a neuron adds to this token for each unit of activation, where it is among the tokens stored
        for the neuron (its first ten); nan elsewhere. float32 [neuron]."""
        return self._effect("promoted", token)

    def suppresses(self, token: int) -> np.ndarray:
        """Likewise for the ten tokens that fall most (values are negative)."""
        return self._effect("suppressed", token)

    def _effect(self, table: str, token: int) -> np.ndarray:
        logits = np.full(self.units.n, np.nan, dtype=np.float32)
        if f"{table}_tokens" not in self._weights.arrays:
            return logits
        rows, places = np.nonzero(self._weights.arrays[f"{table}_tokens"] == token)
        logits[rows] = self._weights.arrays[f"{table}_values"][rows, places]
        return logits

    def fires(self, tokens: Sequence[int]) -> np.ndarray:
        """Share of a neuron's top examples whose peak is one of these tokens, float32 [neuron].

        Of its high examples or of its low ones, whichever share is larger: a gated neuron has two tails.
        nan for neurons without examples, or without a data part.
        """
        if self._data is None:
            return np.full(self.units.n, np.nan, dtype=np.float32)
        peaks = self._data.arrays["peak_tokens"]
        n_examples = (peaks[0] >= 0).sum(axis=1)
        hits = np.isin(peaks, np.asarray(list(tokens), dtype=peaks.dtype)).sum(axis=2).max(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share: np.ndarray = np.where(n_examples > 0, hits / n_examples, np.nan).astype(np.float32)
        return share

    def document_numbers(self) -> frozenset[int]:
        """Numbers of the corpus' documents that the index has read, in whole or in part."""
        if self._data is None:
            return frozenset()
        return frozenset(self._data.arrays["documents"][:, 0].tolist())

    @property
    def rate(self) -> float | None:
        """Tokens a second of its build; None where none were counted."""
        return self.n_tokens / self.file.seconds if self.n_tokens and self.file.seconds else None

    def tail_counts(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Of a layer, sampled tokens at or above each bin and at or below it: int64 [neuron, bin], twice."""
        start = layer * self.units.width
        assert self._data is not None
        counts = np.asarray(self._data.arrays["histogram"][start : start + self.units.width]).astype(np.int64)
        return counts[:, ::-1].cumsum(axis=1)[:, ::-1], counts.cumsum(axis=1)

    # --- the card -------------------------------------------------------------------------------------

    def unit(self, neuron: int) -> str:
        """Its address, as every experiment takes it."""
        return f"L{neuron // self.units.width}.N{neuron % self.units.width}"

    def short(self, neuron: int) -> str:
        """Its address as lists show it, where all are of the same kind."""
        return self.unit(neuron)

    def id_of(self, unit: Unit) -> int | None:
        """None for what is no neuron of this model."""
        if not isinstance(unit, Neuron) or unit.layer >= self.units.layers or unit.index >= self.units.width:
            return None
        return unit.layer * self.units.width + unit.index

    def value(self, name: str, neuron: int) -> float:
        """nan where there is no such column."""
        column = self.columns.get(name)
        return float(column.values[neuron]) if column else math.nan

    def histogram(self, neuron: int) -> np.ndarray | None:
        """Counts over the sample by bin of `bins.edges()`, uint32 [bin]; None without a data part."""
        return self._data.arrays["histogram"][neuron] if self._data else None

    def card(self, layer: int, index: int) -> Card:
        """Everything known of one neuron. Raises UserError where there is no such neuron."""
        if not (0 <= layer < self.info.n_layers and 0 <= index < self.info.d_mlp):
            raise UserError(
                f"there is no L{layer}.N{index}: {self.info.name} has layers 0 to {self.info.n_layers - 1} "
                f"and neurons 0 to {self.info.d_mlp - 1}"
            )
        return self.card_of(layer * self.units.width + index)

    @whole
    def card_of(self, neuron: int) -> Card:
        """Everything known of the unit with this id."""
        layer, index = divmod(neuron, self.units.width)
        names = [name for name in NUMERIC if name in self.columns]
        families = self._families(neuron)
        tail = self.value("tail", neuron)
        best = int(self.value("best", neuron)) if "best" in self.columns else -1
        data = self._data.arrays if self._data else {}
        return Card(
            unit=self.unit(neuron),
            layer=layer,
            index=index,
            family=families[0].name if families else "",
            families=families,
            stats={name: self.value(name, neuron) for name in names},
            percentiles={name: self.percentile(name, neuron) for name in names},
            promoted=[(self.token(token), value) for token, value in self.promoted(neuron)],
            suppressed=[(self.token(token), value) for token, value in self.suppressed(neuron)],
            neighbours_in=self._neighbours("near_in", neuron),
            neighbours_out=self._neighbours("near_out", neuron),
            tail_share=(tail, 1 - tail),
            high=self._reader.tail(0, neuron) if self._reader else [],
            low=self._reader.tail(1, neuron) if self._reader else [],
            edges=bins.edges(),
            histogram=np.array(data["histogram"][neuron]) if data else np.zeros(BINS, dtype=np.uint32),
            n_sampled=self.file.counts.sampled,
            signs=self._signs(neuron),
            parts=self._parts(neuron),
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

    def _families(self, neuron: int) -> list[NamedFamily]:
        part = self._data or self._weights
        met = part.arrays["families"][neuron]
        return [
            NamedFamily(name=family.name, rule=family.rule, percentile=self.percentile(family.column, neuron))
            for code, family in enumerate(FAMILIES)
            if met >> code & 1
        ]

    def _neighbours(self, table: str, neuron: int) -> list[tuple[str, float]]:
        if f"{table}_ids" not in self._weights.arrays:
            return []
        ids = self._weights.arrays[f"{table}_ids"][neuron].tolist()
        values = self._weights.arrays[f"{table}_cos"][neuron].tolist()
        return [(self.unit(other), value) for other, value in zip(ids, values, strict=True) if other >= 0]

    def _signs(self, neuron: int) -> list[SignCase]:
        if not self._data or "sign_counts" not in self._data.arrays or not self._reader:
            return []
        counts = self._data.arrays["sign_counts"][:, neuron].astype(float)
        sums = self._data.arrays["sign_sums"][:, :, neuron]
        total, squares = counts.sum(), sums[:, 1].sum()
        return [
            SignCase(
                gate="+" if case < 2 else "−",
                linear="+" if case % 2 == 0 else "−",
                fraction=float(counts[case] / total) if total else math.nan,
                mean=float(sums[case, 0] / counts[case]) if counts[case] else math.nan,
                share=float(sums[case, 1] / squares) if squares else math.nan,
                examples=self._reader.sign_case(case, neuron),
            )
            for case in range(4)
        ]

    def _parts(self, neuron: int) -> list[Part]:
        n = self.file.counts.sampled
        if not self._data or "part_sums" not in self._data.arrays or not n:
            return []
        parts = []
        for part, name in enumerate(("gate", "linear")):
            mean, square = (self._data.arrays["part_sums"][part, :, neuron] / n).tolist()
            low, high = self._data.arrays["part_extremes"][part, :, neuron].tolist()
            parts.append(Part(name=name, mean=mean, sd=math.sqrt(max(square - mean**2, 0)), low=low, high=high))
        return parts
