"""Drawings can be read in every style: WCAG's contrast ratio of each piece against its ground."""

import pytest
from rich.console import Console

from tests.drawing import samples
from tests.tui.contrast import ANSI, DIM, GLYPH, HALVES, ORDINARY, PALETTES, QUIET, contrast
from workbench.drawing import DARK, LIGHT, SIXTEEN, draw
from workbench.drawing.style import mix, readable_on

CONSOLE = Console(color_system="truecolor", force_terminal=True, width=200)
VIEWS = samples.every_kind()


def rgb(name):
    return tuple(CONSOLE.get_style(name).color.get_truecolor())


@pytest.mark.parametrize("style", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("view", VIEWS, ids=[type(view).__name__ for view in VIEWS])
def test_every_piece_of_every_view(view, style):
    drawn = draw(view, 90, style=style)
    looks = [look for line in drawn for _, look, _ in line.render(CONSOLE) if look and look.bgcolor]
    grounds = {tuple(look.bgcolor.get_truecolor()) for look in looks}
    for line in drawn:
        for text, look, _ in line.render(CONSOLE):
            if not text.strip():
                continue
            front = tuple(look.color.get_truecolor()) if look and look.color else rgb(style.foreground)
            ground = tuple(look.bgcolor.get_truecolor()) if look and look.bgcolor else rgb(style.background)
            if set(text) <= HALVES and front in grounds:  # the edge of a band
                continue
            if set(text) <= HALVES:  # two bars in one cell: each against the drawing's ground
                assert min(contrast(one, rgb(style.background)) for one in (front, ground) if one != ground) >= GLYPH
                continue
            dim = bool(look and look.dim)
            if dim:
                front = tuple(round(b + (f - b) * DIM) for f, b in zip(front, ground, strict=True))
            words = any(map(str.isalnum, text))
            wanted = QUIET if dim else ORDINARY if words else GLYPH
            assert contrast(front, ground) >= wanted, (text, str(look))


@pytest.mark.parametrize("style", [DARK, LIGHT], ids=["dark", "light"])
def test_every_series_can_be_named_in_its_colour(style):
    for index in range(2 + len(style.more)):
        assert contrast(rgb(style.series(index)), rgb(style.background)) >= ORDINARY


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_the_sixteen_are_seen_on_a_dark_and_on_a_light_ground(palette):
    used = {SIXTEEN.series(index) for index in range(2 + len(SIXTEEN.more))}
    for name in used | {SIXTEEN.low, SIXTEEN.high, SIXTEEN.good, SIXTEEN.bad}:
        colour = CONSOLE.get_style(name).color.get_truecolor(palette)
        assert contrast(colour, palette.background_color) >= ANSI, name


def test_what_is_written_on_any_shade_can_be_read():
    for low, high in (("#000000", "#ffffff"), (DARK.background, DARK.high), (LIGHT.background, LIGHT.high)):
        for share in range(65):
            ground = mix(low, high, share / 64)
            assert contrast(rgb(readable_on(ground)), rgb(ground)) >= ORDINARY, ground
