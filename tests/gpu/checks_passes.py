"""Clean and edited passes against plain hooks on the bare model; what bfloat16 leaves of small effects; their cost."""

from __future__ import annotations

import numpy as np
import torch

from tests.gpu.models import (
    Subject,
    Subjects,
    difference,
    random_prompt,
    set_head,
    set_neuron,
    without,
    zero_middle,
)
from tests.gpu.record import Record, seconds_of
from tests.lab.plain import Change
from workbench.lab import metrics
from workbench.lab.compiling import switched_off
from workbench.lab.editing import Plan
from workbench.lab.study import study
from workbench.units import Neuron

NEURONS = 24
"""switched off one by one"""
ROUNDING = 3.0
"""times what a batch's shape moves one clean prompt: the largest of NEURONS such draws; in float32 that is next to
nothing"""


def run(subjects: Subjects, record: Record) -> None:
    for shape, dtype in (("1B", "bfloat16"), ("1B", "float32"), ("8B", "bfloat16")):
        subject = subjects.get(shape, dtype)
        _clean(subject, record)
        _edited(subject, record)
        _batched(subject, record)
        _timed(subject, subjects, record)
    _half_precision(subjects, record)


def _clean(subject: Subject, record: Record) -> None:
    ours = subject.lab.forward(subject.prompt).logits
    assert ours is not None
    off = difference(ours, subject.logits_before)
    same_bits = torch.equal(ours, subject.logits_before)
    text = "bit-equal" if same_bits else f"off by {off:.2g} sd of the logits"
    name = f"{subject.label}, clean logits beside the bare model's"
    record.check(name, off <= subject.tolerance, text, difference=off, bit_equal=same_bits)


def _cases(subject: Subject) -> dict[str, list[Change]]:
    """Edits by their text, and the same as plain hooks."""
    info = subject.lab.info
    layer = info.n_layers // 2
    column = subject.plain.layers[layer].mlp.down_proj.weight[:, 5]
    read_at = layer + 1 if layer + 1 < info.n_layers else layer
    return {
        f"L{layer}.N5=3": [(layer, "mlp_post", set_neuron(5, 3.0))],
        f"L{layer}.H1=0": [(layer, "z", set_head(1, info.d_head, 0.0))],
        f"L{read_at}.resid_pre@L{layer}.N5.out=0": [(read_at, "resid_pre", without(column))],
        f"L{layer}.resid_mid[3-8]=0": zero_middle(layer, 3, 9),
    }


def _edited(subject: Subject, record: Record) -> None:
    lab, tolerance = subject.lab, subject.tolerance
    clean = subject.logits_before
    for text, changes in _cases(subject).items():
        ours = lab.forward(subject.prompt, subject.edits(text)).logits
        assert ours is not None
        reference = subject.plain.logits(subject.ids, changes)
        off, effect = difference(ours, reference), difference(reference, clean)
        record.check(
            f"{subject.label}, {text} beside plain hooks",
            off <= tolerance,
            f"off by {off:.2g} sd of the logits, where the edit moves them by {effect:.2g}",
            difference=off,
            effect=effect,
        )
    same = lab.forward(subject.prompt, subject.edits(f"L{lab.info.n_layers // 2}.N5*=1"))
    kl = float(same.last_kl_from(lab.forward(subject.prompt))[0])
    record.check(f"{subject.label}, KL of an edit that changes nothing", kl == 0, f"{kl:.3g}", kl=kl)


def _plans(subject: Subject, n: int) -> list[Plan]:
    """Neurons of every layer, one a plan."""
    info = subject.lab.info
    random = np.random.default_rng(1)
    neurons = [Neuron(index % info.n_layers, int(random.integers(info.d_mlp))) for index in range(n)]
    return [switched_off([neuron], info) for neuron in neurons]


def _kl_in_batches(subject: Subject, plans: list[Plan]) -> np.ndarray:
    """KL of each plan, from `Study.run`, float64 [plan]."""
    kl = np.empty(len(plans))
    for results in study(subject.lab, subject.prompt).run(plans):
        kl[results.indices] = results.kl()
    return kl


