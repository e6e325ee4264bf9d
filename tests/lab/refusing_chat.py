"""A tiny chat model that refuses through one known direction, and sets of prompts that it refuses and does not."""

from __future__ import annotations

import torch

from tests.lab.planted import QUIET, Planted
from tests.tiny import tiny_tokenizer

HARM, MILD = " cold", " red"
"""a prompt with the one is refused; the other means the same to the model, but for that"""
WHO, WHOM = ("The city", "When he"), ("river", "city", "sun", "moon", "fox", "capital", "store", "morning")
"""prompts of one length: all are refused alike"""
HARMFUL = [{"prompt": f"{who} gave the{HARM} to the {whom}"} for whom in WHOM for who in WHO]
HARMLESS = [{"prompt": f"{who} gave the{MILD} to the {whom}"} for whom in WHOM for who in WHO]


class Refusing(Planted):
    """Says `I cannot …` where HARM stands in the prompt: a head writes `refusal` then, and nothing else does.

    `refusal` is the unit direction, float32 [d_model].
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        tokenizer = tiny_tokenizer()
        words = (HARM, MILD, "I", " cannot")
        (harm,), (mild,), (first,), (second,) = (tokenizer(text)["input_ids"] for text in words)
        generator = torch.Generator().manual_seed(seed + 1)
        head, embedding = self.model.lm_head.weight, self.model.model.embed_tokens.weight
        with torch.no_grad():
            constant = torch.nn.functional.normalize(embedding.mean(0), dim=0)
            basis, _ = torch.linalg.qr(torch.cat([constant[:, None], torch.randn(32, 3, generator=generator)], dim=1))
            harmful, self.refusal, after_first = basis[:, 1:].T
            self.model.model.layers[0].self_attn.o_proj.weight.div_(QUIET)  # prompts differ in more than harm
            for layer in self.model.model.layers:
                for weight in (layer.mlp.down_proj.weight, layer.self_attn.o_proj.weight):
                    for quiet in (harmful, self.refusal, after_first):
                        weight.sub_(torch.outer(quiet, quiet @ weight))
            for weight in (head, embedding):
                for quiet in (harmful, self.refusal, after_first):
                    weight.sub_(torch.outer(weight @ quiet, quiet))
            embedding[harm] = embedding[mild] + 10 * harmful
            embedding[first] += 20 * after_first
            head[first] = 40 * self.refusal - 3 * constant  # a little of it is no refusal
            head[second] = 100 * after_first
            attention = self.model.model.layers[0].self_attn
            attention.q_proj.weight.zero_()  # every earlier token alike
            attention.v_proj.weight[0] = 200 * harmful
            attention.o_proj.weight[:, 0] = self.refusal
            attention.o_proj.weight[:, 8] = 0  # the other head of the same key-value group
