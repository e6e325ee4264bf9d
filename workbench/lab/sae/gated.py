"""Gated SAEs (Rajamanoharan et al. 2024, arXiv 2404.16014): one product decides what fires, and how much."""

from __future__ import annotations

import torch

from workbench.lab.sae.sae import SAE


class Gated(SAE):
    own = ("b_gate", "r_mag", "b_mag")

    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        shared = inputs @ self.W_enc
        gate = shared > -self.tensors["b_gate"]
        magnitude = shared.mul_(self.tensors["r_mag"].exp()).add_(self.tensors["b_mag"]).relu_()
        return magnitude.mul_(gate)
