"""The end of a model as direct attribution takes it: one final norm, one matrix, a scale, a softcap.

Whether the model is built so is checked when it is loaded; `passes.read_out` asks the model itself.
"""

from __future__ import annotations

from typing import Any

import torch


class Tail:
    """From the residual stream to logits: final norm, head, scale, softcap."""

    def __init__(self, bridge: Any, config: Any) -> None:
        self._norm, self._head = bridge.ln_final, bridge.unembed
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._divisor = getattr(config, "logits_scaling", None)
        self._factor = getattr(config, "logit_scale", None)

    @property
    def scale(self) -> float:
        """What the head's output is multiplied by, before a softcap."""
        return float((self._factor or 1) / (self._divisor or 1))

    def __call__(self, resid: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocabulary] of `resid` [..., d_model]."""
        logits = self._head(self._norm(resid))
        if self._divisor is not None:
            logits = logits / self._divisor
        if self._factor is not None:
            logits = logits * self._factor
        if self._cap is not None:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits
