"""Heat maps, read back from what is drawn: what stands in a cell is its value, or the note says that it is hidden."""

import re

import msgspec
import numpy as np
import pytest
from rich.console import Console

from tests.drawing import samples
from workbench.drawing import DARK, LIGHT, SIXTEEN, Line
from workbench.drawing.cell_words import cell_words, ordinal
from workbench.drawing.grid import Grid, strongest
from workbench.drawing.heatmap import DrawnMap
from workbench.drawing.look import Look
from workbench.drawing.ramps import lightness
from workbench.drawing.scale import Scale
from workbench.drawing.style import replace
from workbench.drawing.view import draw
from workbench.views import Heatmap

PLAIN = replace(DARK, color=False)
ASCII = replace(PLAIN, ascii=True)
STYLES = [DARK, LIGHT, replace(DARK, depth="256"), SIXTEEN, PLAIN, ASCII]
NAMES = ["dark", "light", "256", "16", "no colour", "ascii"]
rng = np.random.default_rng(3)


def map_of(values: np.ndarray, signed: bool = False, **changes: object) -> Heatmap:
    rows, columns = values.shape
    view = Heatmap(
        title="", values=values, row_labels=[f"L{at}" for at in range(rows)],
        column_labels=[f"p{at}" for at in range(columns)], row_axis="layer", column_axis="position",
        low_label="less likely", high_label="more likely", signed=signed,
    )  # fmt: skip
    return msgspec.structs.replace(view, **changes)


def cells_of(line: Line) -> list[tuple[str, str, str]]:
    """Terminal cell by cell: character, foreground, background (as rich names them); wide ones stand twice."""
    cells = []
    for segment in line.render(Console(color_system="truecolor", width=1000)):
        look = segment.style
        front = look.color.name if look and look.color else ""
        ground = look.bgcolor.name if look and look.bgcolor else ""
        for character in segment.text:
            cells += [(character, front, ground)] * max(1, Line(character).cell_len)
    return cells


def text_in(drawn: DrawnMap, row: int, column: int, cell: tuple[int, int] | None = None) -> str:
    """What stands in a cell."""
    at = drawn.grid.line_of(row)
    assert at is not None
    line = cells_of(drawn.cells_line(at, cell)) + [(" ", "", "")] * 99
    start = drawn.grid.start(column)
    return "".join(character for character, *_ in line[start : start + drawn.grid.column_cells])


def read(text: str) -> float:
    text = text.replace("−", "-").replace("∞", "inf").strip()
    return float(text)


def shown_in(lines: list[Line]) -> str:
    return " ".join(line.plain.strip() for line in lines)


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("shape", [(1, 1), (8, 5), (30, 24), (12, 200)])
def test_a_cell_says_its_value_or_the_note_says_that_values_are_hidden(style, width, shape):
    for signed, size in ((False, 1e-7), (True, 0.9), (False, 30.0), (True, 54321.0)):
        check_values(style, width, signed, shape, size)


def check_values(style, width, signed, shape, size):
    values = (rng.normal(0, 1, shape) if signed else rng.random(shape)) * size
    view = map_of(values, signed)
    drawn = DrawnMap(view, width, None, style)
    lines = drawn.lines(None)
    assert all(line.cell_len <= width for line in lines)
    figures = drawn.grid.figures
    hidden = re.search(r"hidden, no room: [^·.]*\bvalues", shown_in(drawn.lines(None)))
    assert (figures is None) == bool(hidden)
    if figures is None:
        return
    unit = 10.0**figures.exponent
    assert not figures.exponent or f"values in 1e{figures.exponent}" in shown_in(lines)
    coarse = 0.5 * 10.0 ** (figures.exponent - figures.decimals) * 1.0001
    assert coarse <= 0.07 * np.abs(values).max()
    for row in range(shape[0]):
        for column in drawn.grid.columns:
            assert abs(read(text_in(drawn, row, column)) * unit - values[row, column]) <= coarse


