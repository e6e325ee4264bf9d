"""Drawings: never wider than asked, never unsafe, readable in ASCII and without colour, quick."""

import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.drawing import samples
from workbench.drawing import DARK, LIGHT, SIXTEEN, draw, export_csv, export_text
from workbench.views import (
    AnyView,
    Bars,
    Column,
    Heatmap,
    Histogram,
    Lines,
    Scalar,
    Scalars,
    Scatter,
    Series,
    Table,
    Text,
    TokenRow,
    Tokens,
)

STYLES = {
    "dark": DARK,
    "light": LIGHT,
    "sixteen": SIXTEEN,
    "no colour": replace(DARK, color=False),
    "ascii": replace(DARK, ascii=True, color=False),
}
VIEWS = samples.every_kind()
NAN = np.full(5, np.nan)
NONE = np.zeros(0)


def text_of(view: AnyView, width: int = 80, **more: object) -> str:
    return "\n".join(line.plain for line in draw(view, width, style=replace(DARK, **more)))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", [24, 40, 80, 200])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{type(view).__name__}")
def test_lines_keep_their_width_and_are_safe(view: AnyView, width: int, style: str) -> None:
    for line in draw(view, width, style=STYLES[style]):
        assert line.cell_len <= width, line.plain
        assert "\n" not in line.plain
        assert "\x1b" not in line.plain
        assert "\u202e" not in line.plain
        if style == "ascii":
            assert line.plain.isascii(), line.plain
        if style in ("no colour", "ascii"):
            looks = {str(span.style) for span in line.spans} | {str(line.style)}
            assert looks <= {"", "dim", "bold"}


@pytest.mark.parametrize("height", [3, 8, 20])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{type(view).__name__}")
def test_height_is_kept_where_a_kind_can_be_shorter(view: AnyView, height: int) -> None:
    lines = draw(view, 80, height)
    if isinstance(view, Table | Scalars | Heatmap | Text):
        assert len(lines) <= max(height, 6)
    elif height == 20:
        assert len(lines) <= height + 1


EMPTY = [
    Lines(title="t", x=NONE, series=[Series(name="a", y=NONE)], x_label="x", y_label="y"),
    Lines(title="t", x=np.arange(5.0), series=[Series(name="a", y=NAN)], x_label="x", y_label="y"),
    Lines(title="t", x=np.arange(5.0), series=[], x_label="x", y_label="y"),
    Bars(title="t", labels=[], series=[], y_label="y"),
    Bars(title="t", labels=["a"] * 5, series=[Series(name="a", y=NAN)], y_label="y"),
    Histogram(title="t", edges=NONE, series=[], x_label="x"),
    Histogram(title="t", edges=np.arange(6.0), series=[Series(name="", y=np.zeros(5))], x_label="x"),
    Heatmap(
        title="t", values=np.zeros((0, 0)), row_labels=[], column_labels=[], row_axis="", column_axis="",
        low_label="", high_label="",
    ),
    Heatmap(
        title="t", values=np.full((2, 3), np.nan), row_labels=[], column_labels=[], row_axis="r", column_axis="c",
        low_label="", high_label="", texts=[["a"]],
    ),
    Scatter(title="t", x=NAN, y=NAN, x_label="x", y_label="y"),
    Scatter(title="t", x=np.ones(3), y=np.ones(3), x_label="x", y_label="y", labels=["one"]),
    Table(title="t", columns=[Column(name="a")], rows=[]),
    Table(title="t", columns=[Column(name="p", kind="probability"), Column(name="n", kind="int")], rows=[[None, None]]),
    Tokens(title="t", tokens=[], rows=[], value_label="", low_label="", high_label=""),
    Tokens(
        title="t", tokens=["a", ""], rows=[TokenRow(name="", values=NAN)], value_label="", low_label="", high_label=""
    ),
    Scalars(title="t", items=[]),
    Scalars(title="t", items=[Scalar(name="x", value=float("nan"))]),
    Text(title="t", text=""),
]  # fmt: skip


@pytest.mark.parametrize("view", EMPTY, ids=lambda view: type(view).__name__)
@pytest.mark.parametrize("width", [10, 80])
def test_nothing_and_nan_are_drawn_too(view: AnyView, width: int) -> None:
    lines = draw(view, width)
    assert lines[0].plain == "t"
    assert all(line.cell_len <= width for line in lines)
    assert export_csv(view) is not None


CRAFTED = [
    (Lines(title="t", x=np.arange(3.0), series=[Series(name="a", y=np.zeros(2))], x_label="", y_label=""), "2 numbers"),
    (Lines(title="t", x=np.zeros((2, 2)), series=[], x_label="", y_label=""), "x is no row of numbers"),
    (Bars(title="t", labels=["a"], series=[Series(name="s", y=np.array(["x"]))], y_label=""), "s is no row"),
    (Scatter(title="t", x=np.zeros(2), y=np.zeros(3), x_label="", y_label=""), "3 numbers for 2 points"),
    (Table(title="t", columns=[Column(name="a")], rows=[[1], [1, 2]]), "row 1 has 2 cells"),
]


@pytest.mark.parametrize(("view", "says"), CRAFTED, ids=lambda value: type(value).__name__)
def test_a_view_that_does_not_fit_together_is_a_sentence(view: AnyView, says: str) -> None:
    text = text_of(view)
    assert "this view cannot be drawn" in text
    assert says in text


