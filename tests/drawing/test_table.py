"""Tables read back: what stands in a cell is the value, or its column is named as hidden, at every width."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct
from rich.cells import cell_len, split_graphemes

from tests.drawing import samples
from workbench.drawing import DARK, LIGHT, SIXTEEN, Look, Style, draw
from workbench.drawing.table import plan_table
from workbench.drawing.table_cells import NUMERIC
from workbench.text import MINUS, NOTHING
from workbench.views import Column, Table

PLAIN = replace(DARK, color=False)
KINDS = ["text", "token", "unit", "prompt", "position", "int", "number", "probability", "logprob", "signed"]
NUMBERS = st.one_of(
    st.none(),
    st.just(math.nan),
    st.floats(-1, 1),
    st.floats(-1e300, 1e300),
    st.integers(-(10**9), 10**9),
    st.sampled_from([0.0, math.inf, -math.inf, 1e300, 10**400, -1e-9, 0.99999, 1e-4]),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="🏻🏼🏽🏾🏿"), max_size=60),  # those join whatever stands before them
    st.sampled_from(
        ["日本語のテキスト", "e\u0301 combining", "👩\u200d🔬 " * 8, " Paris", "\n", "L12.N345", "", "a " * 50]
    ),
    st.none(),
)
NAMES = st.sampled_from(
    ["p", "log p edited", "own answer, log-odds", "probability of ' Paris'", "", "日本の名前", "x" * 40]
)


@st.composite
def tables(draw_from: Any) -> Table:
    kinds = draw_from(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))
    columns = [
        Column(
            key=f"c{at}",
            name=draw_from(NAMES),
            kind=kind,
            edited=draw_from(st.booleans()),
            gives_way=draw_from(st.sampled_from(["", "never", "late", "early"])),
            quantity=draw_from(st.sampled_from(["", "nats"])),
        )
        for at, kind in enumerate(kinds)
    ]
    count = draw_from(st.integers(0, 6))
    rows = [[draw_from(NUMBERS if kind in NUMERIC else TEXTS) for kind in kinds] for _ in range(count)]
    return Table(title="", columns=columns, rows=rows)


def parse(text: str) -> float | None:
    """The number that a reader sees."""
    text = text.strip().replace(MINUS, "-").replace(",", "").replace("∞", "inf").removeprefix("+")
    return None if text == NOTHING else 1.0 if text == ">.999" else float(text)


def cut(line: str, start: int, cells: int) -> str:
    """What stands in these terminal cells of a line."""
    spans, _ = split_graphemes(line)
    at, text = 0, ""
    for first, last, wide in spans:
        if start <= at < start + cells:
            assert at + wide <= start + cells, f"something stands across the edge of {line!r}"
            text += line[first:last]
        at += wide
    return text


def cells_of(view: Table, width: int, page: int = 0) -> dict[int, list[str]]:
    """What stands in each column that is shown, row by row, cut out of the drawn lines."""
    look = Look(column_page=page)
    plan = plan_table(view, width, None, PLAIN, look)
    lines = [line.plain for line in draw(view, width, style=PLAIN, look=look)]
    body = lines[plan.header_lines : plan.header_lines + len(view.rows)]
    drawn: dict[int, list[str]] = {}
    start = 0
    for at, cells in zip(plan.layout.shown, plan.layout.cells, strict=True):
        for line in lines[: plan.header_lines + len(view.rows)]:
            assert start == 0 or not cut(line, start - 1, 1).strip(), "columns run into each other"
        drawn[at] = [cut(line, start, cells) for line in body]
        start += cells + 2
    return drawn


def says_value(text: str, value: Any, kind: str) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return text.strip() == NOTHING
    if isinstance(value, int) and abs(value) > 10**300:
        return "…" in text  # an integer beyond any number
    seen = parse(text)
    if seen is None or math.isinf(value):
        return seen == value
    close = abs(seen - value) <= 0.051 * abs(value) if "e" in text else abs(seen - value) <= 0.0051 * abs(value)
    return close or (kind in ("probability", "logprob") and abs(seen - value) <= 0.0051)


@settings(max_examples=300, deadline=None)
@given(tables(), st.integers(20, 200))
def test_every_cell_is_the_value_and_every_column_is_seen_or_named(view: Table, width: int) -> None:
    pages = plan_table(view, width, None, PLAIN).layout.pages
    seen = set[int]()
    for page in range(pages):
        drawn = cells_of(view, width, page)
        for at, texts in drawn.items():
            kind = view.columns[at].kind
            for text, row in zip(texts, view.rows, strict=True):
                assert cell_len(text) <= width
                if kind in NUMERIC:
                    assert says_value(text, row[at], kind), (text, row[at])
        note = " ".join(
            " ".join(line.plain for line in draw(view, width, style=PLAIN, look=Look(column_page=page))).split()
        )
        assert ("hidden, too narrow" in note) == (len(drawn) < len(view.columns))
        assert page == 0 or not seen.issuperset(drawn), "a page shows something new"
        seen |= set(drawn)
    assert seen == set(range(len(view.columns))), "> walks through all columns"


def test_a_text_that_is_there_to_be_read_has_the_room_of_columns_that_give_way_early() -> None:
    answer = "I can't help with that, since it would hurt somebody"
    columns = [
        Column(key="prompt", name="prompt", kind="prompt"),
        Column(key="set", name="prompts", gives_way="early"),
        Column(key="completion", name="completion", gives_way="never"),
        Column(key="verdict", name="verdict"),
        Column(key="id", name="id"),
    ]
    rows = [
        [f"Tell me how to do it in this way or that, {at // 2}", "harmful", answer, "refusal", at] for at in range(4)
    ]
    view = Table(title="t", columns=columns, rows=rows)
    widths = {width: {at: len(texts[0]) for at, texts in cells_of(view, width, 0).items()} for width in (66, 110)}
    assert 1 not in widths[66] and widths[66][2] > widths[66][0]
    assert 1 in widths[110] and widths[110][2] >= 40


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(20, 200), st.sampled_from([DARK, LIGHT, SIXTEEN, replace(PLAIN, ascii=True)]))
def test_no_line_is_wider_than_asked(view: Table, width: int, style: Any) -> None:
    for line in draw(view, width, style=style):
        assert line.cell_len <= width
        assert not style.ascii or line.plain.isascii()


def effects() -> Table:
    """Clean and edited numbers with their errors and much that matters less."""
    return Table(
        title="",
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="answer", name="answer", kind="token"),
            Column(key="rank", name="rank", kind="int"),
            Column(key="probability", name="probability", kind="probability"),
            Column(key="entropy", name="entropy", kind="number"),
            Column(key="loss", name="loss", kind="number"),
            Column(key="probability_edited", name="edited", kind="probability", edited=True),
            Column(key="kl", name="KL", kind="number", gives_way="never"),
            Column(key="se", name="±", kind="number", gives_way="never"),
        ],
        rows=[
            [f"The capital of {country} is", f" {city}", 1, 0.773, 1.48, 3.69, 0.466 / at, 0.279 * at, 0.0123]
            for at, (country, city) in enumerate([("France", "Paris"), ("Japan", "Tokyo"), ("Italy", "Rome")], 1)
        ],
    )


@pytest.mark.parametrize("width", range(60, 201))
def test_edited_values_effects_and_their_errors_are_never_hidden(width: int) -> None:
    shown = plan_table(effects(), width, None, PLAIN).layout.shown
    assert {6, 7, 8} <= set(shown)


@pytest.mark.parametrize("width", range(40, 121))
def test_prompts_that_begin_alike_stay_apart(width: int) -> None:
    names = [text.strip() for text in cells_of(effects(), width)[0]]
    assert len(set(names)) == 3
    assert all(country in name for country, name in zip(("Fra", "Jap", "Ita"), names, strict=True))


def test_columns_go_in_the_stated_order_and_headings_wrap_first() -> None:
    hidden = [
        len(effects().columns) - len(plan_table(effects(), width, None, PLAIN).layout.shown) for width in range(20, 121)
    ]
    assert hidden == sorted(hidden, reverse=True), "wider never shows less"
    gone: list[int] = []
    for width in range(120, 39, -1):
        shown = plan_table(effects(), width, None, PLAIN).layout.shown
        gone += sorted({at for at in range(9) if at not in shown} - set(gone), reverse=True)
    assert gone[:1] == [2], "a whole number that matters less goes first"
    assert set(gone) <= {1, 2, 3, 4, 5}
    view = samples.table()
    view.columns[4] = replace_struct(view.columns[4], name="log p edited")
    plan = plan_table(view, 48, None, PLAIN)
    assert len(plan.layout.shown) == len(view.columns)
    assert plan.header_lines == 2


def test_what_is_hidden_is_named_with_what_shows_it() -> None:
    def text(page: int) -> str:
        lines = draw(samples.table(), 40, style=PLAIN, look=Look(column_page=page, shows_hidden="`>`"))
        return " ".join(" ".join(line.plain for line in lines).split())

    assert "hidden, too narrow: log-prob (`>` shows it)" in text(0)
    assert "log-prob" in text(1).split("hidden")[0]
    assert text(99) == text(1), "there is no page beyond the last"


def test_a_long_heading_is_shortened_and_named_below() -> None:
    name = "@a-direction-with-a-name-beyond-all-measure"
    columns = [Column(key="unit", name="unit", kind="unit"), Column(key="value", name=name, kind="number")]
    view = Table(title="", columns=columns, rows=[["L1.N2", 0.5], ["L1.N3", 0.25]])
    assert name in draw(view, 80, style=PLAIN)[0].plain
    lines = [line.plain for line in draw(view, 30, style=PLAIN)]
    assert "@a-direction-…" in lines[0]
    assert name in "".join(lines[3:]).replace(" ", "")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.279, 0.00026, -5.0], [".279", ".00026", f"{MINUS}5"]),
        ([0.279, 2.04e-6, 0.0], [".279", "2.0e-6", "0"]),
        ([12_345.6, 0.5], ["12,346", ".5"]),
        ([None, math.nan, math.inf], [NOTHING, NOTHING, "∞"]),
    ],
)
def test_one_notation_where_one_serves(values: list[float | None], texts: list[str]) -> None:
    view = Table(title="", columns=[Column(name="KL", kind="number")], rows=[[value] for value in values])
    lines = [line.plain for line in draw(view, 80, style=PLAIN)][1:]
    assert [line.strip() for line in lines] == texts
    points = {cell_len(line.split(".")[0]) for line in lines if "." in line}
    assert len(points) <= 1, "aligned at the point"


def bar_of(line: str, header: str, glyph: str) -> str:
    return line[cell_len(header[: header.index(glyph)]) :]


def test_bars_grow_with_the_value_on_both_sides_of_zero() -> None:
    values = [-1.0, -0.5, -0.1, 0.0, 0.2, 0.6, 2.0]
    columns = [Column(name="unit", kind="unit"), Column(name="effect", kind="signed")]
    view = Table(title="", columns=columns, rows=[[f"L0.N{at}", value] for at, value in enumerate(values)])
    lines = [line.plain for line in draw(view, 60, style=PLAIN)]
    axis = {line.index("│") for line in lines[1:]}
    assert len(axis) == 1, "zero stands in one place"
    at = axis.pop()
    filled = [
        len(line[15:at].strip()) if value < 0 else len(line[at + 1 :])
        for line, value in zip(lines[1:], values, strict=True)
    ]
    left, right = filled[:3], filled[4:]
    assert left == sorted(left, reverse=True)
    assert right == sorted(right)
    assert right[-1] == pytest.approx(2 * left[0], abs=1), "one scale"


def test_two_columns_in_one_bar_are_told_apart_by_colour_and_without() -> None:
    view = samples.table()
    header, first, *rest = draw(view, 100, style=DARK)[1:]
    at = header.plain.index("▀ clean")
    spans = {str(span.style) for span in header.spans if span.start == at}
    assert spans == {DARK.clean}
    at = header.plain.index("▄ edited")
    assert {str(span.style) for span in header.spans if span.start == at} == {DARK.edited}
    assert any(DARK.clean in str(span.style) and "▀" in first.plain[span.start : span.end] for span in first.spans)
    assert any("▄" in line.plain for line in rest)
    plain = [line.plain for line in draw(view, 110, style=PLAIN)]
    assert "▀ clean  ▄ edited  █ both" in plain[1]
    assert "█" in plain[2]
    ascii_lines = [line.plain for line in draw(view, 110, style=replace(PLAIN, ascii=True))]
    assert "' clean  , edited  # both" in ascii_lines[1]


def test_a_table_of_an_old_session_is_drawn() -> None:
    columns = [
        Column(name="token", kind="token"),
        Column(name="clean", kind="probability"),
        Column(name="p", kind="logprob"),
    ]
    view = Table(title="", columns=columns, rows=[[" Paris", 0.5, -0.7], [" the", 0.25, -1.4]])
    assert "' Paris'" in draw(view, 24)[1].plain


def test_a_long_table_fits_each_cell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[str] = []
    fit = Style.fit

    def counted(self: Style, text: str, *args: Any, **more: Any) -> str:
        fitted.append(text)
        return fit(self, text, *args, **more)

    monkeypatch.setattr(Style, "fit", counted)
    rows = [[at, f"{at} Столица Франции называется городом " * 6, "Париж " * 40] for at in range(700)]
    columns = [Column(name="step", kind="int"), Column(name="on"), Column(name="found")]
    draw(Table(title="t", columns=columns, rows=rows), 60, height=len(rows) + 4)
    assert len(rows) * len(columns) <= len(fitted) <= (len(rows) + 10) * len(columns)
