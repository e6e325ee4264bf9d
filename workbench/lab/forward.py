"""Prompts through the whole model under edits, and the numbers of what comes out.

Logits are computed at every position even where only the last is needed: the unembedding of one row alone gives other
last bits than `model(input_ids)` does (checked on the CPU, float32). Shorter prompts of a batch are padded on the
right, where causal attention lets nothing reach a real token; padding never counts in a number. Prompts whose lengths
make the model rotate differently go in passes of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from workbench.lab import metrics
from workbench.lab.applying import PassLayout
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.loaded import Model
from workbench.lab.passes import Head, run_pass
from workbench.lab.prompts import Prompt
from workbench.units import Site

Keep = Literal["all", "last"] | None
"""which logits are kept: every position's, the last token's of each prompt, or none (then none are computed)"""


@dataclass(frozen=True)
class Forward:
    """What one pass left behind. Methods give numpy; rows are the batch's prompts."""

    prompts: tuple[Prompt, ...]
    ids: torch.Tensor
    """int64 [batch, position], padded on the right with 0"""
    lengths: np.ndarray
    """int64 [batch]"""
    last: torch.Tensor | None
    """logits at each prompt's last token, [batch, vocabulary]"""
    logits: torch.Tensor | None
    """[batch, position, vocabulary] where all are kept"""
    captured: Mapping[Site, torch.Tensor]

    @property
    def bytes(self) -> int:
        tensors = [self.last, self.logits, *self.captured.values()]
        # A slice keeps the whole of what it was cut from, and two slices of one keep it once.
        storages = [tensor.untyped_storage() for tensor in tensors if tensor is not None]
        return sum({storage._cdata: storage.nbytes() for storage in storages}.values())

    def site(self, site: Site) -> np.ndarray:
        """A captured site, float32, axes as in `sites.AXES`."""
        return _numpy(self.captured[site].float())

    def top(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` likeliest next tokens, likeliest first: ids int64 [batch, k], log-probabilities float32."""
        values, ids = metrics.log_probs(self._last).topk(min(k, self._last.shape[-1]), dim=-1)
        return _numpy(ids), _numpy(values)

    def log_prob(self, ids: np.ndarray) -> np.ndarray:
        """Log-probability of one next token per prompt, or of several: `ids` [batch] or [batch, k]; same shape."""
        token_ids = torch.as_tensor(ids, device=self._last.device)
        flat = token_ids.view(len(token_ids), -1)
        return _numpy(metrics.log_probs(self._last).gather(-1, flat).view(token_ids.shape))

    def logit(self, ids: np.ndarray) -> np.ndarray:
        """Logit of one next token per prompt, float32 [batch]."""
        token_ids = torch.as_tensor(ids, device=self._last.device)
        return _numpy(self._last.float().gather(-1, token_ids[:, None])[:, 0])

    def rank(self, ids: np.ndarray) -> np.ndarray:
        """Rank of one next token per prompt, 1 is the likeliest, int64 [batch]."""
        return _numpy(metrics.rank(self._last, torch.as_tensor(ids, device=self._last.device)))

    def entropy(self) -> np.ndarray:
        """Of the next token, nats, float64 [batch]."""
        return _numpy(metrics.entropy(metrics.log_probs(self._last)))

    def surprise(self) -> list[np.ndarray]:
        """−log p of each token of each prompt, nats, float32 [position]; nan at position 0."""
        surprise = _numpy(metrics.surprise(self._all, self.ids))
        return [row[:length] for row, length in zip(surprise, self.lengths, strict=True)]

    def kl_from(self, clean: Forward) -> list[np.ndarray]:
        """KL(clean ‖ this) at every position of each prompt, nats, float64 [position]."""
        kl = _numpy(metrics.kl(clean._all, self._all))
        return [row[:length] for row, length in zip(kl, self.lengths, strict=True)]

    def last_kl_from(self, clean: Forward) -> np.ndarray:
        """KL(clean ‖ this) of the next token, nats, float64 [batch]."""
        return _numpy(metrics.kl(clean._last, self._last))

    def row(self, row: int) -> Forward:
        """One prompt's part, as if it were repeated for every row of the batch: to compare the others with."""
        n = len(self.lengths)
        last = None if self.last is None else self.last[row : row + 1].expand(n, -1)
        ids = self.ids[row : row + 1].expand(n, -1)
        return Forward((self.prompts[row],) * n, ids, np.repeat(self.lengths[row], n), last, None, {})

    @property
    def _last(self) -> torch.Tensor:
        assert self.last is not None, "this pass kept no logits"
        return self.last

    @property
    def _all(self) -> torch.Tensor:
        assert self.logits is not None, "this pass kept the last logits only"
        return self.logits


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.cpu().numpy())


def run_forward(
    model: Model,
    prompts: Sequence[Prompt],
    plans: Sequence[Plan] = (CLEAN,),
    *,
    capture: Sequence[Site] = (),
    keep: Keep = "all",
) -> Forward:
    """Run the model on `prompts`. One plan edits every row; as many plans as prompts edit one row each.

    Raises NotFinite where what comes out is NaN or infinite.
    """
    assert len(plans) in (1, len(prompts))
    groups = model.rotations.alike([len(prompt) for prompt in prompts])
    if len(groups) == 1:
        return _run_alike(model, prompts, plans, capture, keep)
    parts = []
    for rows in groups:
        plans_of_rows = plans if len(plans) == 1 else [plans[row] for row in rows]
        parts.append(_run_alike(model, [prompts[row] for row in rows], plans_of_rows, capture, keep))

    def merged(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
        return None if tensors[0] is None else _merged([tensor for tensor in tensors if tensor is not None], groups)

    ids = _merged([part.ids for part in parts], groups)
    return Forward(
        tuple(prompts),
        ids,
        np.asarray([len(prompt) for prompt in prompts], dtype=np.int64),
        merged([part.last for part in parts]),
        merged([part.logits for part in parts]),
        {site: _merged([part.captured[site] for part in parts], groups) for site in parts[0].captured},
    )


def _merged(parts: Sequence[torch.Tensor], groups: Sequence[Sequence[int]]) -> torch.Tensor:
    """Rows of several passes as one batch in the order of `groups`; 0 where one is longer than another."""
    widest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    batch = parts[0].new_zeros(sum(map(len, groups)), *widest)
    for part, rows in zip(parts, groups, strict=True):
        for row, values in zip(rows, part, strict=True):
            batch[row][tuple(map(slice, values.shape))] = values
    return batch


def _run_alike(
    model: Model, prompts: Sequence[Prompt], plans: Sequence[Plan], capture: Sequence[Site], keep: Keep
) -> Forward:
    """One pass over prompts that are rotated alike."""
    lengths = np.asarray([len(prompt) for prompt in prompts], dtype=np.int64)
    padded = np.zeros((len(prompts), int(lengths.max())), dtype=np.int64)
    for row, prompt in zip(padded, prompts, strict=True):
        row[: len(prompt)] = prompt.ids
    ids = torch.from_numpy(padded).to(model.hf.device)
    layout = PassLayout(tuple(map(len, prompts)), model.info.n_heads)
    head: Head = None if keep is None else "every"
    passed = run_pass(model, ids, plans, layout, head=head, ends=(lengths - 1).tolist(), capture=capture)
    logits = passed.logits if keep == "all" else None
    return Forward(tuple(prompts), ids, lengths, passed.last, logits, passed.captured)
