"""JumpReLU SAEs (Rajamanoharan et al. 2024, arXiv 2407.14435): what is above each feature's threshold.

Batch-top-k (Bussmann et al. 2024, arXiv 2412.06410) and Matryoshka SAEs (2025, arXiv 2503.17547) are these at
inference, with one threshold for all features: the mean of the smallest activation that training let through.
"""

from __future__ import annotations

import torch

from workbench.lab.sae.sae import SAE


class JumpReLU(SAE):
    own = ("b_enc", "threshold")

    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        before = torch.addmm(self.tensors["b_enc"], inputs, self.W_enc)
        # Below 0 a threshold lets nothing more through: ReLU comes first.
        return before.mul_(before > self.tensors["threshold"].clamp(min=0))
