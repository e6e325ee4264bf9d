"""What a probe of a few units is compared with on test: tokens alone, random units, other bases, random labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from workbench.errors import UserError
from workbench.experiments._chance import Chance
from workbench.experiments._probe_data import ProbeData, probed_types, seen_in_train, token_baselines
from workbench.report import Report
from workbench.text import number
from workbench.views import Column, Table

if TYPE_CHECKING:
    import torch

    from workbench.lab.probing.scores import Scores

NAMES = ("mcc", "auc", "f1")
PROBE = "probe"
ENOUGH = 10
"""test examples with a token that was probed in train, and of each class, that a comparison on them needs"""


class Compared(Protocol):
    """The probe, and how another is found and fitted as it was."""

    @property
    def layer(self) -> int: ...

    @property
    def k(self) -> int:
        """units that it reads"""

    @property
    def test(self) -> np.ndarray:
        """Logits on test, float64 [example]."""

    def refit(self, x: torch.Tensor, label: np.ndarray, random: int | None = None) -> np.ndarray:
        """Of activations x [example, unit] of its layer and labels (bool) [example]: logits on test, float64 [example].

        Of all units where there are fewer than k. With a seed `random`, of random units. nan where a class is missing
        on train.
        """


@dataclass(frozen=True)
class Row:
    """Scores on test; of several draws the mean, and the lowest and highest instead of an interval."""

    key: str
    name: str
    value: dict[str, float]
    """by NAMES"""
    interval: dict[str, tuple[float, float]]
    draws: int = 0
    """0: one probe, its interval over resampled documents"""

    @property
    def with_intervals(self) -> dict[str, tuple[float, float, float]]:
        """Score, low and high, by name, as a probe keeps them."""
        return {name: (self.value[name], *ends) for name, ends in self.interval.items()}


@dataclass
class Baselines:
    """Rows as they come, the probe's own first."""

    data: ProbeData
    chosen: Compared
    seed: int
    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    null: list[float] = field(default_factory=list)
    """MCC on test of the same probe fitted to permuted labels"""

    def row(self, key: str) -> Row | None:
        return next((row for row in self.rows if row.key == key), None)

    @property
    def probe(self) -> Row:
        return self.rows[0]

    @property
    def token(self) -> Row | None:
        """The best of the probes that read tokens alone."""
        keys = ("token_identity", "ngram", "bag_of_tokens")
        return max((row for row in self.rows if row.key in keys), key=lambda row: row.value["mcc"], default=None)

    @property
    def reads_token(self) -> Row | None:
        """The probe on tokens that does as well: its MCC is no lower than the lower end of the probe's interval."""
        token = self.token
        return token if token is not None and token.value["mcc"] >= self.probe.interval["mcc"][0] else None

    @property
    def chance(self) -> Chance:
        """The probe's MCC beside that of permuted labels."""
        return Chance(self.probe.value["mcc"], self.null)

    def add_probe(self) -> None:
        """The chosen probe itself, then the probes on tokens: what needs no activations."""
        self.rows.append(self._scored(PROBE, "this probe", self.chosen.test))
        for baseline in token_baselines(self.data):
            self.rows.append(self._scored(baseline.key, baseline.name, baseline.logits))
            if baseline.key == "token_identity":
                self._add_seen(baseline.logits)

    def _add_seen(self, identity: np.ndarray) -> None:
        """Both on the tokens that train has: there a rule over tokens is known to the probe on identities."""
        seen = seen_in_train(self.data)
        label = self.data.label[self.data.test]
        if seen.mean() < 0.5:
            self.remarks.append(
                f"{seen.mean():.0%} of test tokens are seen in train: identities and control tasks can tell little of "
                "the others"
            )
        if seen.all() or min(label[seen].sum(), (~label[seen]).sum()) < ENOUGH:
            return
        own = self._scored("probe_seen", "this probe, tokens seen in train", self.chosen.test, seen)
        self.rows += [own, self._scored("token_identity_seen", "their identity", identity, seen)]
        low = own.interval["mcc"][0]
        if self.rows[-1].value["mcc"] >= low:
            self.remarks.append(f"on the {seen.mean():.0%} of test tokens seen in train, their identity does as well")

    def _scored(self, key: str, name: str, logits: np.ndarray, some: np.ndarray | None = None) -> Row:
        from workbench.lab.probing.scores import bands, scores

        test = self.data.test if some is None else self.data.test[some]
        logits = (logits if some is None else logits[some])[None]
        label, document = self.data.label[test], self.data.document[test]
        table, band = scores(logits, label, document), bands(logits, label, document, self.seed)
        return Row(
            key,
            name,
            {each: float(getattr(table, each)[0]) for each in NAMES},
            {each: (float(band[each][0, 0]), float(band[each][0, 1])) for each in NAMES},
        )

    # --- with activations ---------------------------------------------------------------------------

    def add_refits(
        self, x: torch.Tensor, report: Report, changed: Callable[[], None], encoded: torch.Tensor | None = None
    ) -> None:
        """As many random units, the best in random bases, and random labels of the token's type: draws of each.

        x [example, unit] of the chosen layer; `changed` after each. Features are no basis: random ones are drawn of
        what they are encoded from, `encoded` [example, number] (METHODS, "Sparse probes").
        """
        from workbench.lab.probing.control_tasks import DRAWS, control_task, rotated

        data, chosen = self.data, self.chosen
        label = data.label
        fit = chosen.refit
        random = ((partial(fit, x, label, self.seed + draw), label) for draw in range(DRAWS))
        units = "unit" if chosen.k == 1 else "units"
        self._add_draws(
            "random_neurons", f"{chosen.k} random {units} of L{chosen.layer}", random, DRAWS, report, changed
        )
        basis = "a rotated basis" if encoded is None else "a rotated basis of what is encoded"
        bases = rotated(x if encoded is None else encoded, self.seed)
        rotations = ((partial(fit, turned, label), label) for turned in bases)
        self._add_draws("rotated_basis", f"the best in {basis}", rotations, DRAWS, report, changed)
        if data.is_pooled:
            self.remarks.append("no control task: examples read several tokens; the bag of tokens stands in its place")
            return
        types, which = probed_types(data)
        try:
            task = control_task(types, label, self.seed)
        except UserError as error:
            self.remarks.append(f"no control task: {error}")
            return
        tasks = ((partial(fit, x, labels), labels) for labels in task.labels)
        self._add_draws("control_task", f"control task on {which}", tasks, DRAWS, report, changed)
        self.remarks.append(
            f"selectivity: MCC {_signed(self.selectivity('mcc'))}, AUC {_signed(self.selectivity('auc'))} above the "
            f"control task, whose largest type has {task.largest_share:.1%} of the examples"
        )

    def selectivity(self, name: str) -> float:
        """The probe's score less that of its control tasks; nan where there are none."""
        control = self.row("control_task")
        return self.probe.value[name] - control.value[name] if control is not None else float("nan")

    def _add_draws(
        self,
        key: str,
        name: str,
        draws: Iterator[tuple[Callable[[], np.ndarray], np.ndarray]],
        n: int,
        report: Report,
        changed: Callable[[], None],
    ) -> None:
        values: dict[str, list[float]] = {each: [] for each in NAMES}
        for fit, label in report.track(draws, "probes", total=n, stage=f"baseline: {name}"):
            logits = fit()
            table = self._test_scores(logits, label)
            for each in NAMES:
                values[each].append(float("nan") if table is None else float(getattr(table, each)[0]))
        usable = {each: [value for value in series if not np.isnan(value)] for each, series in values.items()}
        if not usable["auc"]:
            self.remarks.append(f"{name}: no draw has both classes in train and test")
            return
        self.rows.append(
            Row(
                key,
                name,
                {each: float(np.mean(series)) for each, series in usable.items()},
                {each: (min(series), max(series)) for each, series in usable.items()},
                len(usable["auc"]),
            )
        )
        changed()

    def _test_scores(self, logits: np.ndarray, label: np.ndarray) -> Scores | None:
        """None where the labels can't be fitted on train, or test has one class."""
        from workbench.lab.probing.scores import scores

        test = label[self.data.test]
        if np.isnan(logits).any() or test.all() or not test.any():
            return None
        return scores(logits[None], test, self.data.document[self.data.test])

    def add_null(self, x: torch.Tensor, draws: int, report: Report, changed: Callable[[], None]) -> None:
        """The chosen layer, method and k with labels permuted as documents allow, ranked and fitted anew each time.

        The probe was chosen on validation, so that its test score is one of one, not the best of many.
        """
        from workbench.lab.probing.nulls import permuted_labels

        labellings = permuted_labels(self.data.label, self.data.document, draws, np.random.default_rng(self.seed))
        for label in report.track(list(labellings), "permutations", stage="permuted labels"):
            table = self._test_scores(self.chosen.refit(x, label), label)
            if table is not None:
                self.null.append(float(table.mcc[0]))
        changed()

    # --- as a table -----------------------------------------------------------------------------------

    def table(self) -> Table:
        rows = [
            [
                row.name,
                row.value["mcc"],
                " to ".join(map(number, row.interval["mcc"])),
                row.value["auc"],
                row.value["f1"],
                row.draws or None,
            ]
            for row in self.rows
        ]
        columns = [
            Column(key="what", name="what", gives_way="never"),
            Column(key="mcc", name="MCC", kind="number", gives_way="never"),
            Column(
                key="mcc_interval",
                name="95 %",
                gives_way="late",
                help="over resampled documents; of several draws the lowest and the highest",
            ),
            Column(key="auc", name="AUC", kind="number"),
            Column(key="f1", name="F1", kind="number"),
            Column(key="draws", name="draws", kind="int", gives_way="early", help="of which these are means"),
        ]
        note = [
            f"test: {len(self.data.test):,} examples; always positive: F1 {number(self.data.always_f1)}",
            *self.remarks,
        ]
        return Table(
            title="Beside baselines, on test",
            note=" · ".join(note),
            columns=columns,
            rows=rows,
            row_keys=[row.key for row in self.rows],
        )


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)