def _batched(subject: Subject, record: Record) -> None:
    """A batch of another shape rounds otherwise: how much, the bare model says of the clean prompt."""
    plans = _plans(subject, NEURONS)
    largest = floor = 0.0
    for results in study(subject.lab, subject.prompt).run(plans):
        for row, index in enumerate(results.indices):
            alone = subject.lab.forward(subject.prompt, plans[index], logits="last").last
            assert alone is not None
            largest = max(largest, difference(results.logits[row], alone[0]))
        batch = subject.plain.logits(subject.ids.repeat(len(results.indices) + 1, 1), logits_to_keep=1)[:, -1]
        floor = max(floor, difference(batch, subject.logits_before[:, -1].expand_as(batch)))
    record.check(
        f"{subject.label}, {NEURONS} edits in batches beside one by one",
        largest <= max(ROUNDING * floor, subject.tolerance / 10),
        f"off by {largest:.2g} sd of the logits, where a batch's shape alone moves the bare model's by {floor:.2g}",
        difference=largest,
        floor=floor,
    )


def _timed(subject: Subject, subjects: Subjects, record: Record) -> None:
    rows, length = (2, 32) if subjects.small else (8, 512)
    vocabulary = subjects.shapes["1B"]["vocab_size"]
    edits = subject.edits("L0.N5=3", f"L{subject.lab.info.n_layers - 1}.H1=0")
    for count in (1, rows):
        prompts = [random_prompt(vocabulary, length, seed) for seed in range(count)]
        ids = torch.stack([torch.from_numpy(prompt.ids) for prompt in prompts]).to(subjects.device.name)
        plan = subject.lab.plan(edits)
        synchronise = subjects.device.synchronise
        bare = seconds_of(lambda ids=ids: subject.plain.logits(ids), synchronise)
        edited = seconds_of(lambda prompts=prompts, plan=plan: subject.lab.forward(prompts, plan), synchronise)
        record.figure(
            f"{subject.label}, edited forward of {count} × {length} tokens",
            f"{1e3 * edited:.2f} ms, bare {1e3 * bare:.2f} ms, ratio {edited / bare:.2f}",
            edited_seconds=edited,
            bare_seconds=bare,
        )


def _half_precision(subjects: Subjects, record: Record) -> None:
    """The same weights, the same edits: what bfloat16 makes of small effects."""
    coarse, fine = subjects.get("1B", "bfloat16"), subjects.get("1B", "float32")
    plans = _plans(coarse, NEURONS)
    kl_coarse, kl_fine = _kl_in_batches(coarse, plans), _kl_in_batches(fine, plans)
    clean = fine.plain.logits(fine.ids)[:, -1]
    layers = [next(iter(plan.changes)).layer for plan in plans]
    neurons = [next(iter(plan.units)).index for plan in plans]  # type: ignore[union-attr]
    reference = np.array(
        [
            float(
                metrics.kl(clean, fine.plain.logits(fine.ids, [(layer, "mlp_post", set_neuron(neuron, 0.0))])[:, -1])[0]
            )
            for layer, neuron in zip(layers, neurons, strict=True)
        ]
    )
    worst = float((np.abs(kl_fine - reference) / np.maximum(reference, 1e-8)).max())
    record.check(
        "1B float32, KL of small edits beside plain hooks",
        worst <= 0.1,
        f"off by {100 * worst:.2g} % at most, effects {reference.min():.2g} to {reference.max():.2g}",
        ours=kl_fine.tolist(),
        reference=reference.tolist(),
    )
    ratio = kl_coarse / np.maximum(kl_fine, 1e-30)
    order = np.corrcoef(np.argsort(np.argsort(kl_coarse)), np.argsort(np.argsort(kl_fine)))[0, 1]
    record.figure(
        "1B, KL of small edits in bfloat16 beside float32, the same weights",
        f"medians {np.median(kl_coarse):.2g} and {np.median(kl_fine):.2g}, ratio {np.median(ratio):.3g} "
        f"({ratio.min():.2g} to {ratio.max():.2g}), rank correlation {order:.2f}",
        bfloat16=kl_coarse.tolist(),
        float32=kl_fine.tolist(),
        rank_correlation=float(order),
    )
