"""The key-value cache of generation: handed through the bridge, and checked when a model is loaded.

transformers 5.24 calls the cache `cache` where it was `past_key_values`; the attention of transformer_lens 4.3 looks
for the old name alone, so every generated token would see itself and nothing before it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

from workbench.edits import Positions
from workbench.errors import Cancelled, UserError
from workbench.lab.applying import PassLayout
from workbench.lab.changes import Fill, Multiply
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64
from workbench.lab.parts import Entries, Heads
from workbench.lab.passes import CACHE_NAMES, run_pass
from workbench.units import Site

EDITED = 64
"""neurons that the edit of the check doubles"""
STEPS = 3
"""cached steps that are compared with a pass without the cache"""
TOLERANCE = {torch.float32: 1e-2, torch.float64: 1e-2}
"""largest difference of two logits, in standard deviations of the logits; a lost cache is off by one or more"""
COARSE = 0.25
"""of 16-bit numbers"""


def hand_cache_on(bridge: Any) -> None:
    """Attention that computes for itself gets the cache under the name it looks for."""
    from transformer_lens.model_bridge.generalized_components import AttentionBridge

    for block in bridge.blocks:
        attention = getattr(block, "attn", None)
        # What only wraps Hugging Face's module passes its arguments on as they come.
        if attention is not None and type(attention).forward is not AttentionBridge.forward:
            attention.register_forward_pre_hook(_under_both_names, with_kwargs=True)


def _under_both_names(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    new, old = CACHE_NAMES
    if kwargs.get(new) is not None and kwargs.get(old) is None:
        kwargs = {**kwargs, old: kwargs[new]}
    return args, kwargs


def cache_problem(model: Model, ids: torch.Tensor) -> str:
    """Why generation can't use the cache, as a sentence; empty where it can.

    `ids` int64 [column] is some text. Logits of steps with the cache are compared with those of whole passes, clean
    and with a head and neurons edited, at lengths that are rotated alike.
    """
    middle = model.info.n_layers // 2
    head, neurons = Site(middle, "z"), Site(middle, "mlp_post")
    edited = {
        head: (Fill(head, Heads((0,)), Positions(), 0.0),),
        neurons: (Multiply(neurons, Entries(tuple(range(min(EDITED, model.info.d_mlp)))), Positions(), 2.0),),
    }
    plans = [CLEAN, Plan(edited)]
    switches = model.rotations.switches(1, len(ids))
    rows = ids[: switches[0] if switches else None].to(model.hf.device).repeat(len(plans), 1)
    start_column = rows.shape[1] - STEPS
    lengths = (start_column,) * len(plans)
    allowed = TOLERANCE.get(model.hf.dtype, COARSE)
    past: Any = None
    start = 0
    for end in range(start_column, rows.shape[1] + 1):
        layout = PassLayout(lengths, model.info.n_heads, start)
        try:
            stepped = run_pass(model, rows[:, :end], plans, layout, use_cache=True, past=past, checked=False)
            past = stepped.past
        except (UserError, Cancelled):
            raise
        except Exception as error:  # a cache of another kind than attention's may fail in any way
            return _slow_generation(f"it stops with one ({type(error).__name__})")
        uncached = run_pass(model, rows[:, :end], plans, PassLayout(lengths, model.info.n_heads), checked=False).last
        assert uncached is not None
        assert stepped.last is not None
        finite = torch.isfinite(uncached)  # some models rule tokens out with −∞
        if not finite.any():
            return ""  # not a problem of the cache: the check of the logits reports it
        expected = as_float64(uncached[finite])
        difference = float((as_float64(stepped.last[finite]) - expected).abs().max() / expected.std())
        if not difference <= allowed:
            return _slow_generation(f"its logits with one are off by {difference:.2g} standard deviations")
        start = end
    return ""


def _slow_generation(why: str) -> str:
    return (
        f"this model generates without a key-value cache, which is slower: {why} "
        f"(transformers {version('transformers')} with transformer_lens {version('transformer_lens')})"
    )
