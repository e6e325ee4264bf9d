"""A prompt's clean pass, kept so that any block can be run again from its own input.

What an edit of layer l cannot change is never computed twice: many edits of one prompt run as the rows of a batch
that starts at the first edited layer, on the cached residual stream. Numbers equal a whole pass of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.lab.applying import Hook
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.loaded import Model
from workbench.lab.passes import BlockStart, Entry, Passed, run_pass
from workbench.lab.prompts import Prompt
from workbench.units import Site


@dataclass(frozen=True)
class Trace:
    """One prompt under the job's own edits, layer by layer."""

    prompt: Prompt
    plan: Plan
    """the edits that are on throughout"""
    starts: tuple[BlockStart, ...]
    """of every block, one row"""
    last: torch.Tensor
    """logits at the last position, [vocabulary]"""


def trace_prompt(model: Model, prompt: Prompt, plan: Plan) -> Trace:
    """Run the prompt once and keep what its blocks were given. Raises NotFinite."""
    # Not inference mode: what is kept here is used again where gradients are wanted.
    passed = run_pass(model, _rows(model, prompt, 1), [plan], keep_starts=True, gradients=torch.no_grad)
    assert passed.last is not None
    return Trace(prompt, plan, passed.starts, passed.last[0])


def run_from(
    model: Model,
    trace: Trace,
    layer: int,
    plans: Sequence[Plan] = (CLEAN,),
    *,
    stream: torch.Tensor | None = None,
    capture: Sequence[Site] = (),
    watch: Mapping[Site, Hook] | None = None,
    gradients: Callable[[], AbstractContextManager[Any]] = torch.inference_mode,
) -> Passed:
    """A row for each plan, on top of the trace's own edits, from block `layer` on. Raises NotFinite.

    `stream` [row, position, d_model] is what that block is given: by default what it was given in the trace.
    """
    if stream is None:
        stream = trace.starts[layer].stream.expand(len(plans), -1, -1).contiguous()
    stacked = {id(plan): _stacked(trace.plan, plan) for plan in plans}
    return run_pass(
        model,
        _rows(model, trace.prompt, len(plans)),
        [stacked[id(plan)] for plan in plans],
        head="last",
        capture=capture,
        watch=watch,
        entry=Entry(trace.starts, layer, stream),
        gradients=gradients,
    )


def _rows(model: Model, prompt: Prompt, n: int) -> torch.Tensor:
    """The prompt's ids, int64 [n, position]."""
    return torch.from_numpy(prompt.ids).to(model.hf.device).expand(n, -1)


def first_layer(plan: Plan, n_layers: int) -> int:
    """The first block that a plan changes; the last one for a plan that changes nothing."""
    return min((site.layer for site in plan.changes), default=n_layers - 1)


def groups_by_layer(plans: Sequence[Plan], n_layers: int) -> Iterator[tuple[int, np.ndarray]]:
    """Every plan once, in groups that can start at one block: that block, and int64 [plan] indices."""
    starts = np.asarray([first_layer(plan, n_layers) for plan in plans], np.int64)
    order = np.argsort(starts, kind="stable")
    done = 0
    while done < len(order):
        layer = int(starts[order[done]])
        # Plans that start a little later may come along: they lose little, and small batches cost more.
        reach = layer + max(1, (n_layers - layer) // 8)
        group = order[done:][starts[order[done:]] <= reach]
        yield layer, group
        done += len(group)


def _stacked(lower: Plan, upper: Plan) -> Plan:
    assert not (lower.skip_first)
    assert not (upper.skip_first)
    if not lower.changes:
        return upper
    sites = dict.fromkeys([*lower.changes, *upper.changes])
    return Plan({site: (*lower.changes.get(site, ()), *upper.changes.get(site, ())) for site in sites})
