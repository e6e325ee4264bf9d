"""Figures for papers: every view, whatever its text; text stays text; the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from tests.drawing import samples
from tests.drawing.test_draw import CRAFTED, EMPTY
from tests.tui import results
from workbench.drawing.svg import export_svg
from workbench.drawing.svg.page import PALETTE
from workbench.views import AnyView, Bars, Histogram, Level, Lines, Mark, Series, Table, Text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "$\\frac{x}{y}$ <b>&amp; [bold] \\alpha_1^2 日本語 é\u0301 \x00\x1b\u202e\ud800\ufffe ]]> %s {x}"


def texts(svg: str) -> list[str]:
    """What is written in a document, piece by piece."""
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("view", [*samples.every_kind(), *EMPTY], ids=lambda view: type(view).__name__)
def test_every_view_is_a_document_of_its_width(view: AnyView, columns: int) -> None:
    root = ElementTree.fromstring(export_svg(view, columns))  # type: ignore[arg-type]
    assert root.get("width") == {1: "234pt", 2: "486pt"}[columns]
    words = texts(export_svg(view, columns))  # type: ignore[arg-type]
    assert view.title in " ".join(words)
    assert not any("Date" in element.tag or "date" in element.tag for element in root.iter())


def test_results_of_real_experiments_are_drawn_with_their_labels_and_notes() -> None:
    for name in results.ASKED:
        for view in results.result(name).views.values():
            written = " ".join(texts(export_svg(view)))
            assert view.title[:30] in written
            if view.note:
                assert view.note.split()[0] in written
            if isinstance(view, Lines):
                assert view.x_label in written and view.y_label in written
            if isinstance(view, Table):
                assert all(column.name.strip() in written for column in view.columns[:2])


@pytest.mark.parametrize("view", samples.every_kind(), ids=lambda view: type(view).__name__)
def test_the_same_view_is_the_same_bytes(view: AnyView) -> None:
    assert export_svg(view) == export_svg(view)


@pytest.mark.parametrize("view", samples.every_kind(), ids=lambda view: type(view).__name__)
def test_hostile_text_is_text(view: AnyView) -> None:
    def poisoned(value: object) -> object:
        if isinstance(value, str):
            return HOSTILE
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        if isinstance(value, msgspec.Struct):
            kept = {"kind", "key", "edited", "gives_way"}
            names = [name for name in value.__struct_fields__ if name not in kept]
            return msgspec.structs.replace(value, **{name: poisoned(getattr(value, name)) for name in names})
        return value

    svg = export_svg(poisoned(view))  # type: ignore[arg-type]
    written = " ".join(texts(svg))
    assert "$\\frac" in written or isinstance(view, Table), "no formula was made of it"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", svg)
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} & {f"{SVG}b", f"{SVG}script"} == set()


def test_a_histogram_says_its_n_its_band_and_its_marks() -> None:
    view = Histogram(
        title="controls", edges=np.logspace(-6, 0, 13), series=[Series(name="controls", y=np.arange(12.0))],
        x_label="KL, nats", log_x=True, marks=[Mark(x=0.279, label="these edits: KL")], band=(2e-6, 3e-3), median=1e-4,
    )  # fmt: skip
    words = texts(export_svg(view))
    assert "controls n 66" in words
    assert "these edits: KL .279" in words
    assert "controls median 1.0e-4 (5–95 %: 2.0e-6–.003)" in " ".join(words)
    assert {"1.0e-6", ".01", "1"} <= set(words), "ticks at powers of ten"
    assert "KL, nats, log scale" in words
    assert PALETTE[0] in export_svg(view)


def test_lines_have_bands_levels_and_names_in_their_colours() -> None:
    view = msgspec.structs.replace(samples.lines(), levels=[Level(y=5.0, label="chance 5")])
    svg = export_svg(view)
    words = texts(svg)
    assert {"clean", "edited", "chance 5", "layer", "logit difference"} <= set(words)
    assert "FillBetweenPolyCollection" in svg or "PolyCollection" in svg
    for index, name in enumerate(("clean", "edited")):
        assert re.search(rf"fill: {PALETTE[index]}[^<]*>{name}<", svg), f"{name} is written in its line's colour"


def test_bars_say_their_numbers() -> None:
    view = Bars(title="b", labels=["a", "b"], series=[Series(name="", y=np.array([1.25, -0.5]))], y_label="logits")
    assert {"a", "b", "+1.25", "−.5", "logits"} <= set(texts(export_svg(view)))


def test_cells_of_a_heat_map_hold_their_values_where_they_fit() -> None:
    view = msgspec.structs.replace(
        samples.heatmap(2, 3, texts=False), values=np.array([[0.1, 0.25, np.nan], [1, 2, 3]])
    )
    words = texts(export_svg(view))
    assert {".1", ".25", "1", "2", "3", "unsure", "certain", "layer", "position"} <= set(words)
    assert "grey: no value" in " ".join(words)
    assert ".25" not in texts(export_svg(samples.heatmap(200, 200, texts=False)))
    many = export_svg(samples.heatmap(400, 400, texts=False))
    assert "<image" in many and len(many) < 1_000_000, "as a picture, not as 160,000 shapes"


def test_numbers_of_a_table_stand_under_each_other_at_their_points() -> None:
    root = ElementTree.fromstring(export_svg(samples.table()))
    places: dict[str, set[str]] = {}
    for element in root.iter(f"{SVG}text"):
        text = "".join(element.itertext()).strip()
        if re.fullmatch(r"\.\d{3}", text):
            place = re.search(r"translate\(([\d.]+)", element.get("transform", "")) or [None, element.get("x")]
            places.setdefault(str(place[1]), set()).add(text)
    assert sorted(map(len, places.values()))[-2:] == [5, 5], places


def test_a_view_that_does_not_fit_together_is_a_sentence_in_its_figure() -> None:
    for view, says in CRAFTED:
        assert says in " ".join(texts(export_svg(view)))


def test_without_its_title_a_figure_is_lower() -> None:
    view = Text(title="a title", text="words")
    heights = [float(ElementTree.fromstring(export_svg(view, 1, titled)).get("height", "")[:-2]) for titled in (1, 0)]
    assert heights[0] > heights[1]
    assert "a title" not in texts(export_svg(view, 1, False))


def test_what_a_table_leaves_out_is_said() -> None:
    wide = Table(
        title="t",
        columns=[msgspec.structs.replace(samples.table().columns[2], name=f"column {at}") for at in range(40)],
        rows=[[0.5] * 40],
    )
    written = " ".join(texts(export_svg(wide, 1)))
    assert "left out, too wide: column" in written
    assert "the first 200 of 1,000 rows" in " ".join(texts(export_svg(samples.table(1000))))


def test_the_drawing_of_lines_needs_no_matplotlib() -> None:
    from tests.cli.test_command_line import modules_after

    code = "import workbench.drawing.svg, workbench.drawing as d, tests.drawing.samples as s; d.draw(s.lines(), 80)"
    assert "matplotlib" not in modules_after(code)


def test_labels_of_tokens_and_what_was_generated_are_in_the_figure() -> None:
    view = msgspec.structs.replace(
        samples.tokens(rows=1), labels=["user"] * 5 + ["model"] * 7, generated_from=5, differs_at=8
    )
    words = texts(export_svg(view))
    assert words.count("user") == words.count("model") == 1, "once for tokens side by side"
    assert "generated" in " ".join(words) and "first token that differs" in " ".join(words)
