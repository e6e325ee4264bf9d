"""Greedy generation with and without the key-value cache, clean and edited, against `model.generate`; its speed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from tests.gpu.models import Subject, Subjects, random_prompt, set_head, set_neuron
from tests.gpu.record import Record, seconds_of
from tests.lab.plain import Change
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import continue_all, generate


def run(subjects: Subjects, record: Record) -> None:
    tokens = 8 if subjects.small else 16
    for shape, dtype in (("1B", "float32"), ("1B", "bfloat16"), ("8B", "bfloat16")):
        subject = subjects.get(shape, dtype)
        layer = subject.lab.info.n_layers // 2
        edited = f"L{layer}.N5=8;L{layer}.H1=0"
        changes: list[Change] = [
            (layer, "mlp_post", set_neuron(5, 8.0)),
            (layer, "z", set_head(1, subject.lab.info.d_head, 0.0)),
        ]
        for text, hooks in (("", []), (edited, changes)):
            for use_cache in (True, False):
                _compared(subject, text, hooks, use_cache, tokens, record)
        _timed(subject, subjects, tokens, record)


def _reference(subject: Subject, changes: Sequence[Change], use_cache: bool, tokens: int) -> Any:
    """What the bare model generates: its ids int64 [step], its logits [step, vocabulary]."""
    with subject.plain.hooked(changes):
        output = subject.plain.model.generate(
            subject.ids,
            attention_mask=torch.ones_like(subject.ids),
            do_sample=False,
            max_new_tokens=tokens,
            use_cache=use_cache,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return output.sequences[0, subject.ids.shape[1] :].tolist(), torch.stack(output.logits)[:, 0]


def _compared(
    subject: Subject, text: str, changes: Sequence[Change], use_cache: bool, tokens: int, record: Record
) -> None:
    """Equal tokens; the first that differs has to be a tie of the bare model's logits, up to rounding."""
    edits = subject.edits(text) if text else []
    steps = generate(subject.lab, subject.prompt, edits, use_cache=use_cache)
    ours = [step.id for step in islice(steps, tokens)]
    reference, logits = _reference(subject, changes, use_cache, tokens)
    equal = next((n for n, pair in enumerate(zip(ours, reference, strict=False)) if pair[0] != pair[1]), None)
    gap = 0.0
    if equal is None:
        passed, said = len(ours) == len(reference), f"{len(ours)} tokens, all equal"
    else:
        at = logits[equal].double()
        gap = float((at[reference[equal]] - at[ours[equal]]) / at.std())
        passed = gap <= subject.tolerance
        said = f"{equal} of {tokens} tokens equal, then two logits {gap:.2g} sd apart"
    cached = "with the cache" if use_cache else "without the cache"
    record.check(
        f"{subject.label}, greedy {'under ' + text if text else 'clean'}, {cached}, beside model.generate",
        passed,
        said,
        equal=len(ours) if equal is None else equal,
        tokens=tokens,
        gap=gap,
    )


def _timed(subject: Subject, subjects: Subjects, tokens: int, record: Record) -> None:
    for rows in (1, 2 if subjects.small else 16):
        prompts = [random_prompt(subjects.shapes["1B"]["vocab_size"], len(subject.prompt), n) for n in range(rows)]
        plan = subject.lab.plan([])

        def ours(prompts: Any = prompts, plan: Any = plan) -> None:
            growing = [Continuation() for _ in prompts]
            sized = [Row(prompt, plan) for prompt in prompts]
            for _ in continue_all(subject.lab, sized, growing, tokens):
                pass

        ids = torch.from_numpy(np.stack([prompt.ids for prompt in prompts])).to(subjects.device.name)

        def bare(ids: torch.Tensor = ids) -> None:
            subject.plain.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, use_cache=True
            )

        synchronise = subjects.device.synchronise
        our_seconds, bare_seconds = (seconds_of(work, synchronise, repeats=1) for work in (ours, bare))
        rates = [rows * tokens / seconds for seconds in (our_seconds, bare_seconds)]
        record.figure(
            f"{subject.label}, generation of {rows} row{'s' * (rows > 1)}",
            f"{rates[0]:.1f} tokens/s, model.generate {rates[1]:.1f}, ratio {rates[0] / rates[1]:.2f}",
            tokens_per_second=rates[0],
            bare_tokens_per_second=rates[1],
        )
