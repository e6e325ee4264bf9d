"""Every widget in its states, as pictures: a change of look is seen in a review.

`pytest tests/drawing --snapshot-update` takes them anew.
"""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from tests.drawing.states import SHEETS
from tests.tui.contrast import PALETTES
from workbench.drawing import DARK, LIGHT, SIXTEEN, Line

LOOKS = {
    "dark": (DARK, 120), "light": (LIGHT, 80), "16": (SIXTEEN, 80),
    "plain": (replace(DARK, color=False), 80), "ascii": (replace(DARK, color=False, ascii=True), 80),
}  # fmt: skip
"""by name: the style, and the cells across"""
PICTURES = ("dark", "light", "16")
"""the looks that are kept as pictures; those without colour are kept as text"""


class Svg(SingleFileSnapshotExtension):
    _file_extension = "svg"
    _write_mode = WriteMode.TEXT


class Plain(SingleFileSnapshotExtension):
    _file_extension = "txt"
    _write_mode = WriteMode.TEXT


def sheet(widget: str, look: str) -> list[Line]:
    """A widget's states one below the other, each under its name."""
    style, cells = LOOKS[look]
    lines: list[Line] = []
    for state in SHEETS[widget]():
        lines += [Line(f"= {state.name}", "bold"), *state.draw(cells, style), Line("")]
    return lines


def picture(widget: str, look: str) -> str:
    style, cells = LOOKS[look]
    console = Console(record=True, width=cells, color_system="truecolor", force_terminal=True, file=io.StringIO())
    for line in sheet(widget, look):
        console.print(line, no_wrap=True, overflow="crop", highlight=False, crop=True)
    theme = PALETTES["dark"] if look == "16" else _theme(style.background, style.foreground)
    return console.export_svg(title=f"{widget}, {look}", theme=theme, unique_id="sheet")


def _theme(background: str, foreground: str) -> TerminalTheme:
    def rgb(colour: str) -> tuple[int, int, int]:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return red, green, blue

    return TerminalTheme(rgb(background), rgb(foreground), [(0, 0, 0)] * 8, [(0, 0, 0)] * 8)


@pytest.mark.parametrize("look", PICTURES)
@pytest.mark.parametrize("widget", SHEETS)
def test_in_colours(widget, look, snapshot):
    assert picture(widget, look) == snapshot.use_extension(Svg)


@pytest.mark.parametrize("look", ["plain", "ascii"])
@pytest.mark.parametrize("widget", SHEETS)
def test_without_colours(widget, look, snapshot):
    text = "\n".join(line.plain.rstrip() for line in sheet(widget, look)) + "\n"
    assert text.isascii() or look != "ascii"
    assert text == snapshot.use_extension(Plain)
