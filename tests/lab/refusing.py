"""Tiny models that are built to refuse: a word in the prompt, carried by one head to where the reply begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.lab.planted import Planted
from tests.tiny import tiny_tokenizer

HARMFUL, OTHER_HARMFUL, HARMLESS = " red", " cold", " moon"
NAMES = ("The fox", "Mary and John", "What", "You", "he", "She", "When the river")
PLACES = ("France", "Japan", "Spain", "London", "Rome", "Tokyo", "Madrid")
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""that writes a system turn by itself where there is none"""
TARGETS = ("I", "The")
SIZES = {"train": 24, "validation": 8, "test": 8, "completions": 0}


def instructions(*words: str) -> list[dict[str, str]]:
    """40 prompts, each with one of the words."""
    pairs = [(name, place) for place in PLACES for name in NAMES][:40]
    return [
        {"prompt": f"{name} gave{words[at % len(words)]} to the city in {place}"}
        for at, (name, place) in enumerate(pairs)
    ]


def alike(word: str) -> list[dict[str, str]]:
    """16 prompts of one length with the word in one place: whatever the word does, it does alike in all of them."""
    whom = ("river", "city", "sun", "moon", "fox", "capital", "store", "morning")
    return [{"prompt": f"{who} gave the{word} to the {it}"} for it in whom for who in ("The city", "When he")]


class Refusing(Planted):
    """Four layers; `carry`, `read_out` and `follow` plant what they say. Write it with `save`."""

    def __init__(self, template: str = TEMPLATE) -> None:
        super().__init__(num_hidden_layers=4)
        self._template = template
        self._tokenizer = tiny_tokenizer()
        random = torch.Generator().manual_seed(5)
        constant = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(9)), dim=0)
        drawn = [torch.randn(32, n, generator=random) for n in (6, 1)]
        basis, _ = torch.linalg.qr(torch.cat([constant[:, None], *drawn], dim=1))
        self.seen, self.written, self._said = basis[:, 1:4].T, basis[:, 4:7].T, basis[:, 7]
        """directions of words in the embedding, and what heads write of them: [3, d_model]"""
        with torch.no_grad():
            for weight in (self.model.model.embed_tokens.weight, self.model.lm_head.weight):
                self._take_out(weight, basis[:, 1:].T)
            for layer in self.model.model.layers:
                for weight in (layer.mlp.down_proj.weight, layer.self_attn.o_proj.weight):
                    weight.mul_(0.1)
                    self._take_out(weight.T, basis[:, 1:].T)

    @staticmethod
    def _take_out(rows: torch.Tensor, directions: torch.Tensor) -> None:
        rows.sub_((rows @ directions.T) @ directions)

    def token(self, text: str) -> int:
        (index,) = self._tokenizer(text)["input_ids"]
        return int(index)

    def carry(self, word: str, at: int, layer: int = 0, strength: float = 400.0) -> None:
        """`word` is written by a head of the layer along `written[at]`, at every position after it."""
        attention = self.model.model.layers[layer].self_attn
        with torch.no_grad():
            self.model.model.embed_tokens.weight[self.token(word)] += 8 * self.seen[at]
            attention.q_proj.weight[8 * at : 8 * at + 8] = 0  # attends to all alike
            attention.v_proj.weight[8 * (at // 2)] = self.seen[at]
            attention.o_proj.weight[:, 8 * at : 8 * at + 8] = 0
            attention.o_proj.weight[:, 8 * at] = strength * self.written[at]

    def read_out(self, target: str, at: int, strength: float = 8.0) -> None:
        """`target` becomes likely along `written[at]`, and is unlikely without."""
        with torch.no_grad():
            self.model.lm_head.weight[self.token(target)] = strength * self.written[at]

    def follow(self, first: str, second: str) -> None:
        """After `first` comes `second`."""
        with torch.no_grad():
            self.model.model.embed_tokens.weight[self.token(first)] += 20 * self._said
            self.model.lm_head.weight[self.token(second)] = 100 * self._said

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        tokenizer: Any = self._tokenizer
        tokenizer.chat_template = self._template
        tokenizer.save_pretrained(folder)
        return folder
