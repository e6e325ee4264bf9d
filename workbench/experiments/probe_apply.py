"""A kept probe on another labelled set, or on a text token by token.

On a set: its scores with their interval over documents beside those on the test examples of its own set, permuted
labels, and random directions of the same activations. On a text: its score at every token, the threshold marked; under
edits, beside the unedited model's. The probe is the one that `dense-probe`, `sparse-probe` or `neuron-probe` made in
the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta, field

from workbench.artifacts.probe import Probe, from_stored
from workbench.artifacts.sae import content_of, find_sae
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._chance import Chance
from workbench.experiments._dense import SCORES, DenseTask
from workbench.experiments._probe_data import ProbeData, probe_data
from workbench.experiments._probe_text import add_text
from workbench.params import ChatSwitch, DataSet, ProbeName, PromptText, StoredProbe
from workbench.params import Params as BaseParams
from workbench.report import Report
from workbench.result_keys import ProbeApply
from workbench.statistics import band
from workbench.text import count, number, quoted
from workbench.views import Column, Histogram, Mark, Scatter, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab

BINS = 40
PERMUTATIONS = 200
DIRECTIONS = 32
"""random ones that the probe's scores are compared with"""
POOLED = {"token": "one token", "mean": "the mean over tokens", "max": "the largest over tokens"}


