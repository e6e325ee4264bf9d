"""Plots read back: where a value is drawn, what its labels say, in every style."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.drawing import samples
from tests.drawing.test_draw import STYLES
from workbench.drawing import DARK, SIXTEEN, draw
from workbench.drawing.annotate import Flag, place_flags
from workbench.drawing.plot_cells import PlotCells, spread_rows
from workbench.drawing.ticks import named_ticks, power_ticks
from workbench.text import width
from workbench.views import AnyView, Bars, Histogram, Level, Lines, Mark, Series, from_builtins, to_builtins

PLAIN = replace(DARK, color=False)
ASCII = replace(DARK, color=False, ascii=True)


def rows(view: AnyView, cells: int = 80, height: int | None = None, style: object = PLAIN) -> list[str]:
    return [line.plain for line in draw(view, cells, height, style)]  # type: ignore[arg-type]


def controls(effect: float = 0.279, **changes: object) -> Histogram:
    """64 controls around 3e-6 on a logarithmic axis, with an edit's effect."""
    view = Histogram(
        title="controls", edges=np.logspace(-8, 0, 33), series=[Series(name="controls", y=np.zeros(32))],
        x_label="KL, nats", log_x=True, marks=[Mark(x=effect, label="these edits: KL")], band=(5e-7, 1.2e-5),
        median=3.2e-6,
    )  # fmt: skip
    view.series[0].y[8:14] = [4, 10, 30, 14, 5, 1]
    return msgspec.structs.replace(view, **changes)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("cells", [60, 80, 120, 200])
def test_a_histogram_says_what_it_is_compared_with(cells: int, style: str) -> None:
    drawn = rows(controls(), cells, 20, STYLES[style])
    text = " ".join(" ".join(drawn).split())
    dash = "-" if style == "ascii" else "–"
    assert f"controls median 3.2e-6 (5{dash}95 %: 5.0e-7{dash}1.2e-5)" in text, "also without colour"
    assert "these edits: KL .279" in text
    assert "controls n 64" in text
    assert "KL, nats, log scale" in text
    line = next(row for row in drawn if "these edits" in row)
    column = max(line.rfind("│"), line.rfind("|"))
    below = drawn[drawn.index(line) + 1 :]
    assert sum(row[column : column + 1] in ("│", "|") for row in below) > 10, "its line goes down through the plot"
    glyphs = "[+]" if style == "ascii" else "├┿┤"
    band = next(row for row in drawn if all(glyph in row for glyph in glyphs))
    ends = [band.index(glyph) for glyph in glyphs]
    assert ends == sorted(ends)
    ticks = next(row for row in drawn if ".01" in row and "1.0e-6" in row)
    assert ticks.index("1.0e-6") - 6 < ends[1] < ticks.index("1.0e-4"), "the median lies between its powers of ten"


def test_a_band_is_a_ground_where_colours_are_mixed() -> None:
    def grounds(style: object) -> int:
        lines = draw(controls(), 80, 20, style)  # type: ignore[arg-type]
        return sum(" on #" in f" {span.style}" for line in lines for span in line.spans)

    assert grounds(DARK) > 10
    assert grounds(replace(DARK, depth="256")) > 10
    assert grounds(SIXTEEN) == grounds(PLAIN) == 0


def test_labels_that_lie_together_are_not_written_over_each_other() -> None:
    marks = [Mark(x=x, label=label) for x, label in ((0.2, "these"), (0.21, "clean"), (0.22, "picked for ' Lyon'"))]
    view = controls(log_x=False, edges=np.linspace(0, 1, 33), marks=marks, band=(0.2, 0.3), median=0.25)
    for cells in (40, 80, 120, 200):
        text = " ".join(" ".join(rows(view, cells, 20)).split())
        for label in ("these .2", "clean .21", "picked for ' Lyon' .22", "median .25 (5–95 %: .2–.3)"):
            assert label in text, f"{label} at {cells} cells"


def test_places_of_labels_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        columns = int(rng.integers(10, 120))
        flags = [Flag(int(rng.integers(columns)), "x" * int(rng.integers(1, 40))) for _ in range(5)]
        placed = place_flags(flags, columns)
        assert sum(map(len, placed.rows)) + len(placed.left_out) == 5
        for row in placed.rows:
            taken = np.zeros(columns, int)
            for start, flag in row:
                assert start >= 0 and start + width(flag.text) <= columns
                taken[start : start + width(flag.text)] += 1
            assert taken.max() <= 1


def test_a_mark_beyond_the_axis_is_a_sentence() -> None:
    assert "these edits: KL at 12, outside of the axis" in "\n".join(rows(controls(12.0), 80, 20))
    assert "outside of the axis" in "\n".join(rows(controls(float("nan")), 80, 20))
    assert "outside of the axis" in "\n".join(rows(controls(0.0), 80, 20)), "0 has no logarithm"


