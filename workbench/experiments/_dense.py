"""A dense probe of classes or of numbers, seen alike: how it is fitted and scored. Torch comes in where it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.experiments._probe_data import ProbeData
from workbench.text import number

if TYPE_CHECKING:
    import torch

    from workbench.lab.probing.dense import Dense

Method = Literal["logistic", "ridge", "means"]
PERMUTATIONS = 200


@dataclass(frozen=True)
class Score:
    """The score that leads, AUC or R², with 95 % of a bootstrap over documents."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{number(self.value)} (95 %: {number(self.low)}–{number(self.high)})"


@dataclass(frozen=True)
class DenseTask:
    """A set, and the method that is fitted on its train examples."""

    data: ProbeData
    method: Method
    C: float
    seed: int

    @property
    def numeric(self) -> bool:
        return self.data.examples.numeric

    @property
    def score_name(self) -> str:
        return "R²" if self.numeric else "AUC"

    @property
    def chance(self) -> float:
        """Of the score, where nothing is told."""
        return 0.0 if self.numeric else 0.5

    @cached_property
    def values(self) -> np.ndarray:
        """What is to be told: bool labels, or float64 numbers [example]."""
        return self.data.examples.label if self.numeric else self.data.label

    @property
    def words(self) -> str:
        """The method, for records."""
        return {
            "logistic": f"logistic, C {number(self.C)}",
            "ridge": "ridge, penalty by leave-one-out",
            "means": "difference of means",
        }[self.method]

    def fit(self, x: torch.Tensor, values: np.ndarray) -> tuple[Dense, float | None]:
        """On train activations x [example, d] and what they are to tell; with a ridge's penalty.

        Raises UserError where a class is missing.
        """
        import torch

        from workbench.lab.probing.dense import dense_logistic, fit_ridge, mean_difference_probe, ridge_classifier

        target = torch.from_numpy(values)
        if self.method == "ridge":
            ridge = fit_ridge(x, target[:, None]) if self.numeric else ridge_classifier(x, target)
            return ridge.probe, float(ridge.alpha[0])
        if self.method == "means":
            return mean_difference_probe(x, target), None
        return dense_logistic(x, target, self.C), None

    def refit(self, x: torch.Tensor, directions: torch.Tensor) -> np.ndarray:
        """What probes fitted after each of `directions` [probe, d] is projected out say: float64 [probe, test example].

        x is float [example, d] of all examples. Classes are told by logistic probes, whatever the method: means that
        were projected out differ in nothing.
        """
        import torch

        from workbench.lab.probing.dense import dense_logistic, fit_ridge, project_out

        train = x[torch.from_numpy(self.data.train)]
        test = x[torch.from_numpy(self.data.test)]
        target = torch.from_numpy(self.values[self.data.train])
        if not self.numeric:
            probes = dense_logistic(train, target, self.C, removed=[direction[None] for direction in directions])
            return np.asarray(probes.logits(test).cpu().numpy())
        rows = []
        for direction in directions:
            ridge = fit_ridge(project_out(train, direction[None]), target[:, None])
            rows.append(ridge.probe.logits(project_out(test, direction[None]))[0].cpu().numpy())
        return np.stack(rows)

    # --- scores --------------------------------------------------------------------------------------

    def score(self, predicted: np.ndarray, values: np.ndarray) -> float:
        """Of predictions [example]."""
        return float(self.scores_of(predicted[None], values[None])[0])

    def scores_of(self, predicted: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Of predictions and values [row, example], either of which may be of one row: float64 [row]."""
        from workbench.lab.probing.dense import r_squared
        from workbench.statistics import auc

        rows = max(len(predicted), len(values))
        predicted, values = (np.broadcast_to(array, (rows, array.shape[1])) for array in (predicted, values))
        if self.numeric:
            return r_squared(predicted, values)
        return np.array([auc(*row) for row in zip(predicted, values, strict=True)])

    def best_score(self, predicted: np.ndarray, values: np.ndarray) -> Score:
        """Of predictions [example] on the test examples."""
        return self.with_band(predicted, values, self.data.document[self.data.test])

    def with_band(self, predicted: np.ndarray, values: np.ndarray, document: np.ndarray) -> Score:
        """Of predictions [example]."""
        from workbench.lab.probing.dense import r_squared_band
        from workbench.lab.probing.scores import bands

        value = self.score(predicted, values)
        if self.numeric:
            return Score(value, *r_squared_band(predicted, values, document, self.seed))
        return Score(value, *map(float, bands(predicted[None], values, document, self.seed)["auc"][0]))

    def choose(self, predicted: Sequence[np.ndarray]) -> int:
        """Which layer's predictions [validation example] are the best: MCC, then AUC; of numbers R²."""
        from workbench.lab.probing.sparse import choose

        values = self.values[self.data.validation]
        if not self.numeric:
            return choose(np.stack(predicted), values)[0]
        return int(np.argmax([self.score(each, values) for each in predicted]))


def permuted_scores(
    task: DenseTask, predicted: np.ndarray, values: np.ndarray, document: np.ndarray, seed: int
) -> np.ndarray:
    """The score of the same predictions under permuted values, documents kept together: float64 [permutation]."""
    from workbench.lab.probing.nulls import permuted_labels

    random = np.random.default_rng(seed)
    return task.scores_of(predicted[None], permuted_labels(values, document, PERMUTATIONS, random))


def p_value(value: float, permuted: np.ndarray) -> float:
    """(permutations at or above the value + 1) / (permutations + 1)."""
    return float(((permuted >= value).sum() + 1) / (len(permuted) + 1))
