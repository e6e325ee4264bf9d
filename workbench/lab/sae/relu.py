"""Standard SAEs and transcoders: ReLU (Bricken et al. 2023, "Towards monosemanticity")."""

from __future__ import annotations

import torch

from workbench.lab.sae.sae import SAE


class ReLU(SAE):
    own = ("b_enc",)

    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.tensors["b_enc"], inputs, self.W_enc).relu_()