def test_a_band_that_reaches_to_zero_is_drawn_from_the_axis_on() -> None:
    drawn = rows(controls(band=(0.0, 1e-5), median=0.0), 80, 20)
    assert any("median 0 (5–95 %: 0–1.0e-5)" in row and row.index("┿") < 12 for row in drawn if "median" in row)


def test_old_histograms_have_no_band_and_a_linear_axis() -> None:
    data = to_builtins(samples.histogram())
    for name in ("log_x", "band", "median"):
        data.pop(name, None)
    old = from_builtins(data)
    text = "\n".join(rows(old, 80, 20))
    assert "this prompt 1.5" in text
    assert "median" not in text
    data = to_builtins(samples.lines())
    data.pop("levels", None)
    assert "logit difference" in "\n".join(rows(from_builtins(data)))


@pytest.mark.parametrize("style", [PLAIN, ASCII, SIXTEEN, DARK])
def test_columns_are_as_high_as_their_counts(style: object) -> None:
    view = Histogram(
        title="h", edges=np.arange(5.0), series=[Series(name="", y=np.array([8.0, 4.0, 0.0, 1.0]))], x_label="x"
    )
    drawn = rows(view, 42, 14, style)
    plot = [row[2:] for row in drawn if row[1:2] in ("│", "┤", "|", "+") and "┬" not in row and "--" not in row]
    heights = [sum(row[at : at + 1].strip() not in ("", ".") for row in plot) for at in (5, 15, 25, 35)]
    assert heights[0] == len(plot)
    assert abs(heights[1] - heights[0] / 2) <= 1
    assert heights[2] == 0
    assert 0 < heights[3] <= heights[0] / 8 + 1


