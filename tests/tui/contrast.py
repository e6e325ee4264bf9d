"""How well what is drawn can be read: WCAG's contrast ratio of every piece of text on the screen against its ground."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple

from rich.color import ColorType
from rich.segment import Segment
from rich.terminal_theme import TerminalTheme
from textual._ansi_theme import ALABASTER, MONOKAI
from textual.color import Color

from workbench.drawing.canvas import AREA
from workbench.drawing.ramps import STEPS, amount_colour, signed_colour
from workbench.drawing.style import Style, mix
from workbench.tui.theme import drawing_style

RGB = tuple[int, int, int]

PALETTES = {"dark": MONOKAI, "light": ALABASTER}
"""what the sixteen colours of a terminal usually are: Textual's own tables for a dark and a light one"""
HALVES = frozenset("▀▄")
"""two bars in one cell, one the letter's colour and one its ground: each is seen against the screen's own ground"""
SHADE = frozenset("░")
"""an area around a curve where colours can't be mixed: the curve in it is measured"""
ORDINARY, QUIET, GLYPH = 4.5, 3.0, 3.0
"""WCAG AA for text; for what is dim (labels, notes), as for large text; for marks and plots (1.4.11)"""
ANSI = 2.5
"""a colour of the terminal's own on its own ground: yellow on white has 2.5 in the usual light palette, and which
colour it is the user chose; what is without colour there is the terminal's own foreground"""
DIM = 0.5
"""of the way from the ground that a dim foreground keeps, where a terminal dims most"""


class Piece(NamedTuple):
    """Text drawn in one style that is harder to read than it may be."""

    text: str
    ratio: float
    wanted: float
    style: str

    def __str__(self) -> str:
        return f"{self.text!r} {self.ratio:.1f} < {self.wanted} ({self.style})"


class Measured(NamedTuple):
    """A theme as what is drawn is measured against it."""

    palette: TerminalTheme
    """what the sixteen colours, and the terminal's own, stand for"""
    quiet: RGB | None
    """the colour of what is said in a low voice; None where that is the terminal's dim"""
    faint: frozenset[RGB | None]
    """colours of lines that part and of scrollbars, which carry no words"""
    ground: RGB | None
    areas: frozenset[RGB]
    """tints of the areas around curves: a curve in its area is measured, and so are words on it"""


def hard_to_read(app: Any) -> list[Piece]:
    """What falls short on the screen as it is now."""
    look = {name: _rgb(app.theme_variables[name]) for name in ("quiet", "line", "scrollbar", "background")}
    faint = frozenset((look["line"], look["scrollbar"]))
    found = set()
    for palette in PALETTES.values() if app.native_ansi_color else (MONOKAI,):
        measured = Measured(palette, look["quiet"], faint, look["background"], _areas(drawing_style(app)))
        for line in app.screen._compositor.render_strips(app.size):
            for segment in line:
                if segment.text.strip() and not segment.control:
                    found |= {piece for piece in [_short(segment, measured)] if piece}
    return sorted(found)


def _rgb(name: str) -> RGB | None:
    return Color.parse(name).rgb if not name.startswith("ansi_") else None


def _short(segment: Segment, measured: Measured) -> Piece | None:
    text, style, palette = segment.text.strip(), segment.style, measured.palette
    assert style is not None, segment
    fore, back = style.color, style.bgcolor
    own = [colour is None or colour.type is ColorType.DEFAULT for colour in (fore, back)]
    if all(own):
        return None  # the terminal's own text on its own ground, dim or not
    front = palette.foreground_color if fore is None or own[0] else fore.get_truecolor(palette)
    ground = palette.background_color if back is None or own[1] else back.get_truecolor(palette, foreground=False)
    if style.reverse:
        front, ground = ground, front
    if style.dim:
        front = tuple(round(b + (f - b) * DIM) for f, b in zip(front, ground, strict=True))
    wanted = QUIET if style.dim or tuple(front) == measured.quiet else ORDINARY
    if tuple(ground) in measured.areas:
        wanted = QUIET  # a plot's labels are dim: Textual has mixed that with this ground already
    if not any(map(str.isalnum, text)):
        wanted = GLYPH
        if tuple(front) in measured.faint or tuple(ground) in measured.faint:
            return None
        if style.dim and set(text) <= SHADE:
            return None
        if set(text) <= HALVES:
            if tuple(front) in measured.areas:
                return None
            if {tuple(front), tuple(ground)} & _fills():
                return None  # two cells of a heat map: their colours say their values, down to nothing
            page = measured.ground or tuple(palette.background_color)
            wanted = GLYPH if measured.ground else ANSI
            ratio = min(contrast(one, page) for one in (front, ground) if tuple(one) != page)
            return Piece(text[:40], ratio, wanted, str(style)) if ratio < wanted else None
    if own[1] and fore is not None and fore.type is ColorType.STANDARD:
        wanted = ANSI
    ratio = contrast(front, ground)
    return Piece(text[:40], ratio, wanted, str(style)) if ratio < wanted else None


def _areas(style: Style) -> frozenset[RGB]:
    if not (style.rgb and style.color):
        return frozenset()
    colours = (style.clean, style.edited, *style.more)
    return frozenset(Color.parse(mix(style.background, colour, AREA)).rgb for colour in colours)


@cache
def _fills() -> frozenset[RGB]:
    """Every colour that a heat map's cells are filled with."""
    shares = [step / STEPS for step in range(-STEPS, STEPS + 1)]
    colours = {
        ramp(share, dark, depth)
        for ramp, part in ((signed_colour, shares), (amount_colour, shares[STEPS:]))
        for share, dark, depth in product(part, (True, False), ("rgb", "256"))
    }
    return frozenset(Color.parse(colour).rgb for colour in colours)


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG 2: from 1 (the same) to 21 (black on white)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    parts = [value / 255 for value in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
