"""Lines of the list and the card: aligned, of the right width, nothing lost and nothing unsafe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.style import Style
from rich.text import Text

from tests.index.synthetic import make
from tests.index.synthetic_features import make_features
from workbench.drawing import DARK, SIXTEEN
from workbench.drawing.scale import Scale
from workbench.index import bins
from workbench.index.card import Example
from workbench.index.features import open_any
from workbench.index.format import IndexedSae
from workbench.index.reader import NeuronIndex
from workbench.text import width
from workbench.tui.screens.neurons import plot
from workbench.tui.screens.neurons.browse import Browse
from workbench.tui.screens.neurons.card_lines import NeuronContext, card_lines
from workbench.tui.screens.neurons.columns import Decimals, Row, default_columns, shape
from workbench.tui.screens.neurons.examples import example_line
from workbench.tui.screens.neurons.export import Plain
from workbench.tui.screens.neurons.your_text import OnText, text_lines
from workbench.tui.widgets.strips import strip_of

PLAIN: Any = Plain()
NO_COLOUR = replace(DARK, color=False)
STYLES = {"dark": DARK, "sixteen": SIXTEEN, "no colour": NO_COLOUR, "ascii": replace(NO_COLOUR, ascii=True)}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> NeuronIndex:
    return NeuronIndex.open(make(tmp_path_factory.mktemp("index"), n_layers=3, d_mlp=40, seed=1, top=20))


@given(arrays(np.float32, st.integers(1, 40), elements=st.floats(-5e6, 5e6, width=32)))
def test_numbers_stand_under_each_other_at_the_point(values: np.ndarray) -> None:
    column = Decimals(values)
    shown = [column.show(float(value)) for value in values if abs(value) < 1e6]
    assert {width(text) for text in shown} <= {column.cells}
    points = {text.index(".") for text in shown if "." in text}
    assert len(points) <= 1
    if points and column.before:
        assert points == {column.before}


def test_numbers_drop_zeros_but_not_the_truth() -> None:
    column = Decimals(np.array([0.5, 0.25, 0.125, 1e-9, 0, -0.5]))
    assert [column.show(x).strip() for x in (0.5, 0.25, 0, -0.5, float("nan"))] == [".5", ".25", "0", "−.5", "–"]
    assert column.show(1e-9).strip() == ".00"


@given(arrays(np.int64, 256, elements=st.integers(0, 1000)), st.integers(8, 60), st.integers(1, 10))
def test_a_histogram_keeps_every_count_and_its_size(counts: np.ndarray, cells: int, rows: int) -> None:
    heights, borders = plot.columns_of(counts, bins.edges(), cells * 2)
    assert heights.sum() == pytest.approx(counts.sum())
    assert len(borders) == cells * 2 + 1 and (np.diff(borders) >= 0).all()
    drawn = plot.histogram(counts, bins.edges(), cells, rows, np.array([0.0, 1e9]))
    assert [width(row) for row in drawn.rows] == [cells] * rows
    assert width(drawn.axis) <= cells and width(drawn.marks) <= cells
    assert width(shape(counts, 8)) in (0, 8)


def test_what_is_drawn_is_where_it_belongs() -> None:
    counts = np.zeros(256, int)
    counts[[100, 200]] = 1, 1000
    drawn = plot.histogram(counts, bins.edges(), 40, 4, np.array([bins.edges()[200]]))
    assert drawn.rows[0].rstrip()[-1] != " " and len(drawn.rows[0].rstrip()) >= 39
    assert drawn.rows[0][0] == " " and drawn.rows[-1][0] != " "
    assert drawn.marks.index("▲") >= 38


def example(tokens: list[str], peak: int) -> Example:
    values = np.linspace(0.1, 1, len(tokens)).astype(np.float32)
    return Example(tokens=tokens, values=values, peak=peak, value=8.41, document=0, position=peak)


words = st.lists(st.text(max_size=8), min_size=1, max_size=49)


@given(words, st.data())
def test_examples_have_the_width_and_the_peak(tokens: list[str], data) -> None:
    peak = data.draw(st.integers(0, len(tokens) - 1))
    cells = data.draw(st.integers(30, 120))
    style = data.draw(st.sampled_from(list(STYLES.values())))
    shown = example(tokens, peak)
    line = example_line(shown, cells, PLAIN, Scale([shown.values], style, signed=True))
    assert width(line.plain) == cells
    assert line.plain.endswith("8.41")
    assert "\n" not in line.plain and "\x1b" not in line.plain
    bold = "".join(line.plain[span.start : span.end] for span in line.spans if span.style.bold)
    assert bold and (style.color or (bold[0] in "⟨[" and bold[-1] in "⟩]"))
    strip_of(line, cells, Style())


@pytest.mark.parametrize("style", STYLES)
def test_peaks_stand_under_each_other(style: str) -> None:
    shown = [
        example([" released", " on", " 12", " March", " 2009"], 3),
        example(["between", " April", " and"], 1),
        example([" every second Tuesday of each and every"] * 3 + [" October"], 3),
    ]
    drawn = STYLES[style]
    lines = [example_line(each, 60, PLAIN, Scale([each.values], drawn, signed=True)) for each in shown]
    starts = {next(span.start for span in line.spans if span.style.bold) for line in lines}
    assert len(starts) == 1
    peak = {"no colour": "⟨March⟩", "ascii": "[March]"}.get(style, "March")
    assert f" {peak} 2009" in lines[0].plain and drawn.glyphs("…", "~") in lines[2].plain
    if drawn.color:
        assert next(span.style for span in lines[0].spans if span.style.bold).bgcolor, "filled"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("cells", [30, 50, 90])
def test_what_a_neuron_fires_on_in_your_text_is_marked(style: str, cells: int) -> None:
    on_text = OnText(
        ("The", " meeting", " in", " May", " moved", " to", " June"), np.array([0, 0.1, 0, 6.2, 0, -1, 5.9])
    )
    drawn = STYLES[style]
    lines = text_lines("", on_text, "", None, cells, PLAIN, drawn)
    marked = [line.plain[span.start : span.end] for line in lines for span in line.spans if span.style.bold]
    assert marked[0].strip("⟨⟩[]") == "May"
    assert all(width(line.plain) <= cells for line in lines)
    text = "\n".join(line.plain for line in lines)
    assert "6.2 5.9" in text
    if cells == 90:
        words = {"no colour": "⟨May⟩ moved to ⟨June⟩", "ascii": "[May] moved to [June]"}
        assert words.get(style, "May moved to June") in text
    for line in lines:
        strip_of(line, cells, Style())


@pytest.mark.parametrize("cells", [30, 38, 47, 78, 110])
@pytest.mark.parametrize("both", [False, True])
def test_every_card_fits_its_width_and_says_n(index: NeuronIndex, cells: int, both: bool) -> None:
    context = NeuronContext(np.array([0.0, 1.0, -2.0]), ("a", " b", "\n"), ("a [note]",), ("months",))
    for neuron in range(0, 120, 7):
        card = index.card(*divmod(neuron, 40))
        for rows in (12, 36, 56):
            lines = card_lines(card, cells, both, context, PLAIN, NO_COLOUR, rows)
            assert max(width(line.plain) for line in lines) <= cells
            text = "\n".join(line.plain for line in lines)
            assert "n 10,000" in text and "±" in text and "a [note]" in text
            for line in lines:
                strip_of(line, cells, Style())


@pytest.fixture(scope="module")
def features(index: NeuronIndex) -> NeuronIndex:
    sae = IndexedSae(name="res-1", hash="e" * 64, layer=1, site="L1.resid_post", width=60)
    return open_any(make_features(index, sae))


@pytest.mark.parametrize("cells", [30, 47, 78])
def test_lines_of_features_fit_their_width(features: NeuronIndex, cells: int) -> None:
    row = Row(features, features.columns, default_columns(features), cells, "frequency", True)
    for feature in range(0, 60, 7):
        lines = card_lines(features.card_of(feature), cells, False, NeuronContext(), PLAIN, NO_COLOUR, 36)
        assert max(width(line.plain) for line in lines) <= cells
        assert any("fires on" in line.plain for line in lines)
        line = row.draw(feature, " ", PLAIN).plain
        assert width(line) <= cells
        assert line.startswith(f"  L1.F{feature} ")


def test_an_exact_zero_is_shown_among_fractions() -> None:
    column = Decimals(np.array([0.35, 0.021, 0.0]))
    assert [column.show(value).strip() for value in (0.35, 0.0)] == [".35", "0"]
    assert {len(column.show(value)) for value in (0.35, 0.0)} == {column.cells}


def test_strips_refuse_what_they_would_draw_twice() -> None:
    text = Text("abc")
    text.stylize(Style(bold=True), 0, 2)
    text.stylize(Style(dim=True), 1, 3)
    with pytest.raises(ValueError, match="overlap"):
        strip_of(text, 5, Style())
    assert strip_of(Text("日本語"), 5, Style()).text.startswith("日本")
    assert strip_of(Text("日本語"), 5, Style()).cell_length == 5


@pytest.mark.parametrize("cells", [30, 66, 78, 118])
def test_rows_have_the_width_of_their_header(index: NeuronIndex, cells: int) -> None:
    row = Row(index, index.columns, default_columns(index), cells, "vr", True)
    header = row.header(PLAIN).plain
    assert "↓" in header or "vr" not in row.names
    for neuron in range(0, 120, 11):
        line = row.draw(neuron, "●", PLAIN).plain
        assert width(line) <= cells
        assert line.startswith(f"● L{neuron // 40}.N{neuron % 40} ")


def test_browsing_keeps_order_filter_and_the_column_of_a_fires_term(index: NeuronIndex) -> None:
    browse = Browse()
    browse.open(index)
    browse.sort("kurtosis", True)
    browse.filter("fires:' May'>0 layer 0-1")
    assert browse.order_by == "share" and browse.names[0] == "share"
    shares = browse.columns["share"].values[browse.ids]
    assert (shares > 0).all() and (shares[:-1] >= shares[1:]).all() and (browse.ids < 80).all()
    browse.filter("layer 0")
    assert "share" not in browse.columns and browse.order_by == "" and "share" not in browse.names
    browse.sort("vr", True)
    browse.open(index)
    assert browse.query.text == "layer 0" and browse.order_by == "vr" and len(browse.ids) == 40
