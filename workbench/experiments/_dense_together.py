"""Several numbers of the same texts, such as latitude and longitude: predicted together, and seen as one place.

Gurnee & Tegmark 2023, "Language models represent space and time" (METHODS, "Probes of numbers").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiments._dense import DenseTask
from workbench.experiments._probe_data import ProbeData
from workbench.report import Report
from workbench.result_keys import DenseProbe
from workbench.statistics import band
from workbench.text import count, number, quoted, spread
from workbench.views import Column, Table

if TYPE_CHECKING:
    import torch

    from workbench.lab import Lab


def targets_of(lab: Lab, data: ProbeData, also: Sequence[LabelledSet]) -> np.ndarray:
    """The further sets' numbers at the examples of `data`: float64 [example, set].

    Raises UserError where a set holds no numbers, or other texts or places in them.
    """
    from workbench.datasets.labelled.aligning import examples_of

    columns = []
    for labelled in also:
        name = labelled.name or "a further set"
        if not (labelled.numeric and data.examples.numeric):
            raise UserError(
                f"{name if not labelled.numeric else data.name} holds classes: what is predicted together is numbers"
            )
        aligned, _ = examples_of(labelled, lab.model.tokens.tokenizer, lab.info.n_ctx, lab.seed)
        own = data.examples
        same = aligned.windows == own.windows and aligned.pooling == own.pooling
        if not same or any(
            not np.array_equal(getattr(aligned, field), getattr(own, field)) for field in ("window", "first", "last")
        ):
            raise UserError(
                f"{quoted(name)} is not of the same texts as {quoted(data.name)}, in the same order and read alike: "
                "import both from one file, once with each --target"
            )
        columns.append(aligned.label)
    return np.array(columns).T


@dataclass(frozen=True)
class Together:
    """One ridge regression of all targets, on test."""

    names: list[str]
    r2: np.ndarray
    """float64 [target]"""
    r2_band: list[tuple[float, float]]
    """95 % over documents, by target"""
    spearman: np.ndarray
    alpha: np.ndarray
    """penalty, float64 [target]"""
    r2_null: np.ndarray
    """rows of targets permuted, float64 [draw, target]"""
    proximity: float
    proximity_null: np.ndarray
    """float64 [draw]"""

    def table(self, n: int) -> Table:
        rows = [
            [
                name,
                self.r2[at],
                " to ".join(map(number, self.r2_band[at])),
                self.spearman[at],
                self.r2_null[:, at].max() if len(self.r2_null) else None,
                self.alpha[at],
            ]
            for at, name in enumerate(self.names)
        ]
        return Table(
            title="Predicted together",
            note=f"test: {count(n)} examples · {self.sentence()}",
            columns=[
                Column(key=DenseProbe.WHAT, name="target", gives_way="never"),
                Column(key="r2", name="R²", kind="number", gives_way="never"),
                Column(key="interval", name="95 %", help="over resampled documents", gives_way="late"),
                Column(key="spearman", name="Spearman", kind="number"),
                Column(
                    key="null",
                    name="permuted",
                    kind="number",
                    gives_way="late",
                    help="the highest R² of targets permuted",
                ),
                Column(key="alpha", name="penalty", kind="number", help="by leave-one-out", gives_way="early"),
            ],
            rows=rows,
        )

    def sentence(self) -> str:
        chance = ""
        if len(self.proximity_null):
            middle = band(self.proximity_null)
            chance = f"; targets permuted: {spread(number(middle.median), number(middle.low), number(middle.high))}"
        return f"proximity error {number(self.proximity)} (0 is best, .5 chance{chance})"


def together(
    task: DenseTask, x: torch.Tensor, also: np.ndarray, names: list[str], permutations: int, report: Report
) -> Together:
    """Targets [example, target] from activations x [example, d]; each is standardised by its train examples."""
    import torch

    from workbench.lab.probing.dense import fit_ridge, r_squared, r_squared_band
    from workbench.statistics import spearman

    data = task.data
    targets = np.column_stack([task.values, also])
    targets = (targets - targets[data.train].mean(axis=0)) / targets[data.train].std(axis=0)
    n = targets.shape[1]
    random = np.random.default_rng(task.seed)
    orders = [random.permutation(len(data.train)) for _ in range(permutations)]
    train = targets[data.train]
    # all draws are further targets of one fit: one decomposition of the activations serves them
    everything = np.column_stack([train, *(train[order] for order in orders)])
    report.expect(f"{count(n)} targets together, and {count(permutations)} permutations of them")
    ridge = fit_ridge(task.part(x, data.train), torch.from_numpy(everything))
    predicted = np.asarray(ridge.probe.logits(task.part(x, data.test)).cpu().numpy())
    test = targets[data.test].T
    r2 = r_squared(predicted, np.tile(test, (1 + permutations, 1))).reshape(1 + permutations, n)
    document = data.document[data.test]
    errors = [proximity_error(predicted[at : at + n].T, test.T) for at in range(0, len(predicted), n)]
    return Together(
        names=names,
        r2=r2[0],
        r2_band=[r_squared_band(predicted[at], test[at], document, task.seed) for at in range(n)],
        spearman=np.array([spearman(predicted[at], test[at]) for at in range(n)]),
        alpha=ridge.alpha[:n],
        r2_null=r2[1:],
        proximity=errors[0],
        proximity_null=np.array(errors[1:]),
    )


def proximity_error(predicted: np.ndarray, targets: np.ndarray) -> float:
    """mean_i mean_j [d(yᵢ, ŷⱼ) < d(yᵢ, ŷᵢ)], j ≠ i, of predictions and targets [example, target], Euclidean.

    0 where every prediction is the nearest one to its target, ½ by chance.
    """
    closer, n = 0, len(targets)
    for at in range(n):
        distance = ((predicted - targets[at]) ** 2).sum(axis=1)
        closer += int((distance < distance[at]).sum())
    return closer / (n * (n - 1)) if n > 1 else float("nan")
