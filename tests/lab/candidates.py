"""The scores of METHODS, "Refusal" once more: plain hooks on the Hugging Face model, batches without padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from tests.lab.plain import Change, Plain


class CandidateScores(NamedTuple):
    norm: float
    bypass: float
    induce: float
    kl: float


class PlainCandidates:
    """Of the prompts in a `scores` table of `refusal`; `turns` is what stands in front of the user's, by hand."""

    def __init__(self, folder: Path, rows: Sequence[dict[str, Any]], target: str, turns: str = "") -> None:
        self.plain = Plain(folder)
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        (self._target,) = self._tokenizer(target)["input_ids"]
        self._turns = turns
        self.rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        """by set and split; those of a batch side by side"""
        for row in sorted(rows, key=lambda row: self._ids(row["prompt"]).shape[1]):
            self.rows.setdefault((row["set"], row["split"]), []).append(row)

    def _ids(self, text: str) -> torch.Tensor:
        chat = f"{self._turns}<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        return torch.tensor([self._tokenizer(chat)["input_ids"]])

    def _batches(self, side: str, split: str) -> list[torch.Tensor]:
        batches: dict[int, list[torch.Tensor]] = {}
        for row in self.rows[side, split]:
            ids = self._ids(row["prompt"])
            batches.setdefault(ids.shape[1], []).append(ids)
        return [torch.cat(batch) for batch in batches.values()]

    def _next(self, side: str, split: str, changes: Sequence[Change] = ()) -> torch.Tensor:
        """p of the next token, float64 [prompt, vocabulary]"""
        batches = self._batches(side, split)
        return torch.cat([torch.softmax(self.plain.logits(ids, changes)[:, -1].double(), -1) for ids in batches])

    def scores(self, side: str, split: str, changes: Sequence[Change] = ()) -> np.ndarray:
        """The refusal score of each prompt, in the order of `rows`."""
        p = self._next(side, split, changes)[:, self._target]
        return (torch.log(p + 1e-8) - torch.log(1 - p + 1e-8)).numpy()

    @cached_property
    def _base(self) -> torch.Tensor:
        return self._next("harmless", "validation")

    @cached_property
    def _streams(self) -> dict[str, list[list[torch.Tensor]]]:
        """Every block's input, float64 [layer][batch], each [prompt, position, d_model], of the train prompts."""
        streams: dict[str, list[list[torch.Tensor]]] = {}
        for side in ("harmful", "harmless"):
            kept: list[list[torch.Tensor]] = [[] for _ in self.plain.layers]
            keep = [
                (layer, "resid_pre", lambda stream, kept=kept[layer]: kept.append(stream.double()) or stream)
                for layer in range(len(kept))
            ]
            for ids in self._batches(side, "train"):
                self.plain.logits(ids, keep)
            streams[side] = kept
        return streams

    def candidate(self, position: int, layer: int) -> CandidateScores:
        """A position from the end, and a layer; where the direction has no length the scores are nan."""
        means = [
            torch.cat([stream[:, position] for stream in self._streams[side][layer]]).mean(0)
            for side in ("harmful", "harmless")
        ]
        direction = (means[0] - means[1]).float()
        norm = float(direction.norm())
        if norm == 0:
            return CandidateScores(norm, np.nan, np.nan, np.nan)
        unit = direction / norm
        out: list[Change] = [
            (at, site, lambda x: x - (x @ unit)[..., None] * unit)
            for at in range(len(self.plain.layers))
            for site in ("resid_pre", "attn_out", "mlp_out")
        ]
        ablated = self._next("harmless", "validation", out)
        kl = (self._base * (torch.log(self._base + 1e-6) - torch.log(ablated + 1e-6))).sum(-1).mean()
        add: list[Change] = [(layer, "resid_pre", lambda x: x + direction)]
        return CandidateScores(
            norm,
            float(self.scores("harmful", "validation", out).mean()),
            float(self.scores("harmless", "validation", add).mean()),
            float(kl),
        )
