"""What else is read off a model: attribution, direct contributions, the lens, controls, patches, sampling.

None of these has a way of its own through the blocks; each makes tensors of its own, which have to be on the device.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from tests.gpu.models import Subject, Subjects, difference, random_prompt
from tests.gpu.record import Record
from workbench.lab import metrics
from workbench.lab.controls import controls, further_controls
from workbench.lab.generate import generate
from workbench.lab.lens import lens
from workbench.lab.metric import Metric
from workbench.lab.reading import read
from workbench.lab.study import same_distance, study
from workbench.units import Site, parse_unit

ANSWER = 7
CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""of sums over many neurons, as a share of the largest number"""


def run(subjects: Subjects, record: Record) -> None:
    for dtype in ("float32", "bfloat16"):
        subject = subjects.get("1B", dtype)
        _attribution(subject, record)
        _direct(subject, record)
        _lens(subject, record)
        _patches(subject, record)
        _units(subject, record)
        _controls(subject, record)
        _sampled(subject, record)


def _attribution(subject: Subject, record: Record) -> None:
    """-Σ a · ∂(log p)/∂a of a layer's neurons, beside torch's gradient on the bare model."""
    layer = subject.lab.info.n_layers // 2
    ours = study(subject.lab, subject.prompt).attribute([Metric("log-prob", ANSWER)]).neurons[0, layer]
    kept: list[torch.Tensor] = []

    def keep(activation: torch.Tensor) -> torch.Tensor:
        kept.append(activation.detach().requires_grad_())
        return kept[-1]

    with subject.plain.hooked([(layer, "mlp_post", keep)]), torch.enable_grad():
        logits = subject.plain.model(input_ids=subject.ids, use_cache=False).logits[0, -1]
        (gradient,) = torch.autograd.grad(logits.float().log_softmax(-1)[ANSWER], kept)
    reference = -(kept[0].detach() * gradient).float()[0, 1:].sum(0).cpu().numpy()
    off = float(np.abs(ours - reference).max() / np.abs(reference).max())
    allowed = CLOSE[subject.plain.model.dtype]
    record.check(
        f"{subject.label}, attribution of a layer's neurons beside torch's gradient",
        off <= allowed,
        f"off by {off:.2g} of the largest",
        difference=off,
    )


def _direct(subject: Subject, record: Record) -> None:
    parts = study(subject.lab, subject.prompt).direct(Metric("log-prob", ANSWER))
    off = abs(parts.total - parts.whole) / float(subject.logits_before.float().std())
    allowed = CLOSE[subject.plain.model.dtype]
    text = f"{parts.total:.4f} of {parts.whole:.4f}, off by {off:.2g} sd of the logits"
    name = f"{subject.label}, the sum of what each part adds to a logit"
    record.check(name, off <= allowed, text, total=parts.total, whole=parts.whole)


def _lens(subject: Subject, record: Record) -> None:
    rows = lens(subject.lab, subject.prompt)
    for row in range(len(rows)):
        rows.row(row, ANSWER)
    off = difference(rows.logits(len(rows) - 1), subject.logits_before)
    record.check(
        f"{subject.label}, the logit lens' last row beside the logits",
        off <= subject.tolerance,
        f"off by {off:.2g} sd",
        difference=off,
    )


def _patches(subject: Subject, record: Record) -> None:
    """The other prompt's stream at the first block's input gives the other prompt's logits."""
    traced = study(subject.lab, subject.prompt)
    other_prompt = random_prompt(subject.lab.info.d_vocab, len(subject.prompt), seed=1)
    plans = traced.patches(
        study(subject.lab, other_prompt), [(Site(0, "resid_pre"), None, None), (Site(0, "z"), 1, None)]
    )
    logits = torch.cat([results.logits for results in traced.run(plans)])
    reference = subject.plain.logits(torch.from_numpy(other_prompt.ids)[None].to(subject.ids.device))[0, -1]
    off = difference(logits[0], reference)
    record.check(
        f"{subject.label}, another prompt's stream patched in beside that prompt's own logits",
        off <= subject.tolerance,
        f"off by {off:.2g} sd",
        difference=off,
    )


def _units(subject: Subject, record: Record) -> None:
    """A neuron's activation as it is shown, beside a plain hook."""
    info = subject.lab.info
    layer = info.n_layers // 2
    names = (f"L{layer}.N5", f"L{layer}.H1", f"L{layer}.resid_post", f"L{layer}.resid_post@L0.N3.out", "@L0.N3.out")
    readings = read(subject.lab, [parse_unit(name, info) for name in names], subject.prompt)
    ours = next(reading.values for reading in readings if reading.unit == names[0] and reading.main)
    reference = subject.plain.read(subject.ids, layer, "mlp_post")[0, :, 5].float().cpu().numpy()
    off = float(np.abs(ours - reference).max())
    finite = all(np.isfinite(reading.values).all() for reading in readings)
    record.check(
        f"{subject.label}, {len(readings)} readings of units; {names[0]} beside a plain hook",
        finite and off <= 1e-2 * np.abs(reference).max(),
        f"off by {off:.2g}{'' if finite else '; some are not finite'}",
        difference=off,
    )


def _controls(subject: Subject, record: Record) -> None:
    """Matched random controls of each kind: each has a number."""
    lab = subject.lab
    layer = lab.info.n_layers // 2
    divergences: list[float] = []
    for text in (f"L{layer}.N5=0", f"L{layer}.H1=0", f"L{layer}.N7=mean", f"L{layer}.resid_pre+=2*@L0.N3.out"):
        edits = subject.edits(text)
        for kind in (controls(lab, edits, 3), *further_controls(lab, edits, 3)):
            for plan in kind.plans:
                logits = lab.forward(subject.prompt, plan, logits="last").last
                clean = lab.forward(subject.prompt, logits="last").last
                assert logits is not None
                assert clean is not None
                divergences.append(float(metrics.kl(clean, logits)[0]))
    traced = study(lab, subject.prompt)
    moved = same_distance(lab, traced, lab.plan(subject.edits(f"L{layer}.N5=0")), 3).plans
    divergences += [kl for results in traced.run(moved) for kl in results.kl().tolist()]
    record.check(
        f"{subject.label}, KL of {len(divergences)} matched random controls",
        bool(np.isfinite(divergences).all()) and max(divergences) > 0,
        f"{min(divergences):.2g} to {max(divergences):.2g}",
        kl=divergences,
    )


def _sampled(subject: Subject, record: Record) -> None:
    draws = [
        [token.id for token in islice(generate(subject.lab, subject.prompt, temperature=1.0, top_k=50), 4)]
        for _ in range(2)
    ]
    record.check(
        f"{subject.label}, sampling by one seed, twice", draws[0] == draws[1], f"{draws[0]} and {draws[1]}", draws=draws
    )
