"""Top-k SAEs (Gao et al. 2024, arXiv 2406.04093): the k largest of each token, where they are positive."""

from __future__ import annotations

import torch

from workbench.lab.sae.sae import SAE


class TopK(SAE):
    own = ("b_enc",)

    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        before = torch.addmm(self.tensors["b_enc"], inputs, self.W_enc)
        values, features = before.topk(int(self.config.k), dim=-1, sorted=False)
        return torch.zeros_like(before).scatter_(-1, features, values.relu_())
