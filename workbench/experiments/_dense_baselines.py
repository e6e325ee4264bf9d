"""What a dense probe is compared with on test: tokens alone, random directions, other bases, random labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UserError
from workbench.experiments._chance import Chance
from workbench.experiments._dense import SCORES, DenseTask, predictions
from workbench.experiments._probe_data import probed_types, seen_in_train, token_baselines
from workbench.experiments._sparse_baselines import ENOUGH, PROBE, Row
from workbench.report import Report
from workbench.text import count, number
from workbench.views import Column, Table

if TYPE_CHECKING:
    import torch

TOKENS = ("token_identity", "ngram", "bag_of_tokens")
LEAST_SEEN = 2
"""train examples that a token is in, for a bag of tokens that predicts numbers"""

Fit = Callable[[], tuple[np.ndarray, np.ndarray]]
"""gives predictions and what is to be told, of the test examples"""


@dataclass
class DenseBaselines:
    """Rows as they come, the probe's own first."""

    task: DenseTask
    x: torch.Tensor
    """of the chosen layer, float32 [example, d]"""
    predicted: np.ndarray
    """what the probe says of the test examples, float64 [example]"""
    report: Report
    changed: Callable[[], None] = lambda: None
    """called after each row"""
    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    null: list[float] = field(default_factory=list)
    """of the same probe fitted to permuted labels: the score that leads, on test"""

    def row(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    def lead(self, row: Row) -> float:
        return row.value[self.task.lead]

    @property
    def tokens(self) -> Row | None:
        """The best of the probes that read tokens alone."""
        return max((row for row in self.rows if row.key in TOKENS), key=self.lead, default=None)

    @property
    def reads_tokens(self) -> bool:
        """A probe on tokens does as well: its score is no lower than the lower end of this one's interval."""
        best = self.tokens
        return best is not None and self.lead(best) >= self.rows[0].interval[self.task.lead][0]

    @property
    def chance(self) -> Chance:
        """The score that leads beside that of permuted labels."""
        return Chance(self.lead(self.rows[0]), self.null)

    # --- one probe each --------------------------------------------------------------------------------

    def add_tokens(self) -> None:
        """The probe itself, then what needs no activations."""
        self._add(PROBE, "this probe", self.predicted)
        if self.task.numeric:
            self._add("bag_of_tokens", "bag of tokens, ridge", self._bag_of_numbers())
            return
        for baseline in token_baselines(self.task.data):
            self._add(baseline.key, baseline.name, baseline.logits)
            if baseline.key == "token_identity":
                self._add_seen(baseline.logits)

    def _add(self, key: str, name: str, predicted: np.ndarray, some: np.ndarray | None = None) -> None:
        """One probe's scores on the test examples, or on `some` of them (bool)."""
        data, task = self.task.data, self.task
        test = data.test if some is None else data.test[some]
        predicted = predicted if some is None else predicted[some]
        values = task.values[test]
        interval = task.intervals(predicted, values, data.document[test])
        self.rows.append(Row(key, name, task.scores(predicted, values), interval))
        self.changed()

    def _add_seen(self, identity: np.ndarray) -> None:
        """Both on the tokens that train has: there a rule over tokens is known to the probe on identities."""
        seen, label = seen_in_train(self.task.data), self.task.values[self.task.data.test]
        if seen.all() or min(label[seen].sum(), (~label[seen]).sum()) < ENOUGH:
            return
        self._add("probe_seen", "this probe, tokens seen in train", self.predicted, seen)
        self._add("token_identity_seen", "their identity", identity, seen)
        own, tokens = self.rows[-2:]
        if self.lead(tokens) >= own.interval[self.task.lead][0]:
            self.remarks.append(f"on the {seen.mean():.0%} of test tokens seen in train, their identity does as well")

    def _bag_of_numbers(self) -> np.ndarray:
        """Ridge regression of the numbers on which tokens are read: float64 [test example]."""
        import torch

        from workbench.lab.probing.dense import fit_ridge

        data = self.task.data
        examples = data.examples
        spans = [
            set(examples.windows[window][first if data.is_pooled else 0 : last + 1])
            for window, first, last in zip(
                examples.window.tolist(), examples.first.tolist(), examples.last.tolist(), strict=True
            )
        ]
        tokens, counts = np.unique([token for at in data.train for token in spans[at]], return_counts=True)
        column = {int(token): at for at, token in enumerate(tokens[counts >= LEAST_SEEN])}
        bags = torch.zeros(len(spans), max(1, len(column)))
        for row, span in zip(bags, spans, strict=True):
            row[[column[token] for token in span if token in column]] = 1
        target = torch.from_numpy(self.task.values[data.train])
        ridge = fit_ridge(bags[torch.from_numpy(data.train)], target[:, None])
        return predictions(ridge.probe, bags[torch.from_numpy(data.test)])

    # --- several draws each ------------------------------------------------------------------------------

    def add_draws(self) -> None:
        """The best of random directions' own probes, the probe in random bases, and random labels of token types."""
        from workbench.lab.probing.control_tasks import DRAWS, control_task, rotated
        from workbench.lab.probing.dense import random_directions

        task, x = self.task, self.x
        train = task.part(x, task.data.train)
        labels = task.part(self._halves(), task.data.train)
        _, drawn = random_directions(train, labels, DRAWS, task.seed)
        along = (x.to(drawn.device).double() @ drawn.T).float()
        self._draws(
            "random_directions",
            "one random direction (Σ)",
            (self._refit(along[:, at : at + 1], task.values) for at in range(DRAWS)),
            DRAWS,
        )
        turned = (self._refit(basis, task.values) for basis in rotated(x, task.seed))
        self._draws("rotated_basis", "this probe in a rotated basis", turned, DRAWS)
        if task.numeric:
            self.remarks.append("no control task: targets are numbers")
            return
        if task.data.is_pooled:
            self.remarks.append("no control task: examples read several tokens; the bag of tokens stands in its place")
            return
        types, which = probed_types(task.data)
        try:
            control = control_task(types, task.data.label, task.seed)
        except UserError as error:
            self.remarks.append(f"no control task: {error}")
            return
        fits = (self._refit(x, labels) for labels in control.labels)
        self._draws("control_task", f"control task on {which}", fits, DRAWS)
        self.remarks.append(
            f"selectivity: MCC {_signed(self.selectivity('mcc'))}, AUC {_signed(self.selectivity('auc'))} above the "
            f"control task, whose largest type has {control.largest_share:.1%} of the examples"
        )

    def selectivity(self, name: str) -> float:
        """The probe's score less that of its control tasks; nan where there are none."""
        control = self.row("control_task")
        return self.rows[0].value[name] - control.value[name] if control is not None else float("nan")

    def _halves(self) -> torch.Tensor:
        """The labels; of numbers which are above the median: bool [example]."""
        import torch

        values = self.task.values
        return torch.from_numpy(values > np.median(values) if self.task.numeric else values).to(self.x.device)

    def _refit(self, x: torch.Tensor, values: np.ndarray) -> Fit:
        def fit() -> tuple[np.ndarray, np.ndarray]:
            probe, _ = self.task.fit(x, values)
            test = self.task.data.test
            return predictions(probe, self.task.part(x, test)), values[test]

        return fit

    def _draws(self, key: str, name: str, fits: Iterable[Fit], n: int) -> None:
        scores = []
        for fit in self.report.track(fits, "probes", total=n, stage=f"baseline: {name}"):
            values = self._scored(fit)
            if values is not None:
                scores.append(values)
        if not scores:
            self.remarks.append(f"{name}: no draw has both classes in train and test")
            return
        columns = {each: [score[each] for score in scores] for each in self.task.names}
        means = {each: float(np.mean(column)) for each, column in columns.items()}
        ends = {each: (min(column), max(column)) for each, column in columns.items()}
        self.rows.append(Row(key, name, means, ends, len(scores)))
        self.changed()

    def _scored(self, fit: Fit) -> dict[str, float] | None:
        """None where the labels can't be fitted on train, or test has one class."""
        try:
            predicted, values = fit()
        except UserError:
            return None
        if len(np.unique(values)) < 2:
            return None
        return self.task.scores(predicted, values)

    def add_null(self, permutations: int) -> None:
        """Labels permuted as documents allow, the probe fitted anew at the chosen layer.

        The layer was chosen on validation, so that the test score is one of one, not the best of many.
        """
        from workbench.lab.probing.nulls import permuted_labels

        data = self.task.data
        drawn = permuted_labels(self.task.values, data.document, permutations, np.random.default_rng(self.task.seed))
        for values in self.report.track(list(drawn), "permutations", stage="permuted labels"):
            scores = self._scored(self._refit(self.x, values))
            if scores is not None:
                self.null.append(scores[self.task.lead])
        self.changed()

    # --- as a table --------------------------------------------------------------------------------------

    def table(self) -> Table:
        lead, *others = self.task.names
        rows: list[list[Any]] = [
            [
                row.name,
                row.value[lead],
                " to ".join(map(number, row.interval[lead])),
                *(row.value[name] for name in others),
                row.draws or None,
            ]
            for row in self.rows
        ]
        always = "" if self.task.numeric else f"; always positive: F1 {number(self.task.data.always_f1)}"
        return Table(
            title="Beside baselines, on test",
            note=" · ".join([f"test: {count(len(self.task.data.test))} examples{always}", *self.remarks]),
            columns=[
                Column(key="what", name="what", gives_way="never"),
                Column(key=lead, name=SCORES[lead], kind="number", gives_way="never"),
                Column(
                    key="interval",
                    name="95 %",
                    gives_way="late",
                    help="over resampled documents; of several draws the lowest and the highest",
                ),
                *(Column(key=name, name=SCORES[name], kind="number") for name in others),
                Column(key="draws", name="draws", kind="int", gives_way="early", help="of which these are means"),
            ],
            rows=rows,
            row_keys=[row.key for row in self.rows],
        )


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)