def test_as_many_digits_as_fit():
    values = np.array([[0.771, -1.24, 12.0], [0.0, 0.004, -0.3]])
    narrow, wide = (DrawnMap(map_of(values, True), width, None, DARK) for width in (20, 80))
    assert [text_in(wide, 0, column).strip() for column in range(3)] == [".8", "−1.2", "12.0"]
    assert [text_in(wide, 1, column).strip() for column in range(3)] == ["0", ".0", "−.3"]
    assert [text_in(narrow, 0, column).strip() for column in range(3)] == ["1", "−1", "12"] or narrow.grid.figures
    whole = DrawnMap(map_of(np.array([[3.0, 1234.0]])), 80, None, DARK)
    assert [text_in(whole, 0, column).strip() for column in range(2)] == ["3", "1234"]


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
def test_no_value_and_infinite_ones_are_seen(style):
    values = np.array([[np.nan, np.inf, -np.inf, 0.5], [0.1, 0.2, 0.3, -0.4]])
    drawn = DrawnMap(map_of(values, True), 80, None, style)
    texts = [text_in(drawn, 0, column).strip() for column in range(4)]
    assert texts[:3] == ([".", "inf", "-inf"] if style.ascii else ["·", "∞", "−∞"])
    assert "dot: no value" in shown_in(drawn.lines(None))
    assert "nan" not in shown_in(drawn.lines(None))
    ground = cells_of(drawn.cells_line(drawn.grid.line_of(0), None))[drawn.grid.start(0)][2]
    assert not ground, "what has no value is not filled"


@pytest.mark.parametrize("values", [np.zeros((3, 3)), np.full((2, 2), np.nan), np.ones((1, 1)), np.full((2, 2), -3.0)])
@pytest.mark.parametrize("style", STYLES, ids=NAMES)
def test_maps_of_one_value_are_drawn(values, style):
    for signed in (False, True):
        lines = DrawnMap(map_of(values, signed), 60, None, style).lines((0, 0))
        assert len(lines) >= len(values) + 2
    assert "nothing to show" in shown_in(draw(map_of(np.zeros((0, 0))), 60))


@pytest.mark.parametrize("style", STYLES[:3], ids=NAMES[:3])
@pytest.mark.parametrize("signed", [False, True])
def test_fills_are_those_of_the_scale_and_monotone_in_lightness(style, signed):
    values = np.linspace(-1 if signed else 0, 1, 40)[None, :]
    drawn = DrawnMap(map_of(values, signed), 200, None, style)
    line = cells_of(drawn.cells_line(0, None))
    grounds = [line[drawn.grid.start(column)][2] for column in range(40)]
    assert grounds == [Scale([values], style, signed).colour(float(value)) for value in values[0]]
    lights = np.array([lightness(colour) for colour in grounds]) * (1 if style.dark else -1)
    middle = 20 if signed else 0
    assert (np.diff(lights[middle:]) >= 0).all()
    assert (np.diff(lights[:middle]) <= 0).all()
    assert lights[-1] - lights[middle] > 0.3


@pytest.mark.parametrize("style", STYLES[3:], ids=NAMES[3:])
def test_without_a_ramp_narrow_cells_say_their_place_on_it(style):
    values = np.linspace(-1, 1, 19)[None, :]
    drawn = DrawnMap(map_of(values, True), 46, None, style)
    assert drawn.grid.figures is None
    shown = "".join(text_in(drawn, 0, column).strip() for column in range(19))
    assert shown == "ihgfedcba0123456789"
    assert shown in shown_in(drawn.lines(None)), "the legend has them in their order"


