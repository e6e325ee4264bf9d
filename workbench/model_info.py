"""What is known of a model without loading it: plain data that every process can hold."""

from __future__ import annotations

import msgspec


class LayersOn(msgspec.Struct, frozen=True):
    """Neighbouring layers that lie on one device."""

    device: str
    first: int
    last: int

    def __str__(self) -> str:
        layers = f"layer {self.first}" if self.first == self.last else f"layers {self.first}–{self.last}"
        return f"{self.device} ({layers})"


class ModelInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A model under the lamp: name, identity and shape.

    `fingerprint` is empty while the weights are still being hashed.
    """

    name: str
    """Says which weights: `SmolLM2-135M-Instruct (from Q4_1)`."""
    ref: str
    """What `--model` would take to get it again: hub id, folder, or `default`."""
    fingerprint: str = ""
    architecture: str
    """The Hugging Face class, for example `LlamaForCausalLM`."""
    device: str = "cpu"
    """where what it is given goes; of a model that is spread over several, the one with its embedding and head"""
    spread: tuple[LayersOn, ...] = ()
    """which layers lie where, of a model on several devices; empty on one"""
    dtype: str = "float32"
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    n_parameters: int = 0
    gated_mlp: bool
    """The activation is `act(gate) * linear`: it can be negative, and its effect flips with its sign."""
    parallel_blocks: bool = False
    """Attention and MLP read the same stream (GPT-NeoX): there is no resid_mid."""
    post_norm: bool = False
    """A norm stands between attention or MLP and the stream (Gemma 2)."""
    chat_template: bool = False
    bos_token: str | None = None
    """What the tokenizer's own call puts in front of text; None where it adds nothing."""

    @property
    def devices(self) -> tuple[str, ...]:
        """All that hold a part of it, `device` first."""
        return tuple(dict.fromkeys([self.device, *(layers.device for layers in self.spread)]))

    @property
    def place(self) -> str:
        """`cuda:0`, or which layers lie where: `cuda:0 (layers 0–39), cuda:1 (layers 40–79)`."""
        return ", ".join(map(str, self.spread)) or self.device

    @property
    def n_neurons(self) -> int:
        return self.n_layers * self.d_mlp
