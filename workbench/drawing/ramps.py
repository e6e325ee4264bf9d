"""Colour ramps for values: even steps of lightness from the ground on, so that twice as far looks twice as strong.

Amounts go through the hues of viridis (van der Walt & Smith 2015, CC0), brighter for more on a dark ground and darker
on a light one; signed values go from the ground to blue and to orange, equally light at equal distance. Lightness is
that of OKLab (Ottosson 2020). Where a terminal has 256 colours the ramps are made of those, still monotone: what the
terminal would choose itself is not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from rich.color import Color, ColorSystem

from workbench.drawing.style import Depth

STEPS = 64
_VIRIDIS = (
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
)  # fmt: skip
_FADE = 0.15
"""share of a ramp in which its hue grows out of the ground's grey"""
_AMOUNT = {True: (0.22, 0.90), False: (0.97, 0.30)}
"""lightness at both ends, by whether the ground is dark"""
_SIGNED = {True: (0.22, 0.78), False: (0.97, 0.50)}
_BLUE, _ORANGE = 250.0, 50.0
"""hues in degrees"""
_CHROMA = 0.13
_WEIGHTS = np.array([2.0, 1.0, 1.0])
"""of lightness and hue, where the nearest of 256 colours is looked for"""
_UNLIKE = 3.0
"""how much a difference of lightness weighs between the two sides of a signed ramp, against a difference of colour"""


def amount_colour(share: float, dark: bool, depth: Depth) -> str:
    """`#rrggbb` of a share 0…1; with 256 colours one of theirs. Sixteen colours have no ramp (`Scale.fill`)."""
    return _amounts(dark, depth)[round(min(1.0, max(0.0, share)) * STEPS)]


def signed_colour(share: float, dark: bool, depth: Depth) -> str:
    """`#rrggbb` of a share −1…1."""
    low, high = _signed(dark, depth)
    return (low if share < 0 else high)[round(min(1.0, abs(share)) * STEPS)]


def lightness(colour: str) -> float:
    """Of `#rrggbb`, 0…1, as the eye sees it (OKLab's L)."""
    return float(_oklab(_rgb(colour))[0])


@lru_cache(maxsize=8)
def _amounts(dark: bool, depth: Depth) -> tuple[str, ...]:
    hues = np.array([_oklab(_rgb(colour)) for colour in _VIRIDIS])
    shares = np.linspace(0, 1, STEPS + 1)
    start, end = _AMOUNT[dark]
    light = start + (end - start) * shares
    a, b = (np.interp(light, hues[:, 0], hues[:, axis]) for axis in (1, 2))
    fade = np.minimum(1, shares / _FADE)
    aimed = np.stack([light, a * fade, b * fade], axis=1)
    if depth != "256":
        return tuple(_hex(_srgb(lab)) for lab in aimed)
    return _snapped(aimed, aimed)[0]


@lru_cache(maxsize=8)
def _signed(dark: bool, depth: Depth) -> tuple[tuple[str, ...], tuple[str, ...]]:
    shares = np.linspace(0, 1, STEPS + 1)
    start, end = _SIGNED[dark]
    light = start + (end - start) * shares
    sides = []
    for hue in (_BLUE, _ORANGE):
        angle = np.deg2rad(hue)
        chroma = _CHROMA * shares
        sides.append(np.stack([light, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1))
    if depth != "256":
        low, high = (tuple(_hex(_srgb(lab)) for lab in side) for side in sides)
        return low, high
    return _snapped(*sides)


def _snapped(first: np.ndarray, second: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two ramps, OKLab [step, 3], in the 256 colours: nearest ones, monotone in lightness, alike on both sides."""
    palette = _palette()
    labs = np.array([_oklab(_rgb(colour)) for colour in palette])
    rising = first[-1, 0] > first[0, 0]
    chosen: list[tuple[int, int]] = []
    for left, right in zip(first, second, strict=True):
        distance = [np.linalg.norm((labs - lab) * _WEIGHTS, axis=1) for lab in (left, right)]
        cost = distance[0][:, None] + distance[1][None, :] + _UNLIKE * np.abs(labs[:, None, 0] - labs[None, :, 0])
        if first is second:
            cost[~np.eye(len(labs), dtype=bool)] = np.inf
        if chosen:
            for axis, before in enumerate(chosen[-1]):
                darker = labs[:, 0] < labs[before, 0] if rising else labs[:, 0] > labs[before, 0]
                cost[darker if axis == 0 else (slice(None), darker)] = np.inf
        at = np.unravel_index(int(np.argmin(cost)), cost.shape)
        chosen.append((int(at[0]), int(at[1])))
    return tuple(palette[a] for a, _ in chosen), tuple(palette[b] for _, b in chosen)


def _palette() -> list[str]:
    """The fixed ones of a terminal's 256 colours that Rich writes as they are (it rounds some greys to another one)."""
    colours = [Color.from_ansi(number) for number in range(16, 256)]  # the first sixteen are the user's own
    return [
        colour.get_truecolor().hex
        for colour in colours
        if Color.from_triplet(colour.get_truecolor()).downgrade(ColorSystem.EIGHT_BIT).number == colour.number
    ]


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in np.clip(rgb, 0, 1))


_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def _oklab(rgb: np.ndarray) -> np.ndarray:
    """OKLab [3] of sRGB 0…1 [3]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(_TO_LAB @ np.cbrt(_TO_LMS @ linear))


def _srgb(lab: np.ndarray) -> np.ndarray:
    """sRGB [3] of OKLab [3], clipped to 0…1."""
    linear = np.clip(np.linalg.inv(_TO_LMS) @ (np.linalg.inv(_TO_LAB) @ lab) ** 3, 0, 1)
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))
