"""The stream at the last positions of prompts, at every block's input: one pass a batch gives all layers.

Positions count from each prompt's end, so that prompts of different lengths stand under one another; what a chat
template writes after the text is the same tokens in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from workbench.batch_memory import SHARE
from workbench.errors import UserError
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.forward import run_forward
from workbench.lab.loaded import Model
from workbench.lab.memory import free_memory
from workbench.lab.prompts import Prompt
from workbench.report import Report
from workbench.text import size


def tokens_after(prompts: Sequence[Prompt]) -> int:
    """How many tokens the chat template writes after the text. Raises UserError where that differs between prompts."""
    counts: dict[int, Prompt] = {}
    for prompt in prompts:
        if not prompt.verbatim:
            raise UserError(
                f"the chat template changes the text {prompt.text!r}: which tokens come after it is not known, "
                "say how many with --positions"
            )
        after = 0
        for origin in reversed(prompt.origins):
            if origin != "template":
                break
            after += 1
        counts.setdefault(after, prompt)
    if len(counts) > 1:
        (few, first), (many, second) = sorted(counts.items())[:2]
        raise UserError(
            f"the chat template ends in {few} tokens after {first.text!r} and in {many} after {second.text!r}: "
            f"positions from the end would be different tokens; leave one out, or take --positions {few or 1}"
        )
    return max(1, *counts)


def end_states(model: Model, prompts: Sequence[Prompt], positions: int, report: Report) -> torch.Tensor:
    """`resid_pre` of every layer at the last `positions` tokens of each prompt: [layer, position, prompt, d_model].

    On the processor, in the model's own number type. Raises UserError where a prompt is shorter, or where that is more
    than half of the free memory.
    """
    short = next((prompt for prompt in prompts if len(prompt) < positions), None)
    if short is not None:
        raise UserError(
            f"the prompt {short.text!r} has {len(short)} tokens, fewer than the {positions} that are compared: "
            "take fewer positions, or leave it out"
        )
    sites = model.sites.block_inputs
    shape = (len(sites), positions, len(prompts), model.info.d_model)
    needed = int(np.prod(shape)) * model.hf.dtype.itemsize
    if needed > SHARE * free_memory("cpu"):
        raise UserError(
            f"{len(prompts)} prompts at {positions} positions take {size(needed)} of memory, more than half of what is "
            "free: take fewer of either"
        )
    states = torch.empty(shape, dtype=model.hf.dtype)
    # Prompts of like length go together: little padding.
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    rows = rows_at_once(model, max(map(len, prompts)), "stream")
    for batch in report.track(
        batches(order, rows, report, model), "prompts", len(prompts), stage="reading the prompts"
    ):
        with batch:
            members = [prompts[at] for at in batch.rows]
            captured = run_forward(model, members, capture=sites, keep=None).captured
            row = torch.arange(len(members))[:, None]
            column = torch.tensor([len(prompt) for prompt in members])[:, None] + torch.arange(-positions, 0)
            places = torch.stack([captured[site][row, column] for site in sites])
            states[:, :, torch.tensor(batch.rows)] = places.transpose(1, 2).cpu()
    return states
