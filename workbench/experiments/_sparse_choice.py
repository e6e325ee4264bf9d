"""Sparse probes of several layers and methods as they come: their scores on validation, and the one that is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._probe_data import ProbeData

if TYPE_CHECKING:
    import torch

    from workbench.lab.probing.scaling import Scaling
    from workbench.lab.probing.scores import Scores
    from workbench.lab.probing.sweep import FittedProbe, LayerSweep

CHOSEN_BY = ("mcc", "auc")


@dataclass(frozen=True)
class Scored:
    """Probes of one layer and method, one a k, scored on validation alone."""

    layer: int
    method: str
    sweep: LayerSweep
    scores: Scores
    bands: dict[str, np.ndarray]
    """2.5 and 97.5 % of each score, [k, 2], over resampled documents"""

    def of(self, name: str) -> np.ndarray:
        """A score by its name, float64 [k]."""
        return np.asarray(getattr(self.scores, name))

    @property
    def best(self) -> int:
        """Which of the ks has the highest MCC, then AUC, then is the smallest."""
        return max(range(len(self.scores.mcc)), key=self.key)

    def key(self, at: int) -> tuple[float, ...]:
        """What the choice goes by: MCC, AUC (which are equal within rounding), and then the fewest units."""
        return (*(round(float(self.of(name)[at]), 9) for name in CHOSEN_BY), -len(self.sweep.probes[at].units))


@dataclass(frozen=True)
class Chosen:
    """One probe of a sweep."""

    scored: Scored
    at: int
    k: int

    @property
    def layer(self) -> int:
        return self.scored.layer

    @property
    def method(self) -> str:
        return self.scored.method

    @property
    def probe(self) -> FittedProbe:
        return self.scored.sweep.probes[self.at]

    @property
    def test(self) -> np.ndarray:
        """Logits on test, float64 [example]."""
        return np.asarray(self.scored.sweep.test[self.at])

    @property
    def validation_mcc(self) -> float:
        return float(self.scored.scores.mcc[self.at])


@dataclass(frozen=True)
class Refitted:
    """The chosen probe, and the same method and k on other activations and labels."""

    chosen: Chosen
    data: ProbeData
    seed: int
    scaling: Scaling

    @property
    def layer(self) -> int:
        return self.chosen.layer

    @property
    def k(self) -> int:
        return self.chosen.k

    @property
    def test(self) -> np.ndarray:
        return self.chosen.test

    def refit(self, x: torch.Tensor, label: np.ndarray, random: int | None = None) -> np.ndarray:
        from workbench.lab.probing.sparse import Split
        from workbench.lab.probing.sweep import refit

        split = Split(self.data.train, self.data.validation, self.data.test)
        method, seed = (self.chosen.method, self.seed) if random is None else ("random", random)
        return refit(x, label, split, min(self.chosen.k, x.shape[1]), method, seed, self.scaling)


@dataclass
class Choice:
    """What there is to choose from so far."""

    ks: tuple[int, ...]
    layers: tuple[int, ...]
    """that are swept, also those that are not done"""
    methods: tuple[str, ...]
    """that are swept at every layer"""
    scored: list[Scored] = field(default_factory=list)

    @property
    def chosen(self) -> Chosen:
        """Highest MCC on validation, then AUC; of equals the fewest units, then the earliest layer."""
        places = [(scored, at) for scored in self.scored for at in range(len(self.ks))]
        scored, at = max(places, key=lambda place: (*place[0].key(place[1]), -place[0].layer))
        return Chosen(scored, at, self.ks[at])

    @property
    def ties(self) -> int:
        """How many layers and ks reach the chosen one's MCC and AUC on validation, itself among them."""
        best = self.chosen.scored.key(self.chosen.at)[:-1]
        places = {
            (scored.layer, k) for scored in self.scored for at, k in enumerate(self.ks) if scored.key(at)[:-1] == best
        }
        return len(places)

    def best_of_layer(self, layer: int) -> Scored | None:
        """The method that does best there; None for a layer that is not done."""
        done = [scored for scored in self.scored if scored.layer == layer]
        return max(done, key=lambda scored: scored.key(scored.best), default=None)

    def best_layers(self) -> list[Scored]:
        """The best method of each layer that is done, the best layer first."""
        best = [scored for layer in self.layers if (scored := self.best_of_layer(layer)) is not None]
        return sorted(best, key=lambda scored: (*scored.key(scored.best), -scored.layer), reverse=True)


def score_sweeps(data: ProbeData, layer: int, sweeps: dict[str, Any], seed: int) -> list[Scored]:
    """Each method's probes of a layer on validation, with bands over its documents."""
    from workbench.lab.probing.scores import bands, scores

    label, document = data.label[data.validation], data.document[data.validation]
    return [
        Scored(
            layer,
            method,
            sweep,
            scores(sweep.validation, label, document),
            bands(sweep.validation, label, document, seed),
        )
        for method, sweep in sweeps.items()
    ]


def shared_units(first: Sequence[int] | np.ndarray, second: Sequence[int] | np.ndarray) -> int:
    """How many units two probes of a layer share."""
    return len({int(unit) for unit in first} & {int(unit) for unit in second})
