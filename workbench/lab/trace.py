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

from workbench.errors import Cancelled, UserError
from workbench.lab.applying import Hook
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.loaded import Model
from workbench.lab.passes import BlockStart, Entry, Passed, run_pass
from workbench.lab.prompts import Prompt
from workbench.units import Site

TOLERANCE = 0.25
"""of a pass that begins at the last block, in standard deviations of the logits: 16-bit numbers are off by less, keys
and values that are missing by one or more"""


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
    # A copy: a view would keep the logits of every position.
    return Trace(prompt, plan, passed.starts, passed.last[0].clone())


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

    `stream` [row, position, d_model] is what that block is given: by default what it was given in the trace. A model
    whose blocks can't be run without the earlier ones is run from the first.
    """
    if not model.restarts:
        layer = 0
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


def restart_problem(model: Model, prompt: Prompt) -> str:
    """Why passes of this model can't begin at a later block, as a sentence; empty where they can.

    Some blocks read what earlier ones made beside the stream (Gemma 4: their keys and values). The last block is run
    from its own input and has to come to the whole pass' logits.
    """
    try:
        trace = trace_prompt(model, prompt, CLEAN)
        last = run_from(model, trace, model.info.n_layers - 1).last
    except (UserError, Cancelled):  # NotFinite is reported by the check of the logits
        return ""
    except Exception as error:  # what a block lacks then may fail in any way
        return _whole_passes(f"they stop with {type(error).__name__}")
    assert last is not None
    difference = float((last[0] - trace.last).abs().max() / trace.last.std())
    if not difference <= TOLERANCE:
        return _whole_passes(f"they are off by {difference:.2g} standard deviations of the logits")
    return ""


def _whole_passes(why: str) -> str:
    return f"sweep, why and patch run whole passes of this model, which is slower: begun at a later block, {why}"


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
