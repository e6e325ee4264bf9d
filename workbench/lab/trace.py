"""A prompt's clean pass, kept so that any block can be run again from its own input.

What an edit of layer l cannot change is never computed twice: many edits of one prompt run as the rows of a batch
that starts at the first edited layer, on the cached residual stream. Numbers equal a whole pass of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.lab.applying import Hook, Pass, edit_hooks
from workbench.lab.editing import Plan
from workbench.lab.finite import explain, whole
from workbench.lab.forward import hooked, not_finite
from workbench.lab.loading import Model
from workbench.lab.prompts import Prompt
from workbench.units import Site


@dataclass(frozen=True)
class Trace:
    """One prompt under the job's own edits, layer by layer."""

    prompt: Prompt
    plan: Plan
    """the edits that are on throughout"""
    starts: tuple[torch.Tensor, ...]
    """the stream at each block's input, before edits of it, [1, position, d_model] each"""
    calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    """what else the model hands to each block: masks, rotations, positions"""
    last: torch.Tensor
    """logits at the last position, [vocabulary]"""


def trace_prompt(model: Model, prompt: Prompt, plan: Plan) -> Trace:
    """Run the prompt once and keep what its blocks were called with. Raises NotFinite."""
    calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    handles = []

    def keep(layer: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls[layer] = (args, dict(kwargs))

        return hook

    for layer, block in enumerate(model.bridge.blocks):
        handles.append(block.register_forward_pre_hook(keep(layer), with_kwargs=True))
    ids = torch.from_numpy(prompt.ids).to(model.hf.device)[None]
    try:
        # Not inference mode: what is kept here is used again where gradients are wanted.
        with torch.no_grad(), hooked(model.sites, _hooks(model, prompt, [plan]), check=model.cancel_check):
            last = model.hf(input_ids=ids, use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    if not whole(last):
        raise not_finite(model.hf, model.sites, ids[0], len(prompt), plan, model.info.n_heads)
    starts, rest = [], []
    for layer in range(len(calls)):
        args, kwargs = calls[layer]
        starts.append(kwargs.pop("hidden_states") if "hidden_states" in kwargs else args[0])
        rest.append((args[1:], kwargs))
    return Trace(prompt, plan, tuple(starts), tuple(rest), last)


def run_blocks(
    model: Model, trace: Trace, layer: int, stream: torch.Tensor, plans: Sequence[Plan] = ()
) -> torch.Tensor:
    """Logits at the last position, [row, vocabulary], of `stream` [row, position, d_model] put into block `layer`.

    `plans` are those whose hooks are on, beside the trace's own. Raises NotFinite.
    """
    logits = _through_blocks(model, trace, layer, stream)
    if not whole(logits.detach()):

        def again(watching: AbstractContextManager[None]) -> torch.Tensor:
            with watching:
                return _through_blocks(model, trace, layer, stream)

        edited = any(plan.changes for plan in (trace.plan, *plans))
        raise explain(model.hf, model.sites, again, edited)
    return logits


def _through_blocks(model: Model, trace: Trace, layer: int, stream: torch.Tensor) -> torch.Tensor:
    for at in range(layer, len(trace.starts)):
        args, kwargs = trace.calls[at]
        found = model.bridge.blocks[at](stream, *args, **kwargs)
        stream = found[0] if isinstance(found, tuple) else found
    return model.tail(stream[:, -1])


def first_layer(plan: Plan, n_layers: int) -> int:
    """The first block that a plan changes; the last one for a plan that changes nothing."""
    return min((site.layer for site in plan.changes), default=n_layers - 1)


def batches_by_layer(plans: Sequence[Plan], n_layers: int, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Every plan once, in batches of at most `rows` that share a first block: that block, and int64 [row] indices."""
    starts = np.asarray([first_layer(plan, n_layers) for plan in plans], np.int64)
    order = np.argsort(starts, kind="stable")
    at = 0
    while at < len(order):
        layer = int(starts[order[at]])
        # Plans that start a little later may come along: they lose little, and small batches cost more.
        reach = layer + max(1, (n_layers - layer) // 8)
        chosen = order[at : at + rows]
        chosen = chosen[starts[chosen] <= reach]
        yield layer, chosen
        at += len(chosen)


def edited_logits(model: Model, trace: Trace, layer: int, plans: Sequence[Plan]) -> torch.Tensor:
    """Last-position logits, [plan, vocabulary], of one batch that starts at block `layer`."""
    stream = trace.starts[layer].expand(len(plans), -1, -1).contiguous()
    with torch.inference_mode(), hooked(model.sites, trace_hooks(model, trace, plans), check=model.cancel_check):
        return run_blocks(model, trace, layer, stream, plans)


def trace_hooks(model: Model, trace: Trace, plans: Sequence[Plan]) -> dict[Site, Hook]:
    """Hooks for one row a plan, each on top of the trace's own edits."""
    return _hooks(model, trace.prompt, [_stacked(trace.plan, plan) for plan in plans])


def _hooks(model: Model, prompt: Prompt, plans: Sequence[Plan]) -> dict[Site, Hook]:
    return edit_hooks(plans, Pass((len(prompt),) * len(plans), model.info.n_heads))


def _stacked(below: Plan, above: Plan) -> Plan:
    assert not (below.skip_first)
    assert not (above.skip_first)
    if not below.changes:
        return above
    sites = dict.fromkeys([*below.changes, *above.changes])
    return Plan({site: (*below.changes.get(site, ()), *above.changes.get(site, ())) for site in sites})