@pytest.mark.parametrize("style", [DARK, LIGHT, replace(DARK, depth="256")], ids=["dark", "light", "256"])
def test_more_rows_than_lines_are_half_blocks_of_two_rows_values(style):
    values = rng.normal(0, 1, (20, 6))
    values[19, 2] = np.nan
    view = map_of(values, True)
    drawn = DrawnMap(view, 80, 15, style)
    assert len(drawn.lines(None)) <= 15
    assert drawn.grid.is_halved
    assert "two layers per line" in shown_in(drawn.lines(None))
    scale = Scale([values], style, True)
    for at, groups in enumerate(drawn.grid.lines):
        upper, lower = (group[0] for group in groups)
        assert upper == lower + 1, "the first row is at the bottom"
        line = cells_of(drawn.cells_line(at, None))
        for column in range(6):
            character, front, ground = line[drawn.grid.start(column)]
            if (upper, column) == (19, 2):
                assert (character, front, ground) == ("▄", scale.colour(values[lower, column]), "")
            else:
                assert (character, front, ground) == (
                    "▀", scale.colour(values[upper, column]), scale.colour(values[lower, column]),
                )  # fmt: skip


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
def test_rows_beyond_that_share_one_line_and_its_strongest_is_seen(style):
    values = np.zeros((90, 3))
    values[17, 1] = -4.0
    drawn = DrawnMap(map_of(values, True), 90, 14, style)
    lines = drawn.lines(None)
    assert len(lines) <= 14
    at = drawn.grid.line_of(17)
    size = max(map(len, drawn.grid.groups))
    assert f"line: the farthest from 0 of {size} layers" in shown_in(lines)
    line = cells_of(drawn.cells_line(at, None))
    looks = {line[drawn.grid.start(column) + drawn.grid.column_cells - 1] for column in range(3)}
    assert len(looks) == 2, "the one that is not 0 looks unlike the others"
    assert strongest(np.array([[0.0, np.nan], [-2.0, np.nan], [1.0, 3.0]]), True).tolist() == [1, 2]
    assert strongest(np.array([[0.0], [-2.0]]), False).tolist() == [0]


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
@pytest.mark.parametrize("width", [24, 40, 80, 120, 200])
def test_texts_are_whole_and_columns_straight(style, width):
    view = samples.heatmap(6, 12)
    drawn = DrawnMap(view, width, None, style)
    for row in range(6):
        for column in drawn.grid.columns:
            text = text_in(drawn, row, column)
            word = view.texts[row][column].strip(" ").replace("\n", "\\n")
            shortened = word if not style.ascii else word.encode("ascii", "backslashreplace").decode()
            begin = re.sub("[…~]$", "", text.split(" ")[-1 if drawn.grid.figures is None else 1].strip())
            if not any(ord(character) > 0x2E80 for character in word):
                assert shortened.startswith(begin), (text, word)
    assert all(line.cell_len <= width for line in drawn.lines((0, 0)))


def test_text_cells_say_their_values_where_there_is_room():
    view = samples.heatmap(4, 3)
    drawn = DrawnMap(view, 120, None, DARK)
    assert read(text_in(drawn, 1, 2).split()[-1]) == pytest.approx(view.values[1, 2], abs=0.051)
    assert "hidden" not in shown_in(drawn.lines(None))


def test_what_does_not_fit_is_named_and_the_window_follows_the_cursor():
    view = map_of(rng.random((4, 200)))
    still = DrawnMap(view, 80, None, DARK)
    assert still.grid.columns.stop == 200
    assert f"the first {still.grid.columns.start} of 200 positions" in shown_in(still.lines(None))
    first = still.grid.columns.start
    inside = DrawnMap(view, 80, None, DARK, Look(cell=(0, first + 3), first_column=first))
    assert inside.grid.columns == still.grid.columns, "a cursor inside moves nothing"
    left = DrawnMap(view, 80, None, DARK, Look(cell=(0, first - 1), first_column=first))
    assert first - 1 in left.grid.columns
    assert left.grid.columns.start < first - 20, "there is room to go on"
    assert "and the last" in shown_in(left.lines(None))
    right = DrawnMap(view, 80, None, DARK, Look(cell=(0, 100), first_column=0))
    assert 100 in right.grid.columns
    assert 130 in right.grid.columns


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
@pytest.mark.parametrize(("rows", "columns", "height"), [(5, 6, None), (5, 60, None), (30, 6, 12), (5, 200, None)])
def test_the_cursor_is_seen_and_hides_no_value(style, rows, columns, height):
    view = map_of(rng.normal(0, 1, (rows, columns)), True)
    plain = DrawnMap(view, 80, height, style)
    for cell in ((0, plain.grid.columns[0]), (rows - 1, plain.grid.columns[-1])):
        at = plain.grid.line_of(cell[0])
        assert at is not None
        before, after = (plain.cells_line(at, each) for each in (None, cell))
        assert after.cell_len <= 80
        looks = [span.style for span in after.spans]
        assert "bold" in looks, "its row's name"
        assert any("reverse" in str(look) for look in looks) or plain.grid.is_halved
        assert (before.plain, before.spans) != (after.plain, after.spans)
        text = text_in(plain, *cell).strip()
        if plain.grid.figures is not None:
            assert f"[{text}]" in after.plain.replace(" ", "")
        assert view.column_labels[cell[1]] in plain.names_line(cell).plain.split()


