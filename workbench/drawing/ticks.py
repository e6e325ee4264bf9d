"""Limits and ticks of axes: round numbers, as few digits as they need, names where there is room."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from workbench.text import MINUS, count, number, trim, width


@dataclass
class Ticks:
    """Places on an axis and what is written there."""

    at: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def limits(parts: list[np.ndarray], margin: float = 0.04) -> tuple[float, float] | None:
    """The range of all finite values, a little wider; none where there are none."""
    flat = [np.asarray(part, dtype=float).ravel() for part in parts]
    values = np.concatenate(flat) if flat else np.zeros(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    if low == high == 0:  # a count of which there are none yet: nothing is below it
        return -margin, 1.0
    if low == high:
        return low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    return low - (high - low) * margin, high + (high - low) * margin


def number_ticks(x: np.ndarray, limits: tuple[float, float], cells: int) -> Ticks:
    ticks = nice_ticks(*limits, max(2, min(10, cells // 12)))
    if np.isfinite(x).all() and (x == np.round(x)).all():  # layers and positions have no halves
        whole = [(at, name) for at, name in zip(ticks.at, ticks.names, strict=True) if at == round(at)]
        return Ticks([at for at, _ in whole], [name for _, name in whole])
    return ticks


def named_ticks(x: np.ndarray, names: list[str], cells: int) -> Ticks:
    """Every point's name where there is room, else an even choice that holds the last one."""
    usable = min(len(x), len(names))
    if not usable:
        return Ticks()
    sizes = np.array([min(width(name), max(4, cells // min(6, usable))) for name in names[:usable]])
    step = cells / usable
    at = np.arange(usable)
    for every in range(1, usable + 1):
        at = np.arange(usable - 1, -1, -every)[::-1]
        between = (sizes[at[:-1]] + sizes[at[1:]]) / 2 + 1.5
        between[-1:] += sizes[-1] / 2  # the last one ends where the axis does
        if (between <= every * step).all() and every * step >= 2:
            break
    return Ticks([float(x[i]) for i in at], [names[i] for i in at])


def log_ticks(top: float) -> Ticks:
    powers = range(int(top) + 1)
    return Ticks([math.log10(10.0**p + 1) for p in powers], [count(10**p) for p in powers])


def power_ticks(low: float, high: float, most: int = 10) -> Ticks:
    """Powers of ten between 10^`low` and 10^`high`, about `most`; doubles and halves too where those are few."""
    every = max(1, math.ceil((high - low) / max(1, most)))
    powers = range(math.floor(low / every) * every, math.ceil(high) + 1, every)
    for parts in ((1,), (1, 2, 5)):
        values = [part * 10.0**power for power in powers for part in parts]
        inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if len(inside) > 1:
            break
    names = [count(value) if value >= 1 else number(value) for value in inside]
    return Ticks([math.log10(value) for value in inside], names)


def nice_ticks(low: float, high: float, most: int) -> Ticks:
    """Round numbers between `low` and `high`, at most about `most`, written with as few digits as they need."""
    span = high - low
    if not math.isfinite(span) or span <= 0 or most < 1:
        return Ticks([low], [_tick(low, 0.1)])
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    values = [step * at for at in range(first, math.floor(high / step + 1e-9) + 1)]
    return Ticks(values, [_tick(value, step) for value in values])


def _tick(value: float, step: float) -> str:
    if value == 0 or abs(value) < step * 1e-6:
        return "0"
    if abs(value) >= 1e6 or step < 1e-4:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("-", MINUS, 1 if value < 0 else 0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if step / 10.0**-decimals % 1 > 1e-6:  # steps of 2.5
        decimals += 1
    return trim(f"{value:,.{decimals}f}").replace("-", MINUS)
