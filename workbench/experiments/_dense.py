"""A dense probe of classes or of numbers, seen alike: how it is fitted and scored."""

from __future__ import annotations

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
SCORES = {"mcc": "MCC", "auc": "AUC", "f1": "F1", "r2": "R²", "spearman": "Spearman"}
"""keys of scores, and what they are called"""


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
    def names(self) -> tuple[str, ...]:
        """Of the scores, by key; the first leads."""
        return ("r2", "spearman") if self.numeric else ("mcc", "auc", "f1")

    @property
    def lead(self) -> str:
        """The score that leads, by key: chance is 0 of either."""
        return self.names[0]

    @property
    def words(self) -> str:
        """The method, for records."""
        return {
            "logistic": f"logistic, C {number(self.C)}",
            "ridge": "ridge, penalty by leave-one-out",
            "means": "difference of means",
        }[self.method]

    @cached_property
    def values(self) -> np.ndarray:
        """What is to be told: bool labels, or float64 numbers [example]."""
        return self.data.examples.label if self.numeric else self.data.label

    # --- fits ----------------------------------------------------------------------------------------

    def part(self, x: torch.Tensor, examples: np.ndarray) -> torch.Tensor:
        """Rows of activations x [example, d]."""
        import torch

        return x[torch.from_numpy(examples).to(x.device)]

    def fit(self, x: torch.Tensor, values: np.ndarray) -> tuple[Dense, float | None]:
        """On the train examples of x [example, d], to tell `values` [example] of all; with a ridge's penalty.

        Raises UserError where a class is missing.
        """
        import torch

        from workbench.lab.probing.dense import dense_logistic, fit_ridge, mean_difference_probe, ridge_classifier

        train = self.part(x, self.data.train)
        target = torch.from_numpy(values[self.data.train])
        if self.method != "ridge":  # whose numbers are in float64, which not every device has
            target = target.to(x.device)
        if self.method == "ridge":
            ridge = fit_ridge(train, target[:, None]) if self.numeric else ridge_classifier(train, target)
            return ridge.probe, float(ridge.alpha[0])
        if self.method == "means":
            return mean_difference_probe(train, target), None
        return dense_logistic(train, target, self.C), None

    def fit_without(self, x: torch.Tensor, direction: torch.Tensor) -> np.ndarray:
        """What a probe fitted after a direction [d] is projected out says of the test examples: float64 [example].

        Classes are told by a logistic probe, whatever the method: means that were projected out differ in nothing.
        """
        import torch

        from workbench.lab.probing.dense import dense_logistic, fit_ridge, project_out

        left = project_out(x, direction[None])
        train, test = self.part(left, self.data.train), self.part(left, self.data.test)
        target = torch.from_numpy(self.values[self.data.train]).to(left.device)
        probe = fit_ridge(train, target[:, None]).probe if self.numeric else dense_logistic(train, target, self.C)
        return predictions(probe, test)

    # --- scores --------------------------------------------------------------------------------------

    def scores(self, predicted: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """By key, of predictions [example]."""
        from workbench.lab.probing.dense import r_squared
        from workbench.lab.probing.scores import scores
        from workbench.statistics import spearman

        if self.numeric:
            return {"r2": float(r_squared(predicted[None], values[None])[0]), "spearman": spearman(predicted, values)}
        table = scores(predicted[None], values, np.arange(len(values)))
        return {name: float(getattr(table, name)[0]) for name in self.names}

    def intervals(
        self, predicted: np.ndarray, values: np.ndarray, document: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """95 % of a bootstrap over documents, by key; of numbers, R² alone."""
        from workbench.lab.probing.dense import r_squared_band
        from workbench.lab.probing.scores import bands

        if self.numeric:
            return {"r2": r_squared_band(predicted, values, document, self.seed)}
        band = bands(predicted[None], values, document, self.seed)
        return {name: (float(band[name][0, 0]), float(band[name][0, 1])) for name in self.names}


def predictions(probe: Dense, x: torch.Tensor) -> np.ndarray:
    """Logits or predicted numbers of one probe: float64 [example]."""
    return np.asarray(probe.logits(x)[0].cpu().numpy())