def test_half_a_line_is_the_cursor():
    drawn = DrawnMap(map_of(rng.normal(0, 1, (30, 6)), True), 80, 14, DARK)
    upper, lower = (group[0] for group in drawn.grid.lines[0])
    start = drawn.grid.start(2)
    looks = [cells_of(drawn.cells_line(0, (row, 2)))[start][1:] for row in (upper, lower)]
    assert looks[0][0] == DARK.foreground
    assert looks[1][1] == DARK.foreground


def test_clicks_map_to_the_cells_that_are_drawn():
    for view in (map_of(rng.random((5, 7))), samples.heatmap(5, 7), map_of(rng.random((40, 30)))):
        grid: Grid = DrawnMap(view, 80, 16, DARK).grid
        for at, groups in enumerate(grid.lines):
            for column in grid.columns:
                for x in (grid.start(column), grid.start(column) + grid.column_cells - 1):
                    assert grid.under(x, at + grid.top) == (groups, column)
        assert grid.under(0, grid.top) is None
        assert grid.under(grid.start(grid.columns.stop), grid.top) is None
        assert grid.under(grid.start(0), grid.top + len(grid.lines)) is None


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("style", STYLES, ids=NAMES)
def test_names_never_run_into_each_other(width, style):
    labels = ["'The'", "' capital'", "'日本'", "' France'/' Italy'", "'e\u0301'", "' is'"] * 4
    view = map_of(rng.random((3, 24)), column_labels=labels)
    for cell in (None, (1, 20)):
        line = DrawnMap(view, width, None, style, Look(cell=cell)).names_line(cell).plain
        assert "''" not in line


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
@pytest.mark.parametrize("width", [24, 40, 80])
def test_the_legend_has_both_ends_and_their_meanings(style, width):
    view = map_of(np.array([[-1.5, 0.0, 1.0]]), True)
    text = " ".join(shown_in(draw(view, width, style=style)).split())
    for words in ("less likely", "more likely", "-1.5" if style.ascii else "−1.5", "1.5"):
        assert words in text


def test_a_cell_in_words():
    values = np.array([[0.1, -0.9, np.nan], [0.5, 0.2, 0.2]])
    view = map_of(values, True, value_label="recovery")
    assert cell_words(view, 0, 1) == "L0 · p1: −.9 recovery · less likely · farthest from 0 of 5"
    assert cell_words(view, 1, 0) == "L1 · p0: +.5 recovery · more likely · 2nd farthest from 0 of 5"
    assert cell_words(view, 0, 2) == "L0 · p2: no value"
    lens = map_of(np.array([[0.25, 0.75]]), texts=[[" the", "\x1b[31m"]], column_labels=[])
    assert cell_words(lens, 0, 0) == "L0 · 0: ' the' · .25 · 2nd largest of 2"
    assert "\x1b" not in cell_words(lens, 0, 1)
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111, 1003)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th", "1,003rd",
    ]  # fmt: skip
