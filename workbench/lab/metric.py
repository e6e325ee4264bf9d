"""What is asked of a prompt's last position, as plain data. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec


class Metric(msgspec.Struct, frozen=True):
    """One number of the last position's logits (METHODS, "Attribution").

    kind: `log-prob` of the answer, nats; `log-odds`, log p/(1 − p) of it, which does not saturate where the answer is
    nearly certain; `difference` of its logit and the foil's; `logit` of the answer minus the mean over the vocabulary.
    """

    kind: Literal["log-prob", "log-odds", "difference", "logit"]
    answer: int
    foil: int | None = None
    without: int | None = None
    """of log-odds: a token that is left out, so that another answer is asked for as if this one were not there"""

    @property
    def unit(self) -> str:
        return "nats" if self.kind in ("log-prob", "log-odds") else "logits"

    @property
    def direct(self) -> Metric:
        """The same question asked of the logits, which add up: the difference, or the answer's own."""
        return self if self.kind == "difference" else Metric("logit", self.answer)

    @property
    def unsaturated(self) -> Metric:
        """The same question where it does not saturate: the difference, or the log-odds."""
        return self if self.kind == "difference" else Metric("log-odds", self.answer)

    def for_tokens(self, answer: int, foil: int) -> Metric:
        """The unsaturated question asked for other tokens; `foil` counts only where there was one."""
        if self.kind == "difference":
            return Metric("difference", answer, foil)
        return Metric("log-odds", answer, without=self.answer)