class Params(BaseParams, kw_only=True, frozen=True):
    probe: Annotated[
        ProbeName, Meta(description="a probe of the session, by its name", extra={"example": "months-logistic"})
    ] = field(default_factory=StoredProbe)
    data: Annotated[
        DataSet,
        Meta(description="a labelled set to read with it: its name, or a CSV", extra={"example": "months"}),
    ] = field(default_factory=LabelledSet)
    text: Annotated[
        PromptText,
        Meta(description="a text to read token by token", extra={"example": "We met in June and parted in May."}),
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the text into the model's chat template")] = False


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.identify import identify
    from workbench.lab.probing.text import check_model, probe_sae

    if not params.probe:
        raise UserError("no probe was named: give --probe NAME (workbench artifacts list --kind probe shows them)")
    if not len(params.data) and not params.text:
        raise UserError("there is nothing to read: give --data NAME-OR-FILE, or --text TEXT")
    probe = from_stored(params.probe)
    identify(lab, report)
    check_model(lab, probe)
    if probe_sae(lab, probe) is not None:
        report.uses(content_of(find_sae(probe.reading.sae)), probe.reading.sae)
    report.note(f"{params.probe.name}: {described(probe)}")
    sentences = []
    if len(params.data):
        sentences.append(_add_set(lab, params, probe, report))
        report.say(sentences[0])
    if params.text:
        sentences.append(add_text(lab, params.probe.name, probe, params.text, params.chat, report))
    report.say(" · ".join(sentences))


def described(probe: Probe) -> str:
    """`a month against another word at L1.resid_post, dense, logistic, C 1, fitted on months`."""
    reading = probe.reading
    units = probe.units
    several = f"features of {reading.sae}" if reading.sae else f"neurons of L{reading.layer}"
    place = units[0] if len(units) == 1 else f"{count(len(units))} {several}"
    what = "numbers" if reading.numeric else f"{quoted(reading.classes[1])} against {quoted(reading.classes[0])}"
    return f"{what} at {place}, {reading.method}, fitted on {reading.data_set}"


def _add_set(lab: Lab, params: Params, probe: Probe, report: Report) -> str:
    from workbench.lab.probing.store import take, take_features
    from workbench.lab.probing.text import probe_sae

    reading, name = probe.reading, params.probe.name
    if params.data.numeric != reading.numeric:
        kinds = ("two classes", "numbers")
        raise UserError(
            f"the targets of {params.data.name or 'the set'} are {kinds[params.data.numeric]}, and {name} was fitted "
            f"on {kinds[reading.numeric]}: give a set of those"
        )
    data = probe_data(lab, params.data, report, numbers=True, seed=reading.seed)
    own = data.set_hash == reading.set_hash
    rows = data.test if own else np.arange(len(data.label))
    if own:
        report.note(f"{data.name} is the set that {name} was fitted on: only its test examples count")
    pooling = data.examples.pooling
    if pooling != reading.pooling:
        report.note(
            f"{name} was fitted on {POOLED.get(reading.pooling, reading.pooling)} of each example, and {data.name} has "
            f"{POOLED.get(pooling, pooling)}: its threshold was chosen for other spreads"
        )
    named = {"data_set": data.name, "set_hash": data.set_hash}
    placed = probe_sae(lab, probe)
    if placed is not None:
        taken = take_features(lab, data.examples, placed, reading.sae_hash, report, **named)
    else:
        taken = take(lab, data.examples, reading.site, [reading.layer], report, **named)
    with taken as store:
        values = np.array(store.layer(reading.layer))[rows]
    scores = probe.scores(values)
    return _Applied(lab, data, rows, own, name, probe, scores).add(values, report)


class _Applied:
    """A probe's scores of examples, float64 [row], beside what they are compared with."""

    def __init__(
        self, lab: Lab, data: ProbeData, rows: np.ndarray, own: bool, name: str, probe: Probe, scores: np.ndarray
    ) -> None:
        self._data, self._rows, self._own, self._name, self._probe = data, rows, own, name, probe
        self._task = DenseTask(data, "ridge" if probe.reading.numeric else "logistic", 1.0, lab.seed)
        self._predicted = scores if self._task.numeric else scores - probe.reading.threshold
        self._values = self._task.values[rows]
        self._document = data.document[rows]

    def add(self, values: np.ndarray, report: Report) -> str:
        """`values` are the activations [row, number]. Returns what was found, as a sentence."""
        task, lead = self._task, self._task.lead
        scores = task.scores(self._predicted, self._values)
        interval = task.intervals(self._predicted, self._values, self._document)
        null = self._permuted()
        random = self._random(values)
        chance = Chance(scores[lead], null)
        report.add(ProbeApply.SCORES, self._table(scores, interval, null, random))
        report.add(ProbeApply.ALONG, self._along())
        for key, value in scores.items():
            report.scalar(key, value)
        low, high = interval[lead]
        report.scalar(ProbeApply.LOW, low)
        report.scalar(ProbeApply.HIGH, high)
        report.scalar(ProbeApply.P, chance.p)
        positive = float(self._values.mean())
        always = 2 * positive / (1 + positive)
        title = SCORES[lead]
        where = f"the test examples of its own set {self._data.name}" if self._own else self._data.name
        parts = [f"{self._name} on {where}: {title} {number(scores[lead])} ({number(low)} to {number(high)})"]
        kept = self._probe.reading.test.get(lead)
        if kept and not self._own:
            parts.append(
                f"on the test examples of its own set {self._probe.reading.data_set}: {number(kept[0])} "
                f"({number(kept[1])} to {number(kept[2])})"
            )
        if not task.numeric:
            report.scalar("f1_always_positive", always)
            parts.append(f"AUC {number(scores['auc'])}, F1 {number(scores['f1'])} (always positive {number(always)})")
        parts.append(chance.text)
        parts.append(f"{count(len(self._rows))} examples of {count(len(np.unique(self._document)))} documents")
        return " · ".join(parts)

    def _permuted(self) -> np.ndarray:
        """The score that leads, of the same predictions under labels permuted as documents allow: float64 [draw]."""
        from workbench.lab.probing.nulls import permuted_labels

        random = np.random.default_rng(self._task.seed)
        drawn = permuted_labels(self._values, self._document, PERMUTATIONS, random)
        lead = self._task.lead
        return np.array([self._task.scores(self._predicted, values)[lead] for values in drawn])

    def _random(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Scores of random directions drawn from the activations' covariance, by key [draw]; none of a single unit.

        Each is read with the sign that is better, 0 where the examples' median is. Numbers have none.
        """
        indices = self._probe.reading.indices
        chosen = values[:, list(indices)] if indices else values
        if self._task.numeric or chosen.shape[1] < 2:
            return {}
        random = np.random.default_rng(self._task.seed)
        centred = chosen.astype(np.float64) - chosen.mean(axis=0, dtype=np.float64)
        along = centred @ (random.standard_normal((DIRECTIONS, len(centred))) @ centred).T
        tables = []
        for direction in along.T:
            logits = direction - np.median(direction)
            both = [self._task.scores(sign * logits, self._values) for sign in (1, -1)]
            tables.append(max(both, key=lambda scores: scores["auc"]))
        return {name: np.array([table[name] for table in tables]) for name in self._task.names}

    def _table(
        self,
        scores: dict[str, float],
        interval: dict[str, tuple[float, float]],
        null: np.ndarray,
        random: dict[str, np.ndarray],
    ) -> Table:
        task, kept = self._task, self._probe.reading.test
        lead, *others = task.names
        here = f"{self._data.name}, test" if self._own else self._data.name
        rows: list[list[Any]] = [
            [here, scores[lead], _ends(*interval[lead]), *(scores[name] for name in others), len(self._rows)]
        ]
        keys = ["set"]
        if kept:
            cells: list[Any] = [kept[name][0] if name in kept else None for name in others]
            own = kept.get(lead)
            rows.append(
                [
                    f"{self._probe.reading.data_set}, test, when fitted",
                    own and own[0],
                    _ends(*own[1:]) if own else "",
                    *cells,
                    None,
                ]
            )
            keys.append("own")
        middle = band(null)
        rows.append(["labels permuted", middle.median, _ends(middle.low, middle.high), *[None] * len(others), None])
        keys.append("permuted")
        if random:
            medians = [float(np.median(random[name])) for name in others]
            middle = band(random[lead])
            rows.append(["random directions", middle.median, _ends(middle.low, middle.high), *medians, None])
            keys.append("random")
        return Table(
            title="Scores, beside its own test set",
            note=f"{count(len(self._rows))} examples of {count(len(np.unique(self._document)))} documents; 95 % over "
            f"resampled documents; of {PERMUTATIONS} permutations and {DIRECTIONS} random directions of the same "
            "activations (the better sign of each) median and 5–95 %",
            columns=[
                Column(key=ProbeApply.WHAT, name="on", gives_way="never"),
                Column(key=lead, name=SCORES[lead], kind="number", gives_way="never"),
                Column(key="interval", name="interval", gives_way="late"),
                *(Column(key=name, name=SCORES[name], kind="number") for name in others),
                Column(key="examples", name="examples", kind="int", gives_way="early"),
            ],
            rows=rows,
            row_keys=keys,
        )

    def _along(self) -> Histogram | Scatter:
        """Scores by class; numbers against their targets."""
        if self._task.numeric:
            return Scatter(
                title=f"Predicted numbers of {self._data.name}",
                x=self._values,
                y=self._predicted,
                x_label="target",
                y_label="predicted",
            )
        scores = self._predicted
        edges = np.linspace(min(scores.min(), 0), max(scores.max(), 0), BINS + 1)
        if edges[0] == edges[-1]:
            edges = np.linspace(-0.5, 0.5, BINS + 1)
        return Histogram(
            title=f"Scores by class, {self._data.name}",
            note="what lies above 0 is read as the second class",
            edges=edges,
            series=[
                Series(name=name, y=np.histogram(scores[self._values == label], edges)[0])
                for label, name in ((True, self._data.examples.classes[1]), (False, self._data.examples.classes[0]))
            ],
            x_label="score above the threshold",
            marks=[Mark(x=0.0, label="threshold")],
        )


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


EXPERIMENT = Experiment(
    name="probe-apply", help=__doc__, params=Params, run=run, group="probes", order=78
)  # fmt: skip
