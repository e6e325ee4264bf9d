"""The reference: a Hugging Face model loaded anew, with plain PyTorch hooks and nothing of ours or TransformerLens'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

Change = tuple[int, str, Callable[[torch.Tensor], torch.Tensor]]
"""layer, site, and what becomes of [batch, position, …] there"""


class Plain:
    def __init__(self, source: Path | Any) -> None:
        """A folder, read in float32; or a model that is in memory."""
        if isinstance(source, str | Path):
            source = transformers.AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32, attn_implementation="eager"
            )
        self.model = source.eval()
        base = self.model.base_model
        self.layers = list(base.layers if hasattr(base, "layers") else base.h)
        self.n_heads = self.model.config.num_attention_heads

    def _place(self, layer: int, site: str) -> tuple[torch.nn.Module, bool]:
        """The module, and whether its input (else its output) is the site."""
        block = self.layers[layer]
        if site in ("resid_pre", "resid_post"):
            return block, site == "resid_pre"
        attention = next(getattr(block, n) for n in ("self_attn", "attn", "attention") if hasattr(block, n))
        if site == "z":
            return next(getattr(attention, n) for n in ("o_proj", "c_proj", "dense") if hasattr(attention, n)), True
        if site == "mlp_post":
            mlp = block.mlp
            return next(getattr(mlp, n) for n in ("down_proj", "c_proj", "dense_4h_to_h") if hasattr(mlp, n)), True
        after = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}[site]
        if hasattr(block, "post_feedforward_layernorm"):
            return getattr(block, after), False
        return (attention if site == "attn_out" else block.mlp), False

    def logits(self, ids: torch.Tensor, changes: Sequence[Change] = (), **more: object) -> torch.Tensor:
        """[batch, position, vocabulary]"""
        with self.hooked(changes), torch.no_grad():
            return self.model(input_ids=ids, use_cache=False, **more).logits

    @contextmanager
    def hooked(self, changes: Sequence[Change]) -> Iterator[None]:
        """The changes as hooks, in every pass meanwhile."""
        handles = []
        for layer, site, change in changes:
            module, is_input = self._place(layer, site)

            def before(module, args, kwargs, change=change):
                if args:
                    return (change(args[0]), *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

            def after(module, args, output, change=change):
                return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

            handles.append(
                module.register_forward_pre_hook(before, with_kwargs=True)
                if is_input
                else module.register_forward_hook(after)
            )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read(self, ids: torch.Tensor, layer: int, site: str) -> torch.Tensor:
        """[batch, position, …] at a site of the clean model."""
        kept = []

        def keep(activation):
            kept.append(activation.clone())
            return activation

        self.logits(ids, [(layer, site, keep)])
        return kept[0]
