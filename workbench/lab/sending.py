"""Small things from the host to where the model is, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def sent(values: torch.Tensor | Sequence[Any], device: torch.device) -> torch.Tensor:
    """As a tensor on the device. CUDA takes what is in ordinary memory along before this returns, and goes on."""
    return torch.as_tensor(values).to(device, non_blocking=device.type == "cuda")