def test_columns_below_zero_hang_from_the_axis() -> None:
    n = 60
    view = Bars(title="b", labels=[f"L{at}" for at in range(n)], series=[Series(name="", y=np.ones(n))], y_label="y")
    view.series[0].y[n // 2 :] = -1
    drawn = [row[4:] for row in rows(view, 70, 14) if "█" in row or "▄" in row]
    left, right = ([bool(row[part].strip()) for row in drawn] for part in (slice(2, 25), slice(40, 60)))
    assert left == [not on for on in right], "one side up, the other down, no line in common"
    assert left[0] and right[-1]


@pytest.mark.parametrize("style", [PLAIN, ASCII])
def test_error_bars_are_drawn_at_their_ends(style: object) -> None:
    y = np.array([2.0, -1.0, 0.0])
    view = Bars(title="b", labels=["a", "b", "c"], series=[Series(name="", y=y, low=y - 0.5, high=y + 0.5)], y_label="")
    drawn = rows(view, 60, 10, style)[1:4]
    low, high, at, zero = ("[", "]", "+", "|") if style is ASCII else ("├", "┤", "┿", "│")
    # The bars' axis goes from -1.5 to 2.5, and the first reaches to its right end.
    end = drawn[0].index(high)
    start = drawn[1].index(low)
    unit = (end - start) / 4
    for row, value in zip(drawn, y, strict=True):
        figures = row[start:]
        assert abs(figures.index(low) - (value - 0.5 + 1.5) * unit) <= 1
        assert abs(figures.rindex(at) - (value + 1.5) * unit) <= 1
        assert abs(figures.index(high) - (value + 0.5 + 1.5) * unit) <= 1
    assert drawn[0][start + round(1.5 * unit)] == zero or drawn[0][start + round(1.5 * unit) + 1] == zero
    assert "the value and its interval" in "\n".join(rows(view, 60, 10, style))


def test_lines_are_named_at_their_ends_and_told_apart_without_colour() -> None:
    view = samples.lines(bands=False)
    drawn = rows(view, 80, 20)
    assert any(row.endswith("⠒⠒ clean") for row in drawn)
    assert any(row.endswith("o edited") for row in drawn)
    assert not any("clean" in row for row in drawn[:2]), "no legend beside them"
    narrow = rows(view, 30, 20)
    assert "clean" in narrow[1] or "clean" in narrow[2], "above, where there is no room"
    clean, edited = (next(at for at, row in enumerate(drawn) if row.endswith(name)) for name in ("clean", "edited"))
    assert clean < edited, "each beside its own line's end"


@pytest.mark.parametrize("style", STYLES)
def test_a_level_is_drawn_and_named(style: str) -> None:
    view = msgspec.structs.replace(samples.lines(), levels=[Level(y=5.0, label="chance 5")])
    drawn = rows(view, 80, 20, STYLES[style])
    line = next(row for row in drawn if "chance 5" in row)
    assert line.count("╌") + line.count("-") > 20
    assert line.lstrip().startswith("5") or "5┤" in drawn[drawn.index(line) + 1] + drawn[drawn.index(line) - 1]


def test_a_level_beyond_all_curves_is_within_the_plot() -> None:
    view = Lines(
        title="t", x=np.arange(3.0), series=[Series(name="", y=np.array([0.1, 0.2, 0.1]))], x_label="k", y_label="F1",
        levels=[Level(y=0.5, label="chance .50")],
    )  # fmt: skip
    assert any("chance .50" in row and "╌" in row for row in rows(view, 60, 14))


def test_bands_cover_what_lies_between_their_ends() -> None:
    x = np.arange(50.0)
    flat = Series(name="", y=np.full(50, 5.0), low=np.full(50, 0.0), high=np.full(50, 10.0))
    view = Lines(title="", x=x, series=[flat], x_label="x", y_label="y")
    lines = draw(view, 60, 16, DARK)
    plot = [line for line in lines if line.plain.lstrip()[:1] and ("│" in line.plain or "┤" in line.plain)]
    shaded = [" on #" in " ".join(f" {span.style}" for span in line.spans) for line in plot]
    assert sum(shaded) >= len(plot) - 2
    assert sum("░" in row for row in rows(view, 60, 16)) >= len(plot) - 3
    assert "░ shaded: the interval" in rows(view, 60, 16)[-1]


def test_a_single_point_and_a_lone_point_between_gaps_are_seen() -> None:
    y = np.full(9, np.nan)
    y[4] = 2.0
    for view in (
        Lines(title="t", x=np.array([3.0]), series=[Series(name="", y=np.array([2.0]))], x_label="x", y_label="y"),
        Lines(title="t", x=np.arange(9.0), series=[Series(name="", y=y)], x_label="x", y_label="y"),
    ):
        assert "•" in "\n".join(rows(view))
        assert "*" in "\n".join(rows(view, style=ASCII))


@pytest.mark.parametrize("height", range(8, 22))
def test_ticks_stand_where_a_point_of_their_value_does(height: int) -> None:
    view = Lines(title="", x=np.array([4.0]), series=[Series(name="", y=np.array([1.5]))], x_label="", y_label="")
    drawn = rows(view, 40, height)
    ticks = {line.split("┤")[0].strip(): at for at, line in enumerate(drawn) if "┤" in line}
    assert next(at for at, line in enumerate(drawn) if "•" in line) == ticks["1.5"]
    steps = ticks["1"] - ticks["1.5"], ticks["1.5"] - ticks["2"]
    assert abs(steps[0] - steps[1]) <= 1, "even, as far as cells go"


def test_a_count_of_nothing_lies_on_the_floor_of_its_axis() -> None:
    view = Lines(title="dead", x=np.arange(9.0), series=[Series(name="dead", y=np.zeros(9))], x_label="t", y_label="n")
    drawn = rows(view)
    assert not any("−" in row for row in drawn)  # no axis below zero
    assert drawn[-4].strip().startswith("0┤"), drawn


def test_infinite_values_are_gaps() -> None:
    y = np.array([1.0, np.inf, 2.0, -np.inf, 3.0])
    view = Lines(title="t", x=np.arange(5.0), series=[Series(name="", y=y)], x_label="x", y_label="y")
    assert any(row.strip().startswith("3") for row in rows(view))


def test_names_of_points_never_touch_and_the_last_is_there() -> None:
    for n in (3, 10, 31, 200):
        names = [f"L{at}" if at % 3 else " capital" for at in range(n)]
        view = Lines(
            title="t", x=np.arange(float(n)), x_ticks=names, series=[Series(name="", y=np.arange(n) * 1.0)],
            x_label="layer", y_label="y",
        )  # fmt: skip
        for cells in (30, 80, 200):
            axis = next(at for at, row in enumerate(rows(view, cells)) if "┬" in row)
            written = rows(view, cells)[axis + 1]
            assert names[-1].strip()[:4] in written, f"{n} points in {cells} cells"
            whole = {word for word in written.replace("layer", "").split() if not word.endswith("…")}
            assert whole <= {name.strip() for name in names}, "no two run into each other"
    assert named_ticks(np.zeros(0), [], 80).at == []


def test_wide_characters_keep_their_two_cells() -> None:
    cells = PlotCells(1, 6)
    cells.put(0, 1, "日本", "")
    assert cells.line(0).plain == " 日本"
    cells.put(0, 5, "語", "")
    assert cells.line(0).plain == " 日本", "what doesn't fit is left out"
    cells.put(0, 0, "e\u0301", "")
    assert cells.line(0).plain.startswith("e\u0301日")


def test_rows_for_names_are_near_and_different() -> None:
    assert spread_rows([3, 3, 3], 0, 9) == [3, 4, 5]
    assert spread_rows([9, 9, 8], 0, 9) == [8, 9, 7] or spread_rows([9, 9, 8], 0, 9) == [9, 8, 7]
    assert spread_rows([0, 0], 0, 0) is None


def test_powers_of_ten_stand_at_even_steps_however_many() -> None:
    for low, high, most in ((-12, 0, 4), (-12, 3, 5), (-8, 0, 20), (0, 300, 8)):
        at = power_ticks(low, high, most).at
        assert len(at) <= most + 2
        assert len(set(np.diff(at).round(9))) == 1, (low, high, most)
