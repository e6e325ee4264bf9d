"""Memory that runs out: batches halve, the report says so, and the numbers are those of whole batches."""

from __future__ import annotations

import numpy as np

from tests.gpu.models import Subject, Subjects, difference, random_prompt
from tests.gpu.record import Record
from workbench.lab.batches import rows_at_once
from workbench.lab.compiling import switched_off
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import continue_all
from workbench.lab.metric import Metric
from workbench.lab.study import study
from workbench.report import Report
from workbench.units import Neuron

ENOUGH = 0.6
"""of what the whole batch takes: half of it fits, the whole does not"""
TOKENS = 4
TOLERANCE = 1e-3
"""of float32 numbers in batches of other shapes, as a share of the largest"""


class _Quiet:
    """A report's reader that reads nothing."""

    def changed(self, report: Report) -> None:
        return

    def between_batches(self, report: Report) -> None:
        return

    def streamed(self, report: Report) -> None:
        return


def run(subjects: Subjects, record: Record) -> None:
    subject = subjects.get("1B", "float32")
    length = 32 if subjects.small else 256
    for name, work in (("last", _last), ("gradients", _gradients), ("generation", _generation)):
        work(subject, length, Report(_Quiet()))  # what is kept for later is kept now
        whole, used = subjects.device.peak(lambda: work(subject, length, Report(_Quiet())))  # noqa: B023
        report = Report(_Quiet())
        with subjects.device.limited(int(ENOUGH * used)):
            halved = work(subject, length, report)
        off = float(np.abs(halved - whole).max() / np.abs(whole).max())
        noted = [note for note in report.notes if "memory ran out" in note]
        record.check(
            f"{subject.label}, {name}, {ENOUGH:.0%} of the {used / 2**20:,.0f} MiB that a batch takes",
            bool(noted) and off <= TOLERANCE,
            f"{'; '.join(noted) or 'memory did not run out'}; numbers off by {off:.2g} of the largest",
            used=used,
            difference=off,
            notes=noted,
        )
    _whole_again(subject, record)


def _last(subject: Subject, length: int, report: Report) -> np.ndarray:
    """Log-probabilities of one token under edits, one a row of a batch."""
    info, lab = subject.lab.info, subject.lab.job(report=report)
    rows = rows_at_once(lab.model, length, "last")
    plans = [switched_off([Neuron(0, index % info.d_mlp)], info) for index in range(max(1, rows - 1))]
    values = np.empty(len(plans))
    for results in study(lab, random_prompt(info.d_vocab, length)).run(plans):
        values[results.indices] = results.value(Metric("log-prob", 7))
    return values


def _gradients(subject: Subject, length: int, report: Report) -> np.ndarray:
    lab = subject.lab.job(report=report)
    rows = rows_at_once(lab.model, length, "gradients")
    traced = study(lab, random_prompt(lab.info.d_vocab, length))
    return traced.attribute([Metric("log-prob", token) for token in range(rows)]).neurons


def _generation(subject: Subject, length: int, report: Report) -> np.ndarray:
    """Surprise of the tokens that are generated."""
    lab = subject.lab.job(report=report)
    rows = rows_at_once(lab.model, length + TOKENS, "generation")
    plan = lab.plan([])
    batch = [Row(random_prompt(lab.info.d_vocab, length, seed), plan) for seed in range(rows)]
    continuations = [Continuation() for _ in batch]
    for _ in continue_all(lab, batch, continuations, TOKENS):
        pass
    return np.concatenate([continuation.surprise for continuation in continuations])


def _whole_again(subject: Subject, record: Record) -> None:
    """After the limit is lifted: nothing was left on the model."""
    hooks = subject.lab.hooks_installed()
    off = difference(subject.plain.logits(subject.ids), subject.logits_before)
    text = f"{hooks} hooks are left, the bare logits are off by {off:.2g} sd"
    record.check(f"{subject.label}, the model afterwards", hooks == 0 and off <= subject.tolerance, text, hooks=hooks)