def test_wrong_types_in_a_table_are_shown_as_they_are() -> None:
    view = Table(
        title="t",
        columns=[Column(name="p", kind="probability")],
        rows=[["[bold]x\x1b"], [True], [[1]], [10**400]],
    )
    assert "[bold]x\\x1b" in text_of(view)


def test_huge_views_are_drawn_quickly() -> None:
    many = 200_000
    views: list[AnyView] = [
        samples.table(many // 10),
        samples.lines(many, bands=False),
        samples.scatter(many),
        samples.tokens(repeat=2000),
        samples.heatmap(400, 400, texts=False),
        Text(title="t", text="word " * 20000),
    ]
    for view in views:
        started = time.perf_counter()
        lines = draw(view, 100)
        assert time.perf_counter() - started < 2, type(view).__name__
        assert len(lines) < 3500


@pytest.mark.parametrize("view", [samples.table(10), samples.tokens(3), samples.heatmap(30, 12), samples.scalars()])
def test_typical_views_take_milliseconds(view: AnyView) -> None:
    draw(view, 100)
    times = []
    for _ in range(7):
        started = time.thread_time()  # the machine may be busy
        draw(view, 100)
        times.append(time.thread_time() - started)
    assert min(times) < 0.015


def test_table_numbers_align_at_the_point_and_columns_stay_straight() -> None:
    lines = [line.plain for line in draw(samples.table(), 90, style=replace(DARK, color=False))][1:-1]
    from rich.cells import cell_len

    points = {cell_len(line[: line.index(".")]) for line in lines[1:]}
    assert len(points) == 1
    assert any("日本" in line for line in lines)


def test_a_narrow_table_says_what_it_left_out() -> None:
    text = text_of(samples.table(), 30)
    assert "hidden, too narrow: clean, log-prob" in " ".join(text.split())
    assert {"edited", "change"} <= set(text.splitlines()[1].split())
    assert "' Paris'" in text


def test_table_rows_left_out_are_counted() -> None:
    assert "of 40 rows shown" in "\n".join(line.plain for line in draw(samples.table(40), 80, 12))


def test_plot_lines_carry_their_series_colours_and_ticks() -> None:
    lines = draw(samples.lines(bands=False), 80)
    looks = {str(span.style) for line in lines for span in line.spans}
    assert {DARK.clean, DARK.edited} <= looks
    text = "\n".join(line.plain for line in lines)
    assert "layer" in text
    assert "logit difference" in text
    assert any(line.plain.strip().startswith("0 ") for line in lines)


def test_dim_labels_do_not_dim_what_follows_them() -> None:
    for view in VIEWS:
        assert all(str(line.style) == "" for line in draw(view, 80)), type(view).__name__


def test_a_histogram_keeps_its_highest_bin() -> None:
    counts = np.zeros(1000)
    counts[617] = 5
    view = Histogram(
        title="h", edges=np.linspace(0, 1, 1001), series=[Series(name="", y=counts)], x_label="x", log_counts=False
    )
    top = text_of(view, 60).splitlines()[2]
    assert top.strip("│┤ 0123456789."), "the one filled bin is not there"


def test_decimation_keeps_the_peak() -> None:
    y = np.zeros(50_000)
    y[31_234] = 9
    text = text_of(Lines(title="", x=np.arange(50_000.0), series=[Series(name="", y=y)], x_label="", y_label="y"), 60)
    first = text.splitlines()[1]
    assert set(first) - set(" │┤5789.0")


def test_markup_in_model_text_stays_text() -> None:
    assert "[bold]" in text_of(samples.text())
    assert "[bold]" in text_of(samples.tokens())


def test_exports() -> None:
    csv = export_csv(samples.table())
    assert csv.splitlines()[0] == "rank,token,clean,edited,log-prob,change"
    assert '"\n"' in csv
    assert "0.771" in csv
    formula = Table(title="", columns=[Column(name="a")], rows=[["=1+1"], [None], [float("nan")]])
    assert export_csv(formula) == 'a\n\'=1+1\n""\n""\n'
    assert export_csv(samples.lines()).startswith("layer,clean,clean low,clean high,edited\n0.0,")
    assert export_csv(samples.histogram()).splitlines()[0] == "from,to,clean,edited"
    assert len(export_csv(samples.heatmap()).splitlines()) == 9
    assert "\x1b" not in export_text(samples.text())


def test_a_logarithmic_scale_has_powers_of_ten_and_no_place_for_zero():
    view = Lines(
        title="rank", x=np.arange(5), series=[Series(name="", y=np.array([20_000.0, 900.0, 0.0, 7.0, 1.0]))],
        x_label="layer", y_label="rank", log_y=True,
    )  # fmt: skip
    lines = text_of(view, 60).splitlines()
    assert "rank, log scale" in lines[1]
    places = [next(at for at, line in enumerate(lines) if line.strip().startswith(f"{power}┤")) for power in
              ("10,000", "1,000", "100", "10", "1")]  # fmt: skip
    steps = np.diff(places)
    assert (steps == steps[0]).all() or np.ptp(steps) <= 1, "each power as far from the next"
    one = msgspec.structs.replace(view, series=[Series(name="", y=np.zeros(5))])
    assert "nothing to draw" in text_of(one, 60)
