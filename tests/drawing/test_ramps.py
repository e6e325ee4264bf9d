"""Ramps: even steps of lightness, alike on both sides where signed, and readable text on every one of them."""

import numpy as np
import pytest
from rich.color import Color
from rich.console import Console

from tests.tui.contrast import ORDINARY, contrast
from workbench.drawing import DARK, LIGHT, SIXTEEN
from workbench.drawing.ramps import STEPS, amount_colour, lightness, signed_colour
from workbench.drawing.scale import Scale
from workbench.drawing.style import replace

SHARES = [step / STEPS for step in range(STEPS + 1)]
BOTH = pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
DEPTHS = pytest.mark.parametrize("depth", ["rgb", "256"])


def test_lightness_is_oklab():
    """Reference values of Björn Ottosson's page: white 1, black 0; red's L is .628."""
    assert lightness("#ffffff") == pytest.approx(1, abs=1e-3)
    assert lightness("#000000") == pytest.approx(0, abs=1e-6)
    assert lightness("#ff0000") == pytest.approx(0.62796, abs=1e-4)


@BOTH
@DEPTHS
def test_amounts_go_evenly_away_from_the_ground(dark, depth):
    light = np.array([lightness(amount_colour(share, dark, depth)) for share in SHARES])
    steps = np.diff(light) * (1 if dark else -1)
    assert (steps >= 0).all()
    assert abs(light[-1] - light[0]) > 0.6
    even = np.linspace(light[0], light[-1], len(light))
    assert np.abs(light - even).max() < (0.01 if depth == "rgb" else 0.09)
    assert len({amount_colour(share, dark, depth) for share in SHARES}) >= 12


@BOTH
@DEPTHS
def test_both_sides_of_a_signed_ramp_weigh_the_same(dark, depth):
    low = np.array([lightness(signed_colour(-share, dark, depth)) for share in SHARES])
    high = np.array([lightness(signed_colour(share, dark, depth)) for share in SHARES])
    assert np.abs(low - high).max() < 0.015
    for side in (low, high):
        assert (np.diff(side) * (1 if dark else -1) >= 0).all()
        assert abs(side[-1] - side[0]) > 0.4
    assert signed_colour(-1, dark, depth) != signed_colour(1, dark, depth)


@BOTH
def test_the_256_are_fixed_colours_that_no_terminal_changes(dark):
    for share in SHARES:
        for colour in (amount_colour(share, dark, "256"), signed_colour(-share, dark, "256")):
            number = Color.parse(colour).downgrade(2).number  # 2: eight bits
            assert number >= 16
            assert Color.from_ansi(number).get_truecolor().hex == colour


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "style",
    [DARK, LIGHT, replace(DARK, depth="256"), replace(LIGHT, depth="256")],
    ids=["dark", "light", "dark256", "light256"],
)
def test_text_on_every_fill_can_be_read(style, signed):
    scale = Scale([np.array([-1.0 if signed else 0.0, 1.0])], style, signed)
    console = Console()
    for value in np.linspace(-1 if signed else 0, 1, 129):
        look = console.get_style(scale.fill(float(value)))
        front, ground = (tuple(colour.get_truecolor()) for colour in (look.color, look.bgcolor))
        assert contrast(front, ground) >= ORDINARY


def test_sixteen_colours_have_five_steps_and_nan_none():
    scale = Scale([np.array([0.0, 1.0])], SIXTEEN)
    assert len({scale.fill(value) for value in (0, 0.3, 0.5, 0.7, 1)}) == 5
    signed = Scale([np.array([-1.0, 1.0])], SIXTEEN, signed=True)
    assert len({signed.fill(value) for value in (-1, -0.5, 0, 0.5, 1)}) == 5
    assert scale.fill(float("nan")) == ""
    assert [scale.digit(value) for value in (0, 0.5, 1, float("nan"))] == ["0", "4", "9", "?"]
    assert [signed.digit(value) for value in (-1, -0.2, 0, 1)] == ["i", "b", "0", "9"]
