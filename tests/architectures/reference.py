"""The reference: a Hugging Face model loaded anew, with plain PyTorch hooks and nothing of ours or TransformerLens'.

It knows by name, from configs.py, which modules of an architecture stand at which of our sites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.architectures.configs import Architecture

Change = tuple[int, str, Callable[[torch.Tensor], torch.Tensor]]
"""layer, site, and what becomes of [row, position, …] there"""

FAR = 1e4
"""a norm's epsilon vanishes beside an input of this size"""


class Reference:
    def __init__(self, folder: Path, architecture: Architecture) -> None:
        self.hf: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.architecture = architecture
        self.config = self.hf.config
        self.blocks = list(self.hf.get_submodule(architecture.blocks))
        self.n_layers = len(self.blocks)
        self.n_heads = next(
            getattr(self.config, name) for name in ("num_attention_heads", "n_head", "num_heads", "n_heads")
            if hasattr(self.config, name)
        )  # fmt: skip

    @property
    def activation(self) -> str:
        """What transformers calls the function between the MLP's matrices; empty where it is none of them."""
        names = ("hidden_act", "hidden_activation", "activation_function", "activation")
        if self.architecture.activation is None:
            return ""
        return self.architecture.activation or next(getattr(self.config, n) for n in names if hasattr(self.config, n))

    def _place(self, layer: int, site: str) -> tuple[torch.nn.Module, bool, float]:
        """The module, whether its input (else its output) is the site, and what the block multiplies it with."""
        names, block = self.architecture, self.blocks[layer]
        if site in ("resid_pre", "resid_post"):
            return block, site == "resid_pre", 1.0
        path = {"z": names.z, "mlp_post": names.mlp_post, "attn_out": names.attn_out, "mlp_out": names.mlp_out}[site]
        is_input = site in ("z", "mlp_post")
        scale = 1.0 if is_input else float(getattr(self.config, names.added_times, 1.0))
        return block.get_submodule(path), is_input, scale

    def logits(self, ids: torch.Tensor, changes: Sequence[Change] = (), gradients: bool = False) -> torch.Tensor:
        """[row, position, vocabulary]"""
        with ExitStack() as hooks:
            for layer, site, change in changes:
                module, is_input, scale = self._place(layer, site)
                add = _before if is_input else _after
                hooks.callback(add(module, _by_row(change, len(ids)), scale).remove)
            with torch.set_grad_enabled(gradients):
                return self.hf(input_ids=ids, use_cache=False).logits

    def read(self, ids: torch.Tensor, layer: int, site: str, changes: Sequence[Change] = ()) -> torch.Tensor:
        """[row, position, …] at a site."""
        kept = []

        def keep(activation: torch.Tensor) -> torch.Tensor:
            kept.append(activation.clone())
            return activation

        self.logits(ids, [*changes, (layer, site, keep)])
        return kept[0]

    def lens(self, ids: torch.Tensor, layer: int) -> torch.Tensor:
        """Logits of what a block leaves in the stream: it is put in place of what the last block leaves."""
        stream = self.read(ids, layer, "resid_post")
        return self.logits(ids, [(self.n_layers - 1, "resid_post", lambda _: stream)])

    def generated(self, ids: torch.Tensor, stop: Sequence[int], tokens: int, use_cache: bool) -> list[int]:
        """What `model.generate` says after one prompt, greedily."""
        whole = self.hf.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, use_cache=use_cache,
            eos_token_id=list(stop), pad_token_id=stop[0],
        )  # fmt: skip
        return whole[0, ids.shape[1] :].tolist()

    def generated_under(self, ids: torch.Tensor, stop: Sequence[int], tokens: int, changes: Sequence[Change]) -> Any:
        """The same under hooks, each token by a whole pass."""
        n = ids.shape[1]
        while ids.shape[1] < n + tokens and (ids.shape[1] == n or int(ids[0, -1]) not in stop):
            ids = torch.cat([ids, self.logits(ids, changes)[:, -1:].argmax(-1)], 1)
        return ids[0, n:].tolist()

    def direct(self, ids: torch.Tensor, added: torch.Tensor, answer: int, foil: int) -> float:
        """What a part `added` [d_model] of the last stream adds to logit(answer) − logit(foil), frozen norm.

        A norm is a linear map A over a size s of its input, and a bias. Frozen at the stream x, the part v becomes
        A v / s(x); the module itself gives A v / s(v).
        """
        if not added.any():
            return 0.0
        norm = self.hf.get_submodule(self.architecture.final_norm)
        stream = self.read(ids, self.n_layers - 1, "resid_post")[0, -1]
        head, softcap = self.hf.get_output_embeddings(), getattr(self.config, "final_logit_softcapping", None)
        with torch.no_grad():
            bias = norm(torch.zeros_like(stream)[None])[0]
            centred = bool((norm(FAR * torch.ones_like(stream)[None])[0] - bias).abs().max() < 1e-3)

            def size(vector: torch.Tensor) -> torch.Tensor:
                return (vector - vector.mean() if centred else vector).norm()

            far = FAR * added / added.norm()
            through = (norm(far[None])[0] - bias) * size(far) / size(stream) * added.norm() / FAR
            rows = head.weight[answer] - head.weight[foil]
            normed = head(norm(stream[None]))[0]
            whole = self.logits(ids)[0, -1]
            if softcap:
                whole = softcap * torch.atanh((whole / softcap).double())
            scale = (whole[answer] - whole[foil]) / (normed[answer] - normed[foil])
            return float(rows @ through * scale)


def _by_row(change: Callable[[torch.Tensor], torch.Tensor], rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """OPT's MLP has rows and positions on one axis: a change sees two."""

    def changed(activation: torch.Tensor) -> torch.Tensor:
        if activation.ndim == 2:
            return change(activation.unflatten(0, (rows, -1))).flatten(0, 1)
        return change(activation)

    return changed


def _before(module: torch.nn.Module, change: Callable[..., torch.Tensor], scale: float) -> Any:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _after(module: torch.nn.Module, change: Callable[..., torch.Tensor], scale: float) -> Any:
    def hook(module: Any, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0] * scale) / scale, *output[1:])
        return change(output * scale) / scale

    return module.register_forward_hook(hook)
