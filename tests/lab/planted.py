"""Tiny models with planted truth: neurons and heads wired to an answer, everything else quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.tiny import randomise, tiny_config, tiny_tokenizer

PROMPT = "The capital of France is"
ANSWER = " Paris"
QUIET = 0.1
"""what random weights are multiplied by: parts that were not planted say little"""
BACKGROUND = 60.0
"""length of the constant part of the stream"""


class Planted:
    """A tiny Llama whose unplanted parts are nearly silent; write it with `save`."""

    def __init__(self, seed: int = 0, **config: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = tiny_config("llama", tie_word_embeddings=False, **config)
            self.model: Any = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.float32)
        randomise(self.model, seed)
        tokenizer = tiny_tokenizer()
        self.ids = torch.tensor([tokenizer(PROMPT)["input_ids"]])
        self.answer = tokenizer(ANSWER)["input_ids"][0]
        with torch.no_grad():
            for layer in self.model.model.layers:
                for weight in (layer.mlp.down_proj.weight, layer.self_attn.o_proj.weight):
                    weight.mul_(QUIET)
                for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                    norm.weight.fill_(1)
            self.model.model.norm.weight.fill_(1)
            # A large constant that no logit sees: norms stay the same whatever is switched off, so parts add up.
            constant = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(9)), dim=0)
            head, embedding = self.model.lm_head.weight, self.model.model.embed_tokens.weight
            head.sub_(torch.outer(head @ constant, constant))
            embedding.add_(BACKGROUND * constant)

    @property
    def toward(self) -> torch.Tensor:
        """The unit vector that raises the answer's logit most above the mean, [d_model]."""
        weight = self.model.lm_head.weight
        vector = weight[self.answer] - weight.mean(0)
        return vector / vector.norm()

    def read(self, module: Any) -> torch.Tensor:
        """What goes into a module on the prompt, [position, …]."""
        kept = []
        handle = module.register_forward_pre_hook(lambda module, args: kept.append(args[0][0].detach().clone()))
        with torch.no_grad():
            self.model(self.ids)
        handle.remove()
        return kept[0]

    def neuron(self, layer: int, index: int, activation: float, written: torch.Tensor) -> None:
        """A neuron with this activation at the last position, writing `written` [d_model] a unit of it."""
        mlp = self.model.model.layers[layer].mlp
        seen = self.read(mlp)[-1]
        with torch.no_grad():
            mlp.gate_proj.weight[index] = 4 * seen / seen.norm() ** 2
            mlp.up_proj.weight[index] = (
                activation / float(torch.nn.functional.silu(torch.tensor(4.0))) * seen / seen.norm() ** 2
            )
            mlp.down_proj.weight[:, index] = written

    def backup(self, layer: int, index: int, of: tuple[int, int]) -> None:
        """A neuron that writes what another one wrote, and only where that one is off."""
        mlp, earlier = self.model.model.layers[layer].mlp, self.model.model.layers[of[0]].mlp
        on = self.read(mlp)[-1]
        with torch.no_grad():
            written = earlier.down_proj.weight[:, of[1]].clone()
            earlier.down_proj.weight[:, of[1]] = 0
            off = self.read(mlp)[-1]
            earlier.down_proj.weight[:, of[1]] = written
            both = torch.linalg.pinv(torch.stack([on, off]))  # [d_model, 2]
            mlp.gate_proj.weight[index] = both @ torch.tensor([-8.0, 4.0])
            mlp.up_proj.weight[index] = both @ torch.tensor([1.0, 1.0])
            amount = float(torch.nn.functional.silu(torch.tensor(4.0)))
            mlp.down_proj.weight[:, index] = self.read(earlier.down_proj)[-1, of[1]] * written / amount

    def head(self, layer: int, index: int, strength: float) -> None:
        """A head that writes `strength` toward the answer at the last position, whatever it attends to."""
        attention = self.model.model.layers[layer].self_attn
        z = self.read(attention.o_proj)[-1].view(4, -1)[index]
        with torch.no_grad():
            columns = attention.o_proj.weight.view(-1, 4, len(z))
            columns[:, index] = strength * torch.outer(self.toward, z / z.norm() ** 2)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return folder
