"""From a value to how strong it looks: fills and digits, for one-sided and signed scales."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from workbench.drawing.ramps import amount_colour, signed_colour
from workbench.drawing.style import Style, readable_on
from workbench.text import MINUS, number

# Black letters on all of them: white ones can't be read on the blue and red of some terminals.
_FILLS = ("", "black on bright_blue", "black on cyan", "black on yellow", "black on white")
_FILLS_BELOW = ("", "black on bright_blue", "black on cyan")
_FILLS_ABOVE = ("", "black on yellow", "black on bright_yellow")


class Scale:
    """Maps values to 0…1 (one-sided) or −1…1 (signed, centred on zero). Nan has no place on it.

    A one-sided scale starts at 0 unless a value is below it, or all values are far above.
    """

    def __init__(self, values: Iterable[np.ndarray], style: Style, signed: bool = False) -> None:
        parts = [np.asarray(v, dtype=float).ravel() for v in values]
        numbers = np.concatenate(parts) if parts else np.zeros(0)
        numbers = numbers[np.isfinite(numbers)]
        low = float(numbers.min()) if numbers.size else 0.0
        high = float(numbers.max()) if numbers.size else 0.0
        self.style, self.signed = style, signed
        self.has_values = bool(numbers.size)
        """finite ones"""
        if signed:
            top = max(abs(low), abs(high))
            self.low, self.high = -top, top
        else:
            self.low, self.high = (0.0 if 0 <= low < high / 2 or low == high >= 0 else low), high

    def share(self, value: float) -> float:
        """Where `value` is: 0…1, or −1…1 where signed; nan for nan."""
        if math.isnan(value):
            return math.nan
        if math.isinf(value):
            return 1.0 if value > 0 else -1.0 if self.signed else 0.0
        if self.signed:
            return 0.0 if self.high == 0 else max(-1.0, min(1.0, value / self.high))
        span = self.high - self.low
        return (
            0.0 if span == 0 and self.high == 0 else 1.0 if span == 0 else max(0.0, min(1.0, (value - self.low) / span))
        )

    def fill(self, value: float) -> str:
        """A cell filled with the value's colour, and what can be read on it; empty where there are no colours.

        In sixteen colours there are five steps, whose order of lightness every common palette keeps.
        """
        share, style = self.share(value), self.style
        if not style.color or math.isnan(share):
            return ""
        if style.depth == "16":
            fills = _FILLS if not self.signed else _FILLS_BELOW if share < 0 else _FILLS_ABOVE
            return fills[min(len(fills) - 1, int(abs(share) * len(fills)))]
        colour = self.colour(value)
        return f"{readable_on(colour)} on {colour}"

    def colour(self, value: float) -> str:
        """The value's colour, `#rrggbb`, where there are more than sixteen; empty for nan."""
        share = self.share(value)
        ramp = signed_colour if self.signed else amount_colour
        return "" if math.isnan(share) else ramp(share, self.style.dark, self.style.depth)

    def digit(self, value: float) -> str:
        """The value in one character that needs no colour: `0` to `9`, below zero `a` to `i`, `?` for nan."""
        share = self.share(value)
        if math.isnan(share):
            return "?"
        step = round(abs(share) * 9)
        return "abcdefghi"[step - 1] if share < 0 and step else str(step)


def signed_number(value: float | None, digits: int = 3) -> str:
    """A number whose sign is always there: `+1.21`, `−.48`."""
    text = number(value, digits)
    return text if text.startswith(MINUS) or value is None or not value > 0 else "+" + text
