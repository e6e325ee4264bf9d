"""What a batch is expected to take (`lab/batches.py`) and what it takes: batches are made to fit by the estimate."""

from __future__ import annotations

from collections.abc import Callable

from tests.gpu.models import Subject, Subjects, random_prompt
from tests.gpu.record import Record
from workbench.batch_memory import SHARE, Work, batch_bytes
from workbench.lab import metrics
from workbench.lab.batches import rows_at_once
from workbench.lab.compiling import switched_off
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import continue_all
from workbench.lab.metric import Metric
from workbench.lab.study import study
from workbench.units import Neuron, Site

TOKENS = 4
"""generated"""
_KL_BYTES = 5 * 8
"""of a logit in a block: five numbers in float64"""


def run(subjects: Subjects, record: Record) -> None:
    length = 32 if subjects.small else 256
    for shape, dtype in (("1B", "bfloat16"), ("1B", "float32"), ("8B", "bfloat16")):
        subject = subjects.get(shape, dtype)
        for work, run_work in WORKS.items():
            longest = length + (TOKENS if work == "generation" else 0)
            rows = rows_at_once(subject.lab.model, longest, work)
            subject.lab.model.clean.clear()
            _, used = subjects.device.peak(lambda: run_work(subject, length, rows))  # noqa: B023  called at once
            estimate = batch_bytes(subject.lab.info, rows, longest, work)
            # A batch is made as large as SHARE of the free memory, so this is what surely fits.
            if work == "forward":  # KL goes through the logits block by block, whatever the batch
                block = metrics.KL_BLOCK["cpu" if subject.lab.info.device == "cpu" else "other"]
                estimate += _KL_BYTES * min(block, rows * length * subject.lab.info.d_vocab)
            record.check(
                f"{subject.label}, memory of {work}, {rows} × {longest} tokens",
                used <= estimate / SHARE,
                f"{used / 2**20:,.0f} MiB, estimated {estimate / 2**20:,.0f}, ratio {used / estimate:.2f}",
                used=used,
                estimate=estimate,
                rows=rows,
            )
            subject.lab.model.clean.clear()


def _clean(subject: Subject, length: int, rows: int) -> None:
    """As `predict` does it without edits."""
    prompts = [random_prompt(subject.lab.info.d_vocab, length, seed) for seed in range(rows)]
    subject.lab.forward(prompts).surprise()


def _stream(subject: Subject, length: int, rows: int) -> None:
    """As `direction` does it."""
    info = subject.lab.info
    prompts = [random_prompt(info.d_vocab, length, seed) for seed in range(rows)]
    subject.lab.forward(prompts, sites=[Site(layer, "resid_pre") for layer in range(info.n_layers)], logits=None)


def _forward(subject: Subject, length: int, rows: int) -> None:
    """As `effect` does it."""
    prompts = [random_prompt(subject.lab.info.d_vocab, length, seed) for seed in range(rows)]
    clean, edited = subject.lab.forward(prompts), subject.lab.forward(prompts, subject.edits("L0.N0=0"))
    assert clean.logits is not None
    assert edited.logits is not None
    metrics.kl(clean.logits, edited.logits)
    edited.surprise()


def _last(subject: Subject, length: int, rows: int) -> None:
    info = subject.lab.info
    plans = [switched_off([Neuron(0, index % info.d_mlp)], info) for index in range(max(1, rows - 1))]
    for results in study(subject.lab, random_prompt(info.d_vocab, length)).run(plans):
        results.kl()


def _gradients(subject: Subject, length: int, rows: int) -> None:
    prompt = random_prompt(subject.lab.info.d_vocab, length)
    study(subject.lab, prompt).attribute([Metric("log-prob", token) for token in range(rows)])


def _generation(subject: Subject, length: int, rows: int) -> None:
    plan = subject.lab.plan([])
    batch = [Row(random_prompt(subject.lab.info.d_vocab, length, seed), plan) for seed in range(rows)]
    for _ in continue_all(subject.lab, batch, [Continuation() for _ in batch], TOKENS):
        pass


WORKS: dict[Work, Callable[[Subject, int, int], None]] = {
    "clean": _clean,
    "forward": _forward,
    "stream": _stream,
    "last": _last,
    "gradients": _gradients,
    "generation": _generation,
}
