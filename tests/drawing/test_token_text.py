"""Text with numbers on it: what is drawn is the text, the fills are the values, the peak is never lost."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from workbench.drawing import DARK, LIGHT, SIXTEEN, draw
from workbench.drawing.ramps import lightness
from workbench.drawing.style import Line, Style
from workbench.drawing.token_text import token_text
from workbench.views import TokenRow, Tokens

PLAIN = replace(DARK, color=False)
ASCII = replace(DARK, color=False, ascii=True)
COLOURED = {"dark": DARK, "light": LIGHT, "256": replace(DARK, depth="256"), "sixteen": SIXTEEN}
STYLES = {**COLOURED, "no colour": PLAIN, "ascii": ASCII}
CONSOLE = Console(color_system="truecolor", force_terminal=True, width=200)

hard = st.one_of(
    st.text(max_size=9),
    st.sampled_from([" ", "\n", "\n\n", "  \n", "日本語", "👩\u200d🔬", "e\u0301", "\u0301", "", "\t", "\x1b", "\x00"]),
)
texts = st.lists(hard, min_size=1, max_size=60)
numbers = st.one_of(st.floats(-50, 50), st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0]))


def view_of(tokens: list[str], *rows: object, **more: object) -> Tokens:
    return Tokens(
        title="", tokens=tokens, value_label="surprise, nats", low_label="expected", high_label="surprising",
        rows=[TokenRow(name=f"r{at}", values=np.asarray(row, dtype=float)) for at, row in enumerate(rows)], **more,
    )  # fmt: skip


def margin_of(view: Tokens) -> int:
    return len(str(len(view.tokens) - 1)) + 1


def text_lines(view: Tokens, cells: int, style: Style, height: int | None = None) -> list[Line]:
    """The lines that are text: before the figures, without the digits under each."""
    lines = draw(view, cells, height, style)
    end = next((at for at, line in enumerate(lines) if line.plain.startswith(("highest: ", "lowest: "))), len(lines))
    step = 1 + (len(view.rows) if not style.color else 0)
    return lines[:end:step]


def without_marks(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, "╎⟨⟩≠|[]!")))


def pieces(line: Line) -> list[tuple[str, str]]:
    return [(line.plain[span.start : span.end], str(span.style)) for span in line.spans]


@pytest.mark.parametrize("style", STYLES)
@given(tokens=texts, data=st.data())
def test_what_is_drawn_without_marks_is_the_text(style: str, tokens: list[str], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(0, 50), min_size=len(tokens), max_size=len(tokens)))
    cells = data.draw(st.sampled_from([20, 40, 80, 120, 200]))
    view = view_of(tokens, values)
    drawn = STYLES[style]
    written = "".join(line.plain[margin_of(view) :] for line in text_lines(view, cells, drawn))
    assert without_marks(written) == without_marks("".join(token_text(token, drawn) for token in tokens))
    for line in draw(view, cells, style=drawn):
        assert cell_len(line.plain) <= cells
        assert line.plain.isascii() or not drawn.ascii


@pytest.mark.parametrize("style", ["dark", "no colour", "ascii"])
@given(tokens=texts, data=st.data())
def test_any_values_and_fields_keep_the_width_and_the_height(
    style: str, tokens: list[str], data: st.DataObject
) -> None:
    n = len(tokens)
    rows = [data.draw(st.lists(numbers, min_size=n, max_size=n)) for _ in range(data.draw(st.integers(0, 3)))]
    view = view_of(
        tokens,
        *rows,
        signed=data.draw(st.booleans()),
        generated_from=data.draw(st.none() | st.integers(0, n)),
        differs_at=data.draw(st.none() | st.integers(0, n)),
        labels=data.draw(st.just([]) | st.lists(st.sampled_from(["text", "template"]), min_size=n, max_size=n)),
    )
    cells, height = data.draw(st.sampled_from([20, 40, 80])), data.draw(st.none() | st.integers(1, 40))
    for line in draw(view, cells, height, STYLES[style]):
        assert cell_len(line.plain) <= cells
        assert "\n" not in line.plain and "\x1b" not in line.plain


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("signed", [False, True])
def test_the_mark_stands_on_the_peak_in_every_style(style: str, signed: bool) -> None:
    tokens = ["The", " meeting", " in", " May", " was", " moved"]
    values = [0.1, 0.5, 0, -7.0 if signed else 7.0, 1, 0]
    marked = [
        text
        for line in text_lines(view_of(tokens, values, signed=signed), 80, STYLES[style])
        for text, look in pieces(line)
        if "bold" in look
    ]
    assert marked == [{"no colour": "⟨May⟩", "ascii": "[May]"}.get(style, "May")]


def test_ties_are_all_marked_and_nothing_is_where_all_are_alike() -> None:
    tokens = ["a", " b", " c", " d"]
    assert written_raw(view_of(tokens, [1, 5, 5, 0])) == "a ⟨b⟩ ⟨c⟩ d"
    assert written_raw(view_of(tokens, [2, 2, 2, 2])) == "a b c d"
    assert written_raw(view_of(tokens, [np.nan] * 4)) == "a b c d"
    assert written_raw(view_of(["a"], [3])) == "⟨a⟩"


def written_raw(view: Tokens) -> str:
    return draw(view, 80, style=PLAIN)[0].plain[margin_of(view) :]


@pytest.mark.parametrize("style", ["dark", "light", "256"])
def test_fills_are_monotone_in_the_value(style: str) -> None:
    tokens = [f" t{at:02}" for at in range(20)]
    lines = text_lines(view_of(tokens, np.arange(20.0)), 200, COLOURED[style])
    shades = [
        lightness("#" + "".join(f"{part:02x}" for part in CONSOLE.get_style(look).bgcolor.get_truecolor()))
        for text, look in pieces(lines[0])
        if text.strip().startswith("t")
    ]
    assert len(shades) > 9
    steps = np.diff(shades) * (1 if COLOURED[style].dark else -1)
    assert (steps >= 0).all() and abs(shades[-1] - shades[0]) > 0.5


@pytest.mark.parametrize("style", [PLAIN, ASCII])
def test_without_colour_a_digit_stands_under_each_token(style: Style) -> None:
    view = view_of(["The", " cat", "s", " ran"], [np.nan, 1.0, 9.0, 0.0])
    lines = [line.plain for line in draw(view, 80, style=style)]
    if style.ascii:
        assert lines[:2] == ["0 The cat[s] ran", "  -   1   9  0"]
    else:
        assert lines[:2] == ["0 The cat⟨s⟩ ran", "  –   1   9  0"]
        assert lines[2] == "highest: 's' 9 at 2, ' cat' 1 at 1, ' ran' 0 at 3"
        assert lines[3] == "surprise, nats: expected 0 0123456789 9 surprising"


def test_rows_that_are_compared_have_their_digits_with_colour_too() -> None:
    lines = [line.plain for line in draw(view_of(["a", " cat"], [0, 9], [9, 0]), 80)]
    assert lines[:3] == ["   0 a cat", "r0   0 9  ", "r1   9 0  "]
    assert lines[3:5] == ["r0, highest: ' cat' 9 at 1, 'a' 0 at 0", "r1, highest: 'a' 9 at 0, ' cat' 0 at 1"]


def test_both_ends_of_a_signed_row_are_named() -> None:
    lines = [line.plain for line in draw(view_of(["a", "b", "c"], [2, -3, 0], signed=True), 80)]
    assert lines[1:3] == ["highest: 'a' +2 at 0", "lowest: 'b' −3 at 1"]


def test_lines_break_at_line_ends_and_before_words_and_begin_with_the_position() -> None:
    tokens = ["one", "\n", "two", " un", "believ", "able", " words"]
    lines = [line.plain for line in draw(view_of(tokens, range(7)), 20)]
    assert lines[:3] == ["0 one↵", "2 two unbelievable", "6  words"]


@pytest.mark.parametrize("style", [DARK, PLAIN, ASCII])
@pytest.mark.parametrize("height", [8, 12, 30])
@pytest.mark.parametrize("signed", [False, True])
def test_folding_keeps_the_three_largest_in_sight(style: Style, height: int, signed: bool) -> None:
    rng = np.random.default_rng(height)
    n = 2000
    values = rng.normal(0, 1, n) if signed else rng.exponential(1, n)
    tokens = [f" w{at}" for at in range(n)]
    largest = np.argsort(-np.abs(values))[:3]
    lines = draw(view_of(tokens, values, signed=signed), 80, height, style)
    end = next(at for at, line in enumerate(lines) if line.plain.startswith("highest"))
    words = " ".join(line.plain for line in lines[:end]).translate(str.maketrans("⟨⟩[]", "    ")).split()
    assert {f"w{at}" for at in largest} <= set(words)
    assert len(lines) <= height
    assert "tokens" in words and "of 2,000 tokens shown" in lines[-1].plain


def test_what_is_left_out_is_counted() -> None:
    values = np.zeros(500)
    values[250] = 1
    lines = [line.plain for line in draw(view_of([f" w{at}" for at in range(500)], values), 80, 5)]
    shown = sum(line.count(" w") for line in lines if not line.startswith("highest"))
    left_out = sum(int(word) for line in lines[:2] for word in line.replace("…", " ").split() if word.isdigit())
    positions = sum(int(line.split()[0]) for line in lines[:2] if line[:1].isdigit())
    assert shown + left_out - positions == 500
    assert f"{shown} of 500 tokens shown" in lines[-1]


@pytest.mark.parametrize("style", [DARK, PLAIN])
def test_prompt_and_generated_text_are_told_apart(style: Style) -> None:
    view = view_of(["The", " sky", " is", " blue"], [np.nan, np.nan, 1, 3], generated_from=2)
    lines = [line.plain for line in draw(view, 80, style=style)]
    assert lines[0] == "prompt    0 The sky"
    assert lines[1].startswith("generated 2  is")
    long = view_of([" w"] * 500 + [" new"], [np.nan] * 500 + [1], generated_from=500)
    assert "… 436 tokens …" in draw(long, 80, style=style)[0].plain


@pytest.mark.parametrize(("style", "mark"), [(DARK, " ≠c"), (PLAIN, " ≠⟨c⟩"), (ASCII, " ![c]")])
def test_the_first_difference_is_marked_without_colour_too(style: Style, mark: str) -> None:
    lines = draw(view_of(["a", " b", " c", " d"], [0, 0, 5, 1], differs_at=2), 80, style=style)
    assert lines[0].plain.startswith(f"0 a b{mark} d")
    assert "first token that differs" in lines[-1].plain


@pytest.mark.parametrize("style", [DARK, PLAIN])
def test_labels_stand_under_their_tokens(style: Style) -> None:
    view = msgspec.structs.replace(view_of(["<s>", "What", " is", "<end>"]), labels=["BOS", "text", "text", "template"])
    lines = [line.plain for line in draw(view, 80, style=style)]
    assert lines[:2] == ["0 <s>╎What is╎<end>", "  BOS text─── temp…"]
    same = msgspec.structs.replace(view, labels=["text"] * 4)
    assert len(draw(same, 80, style=style)) == 1


def test_views_of_before_these_fields_draw() -> None:
    from workbench.views import from_builtins

    stored = {
        "kind": "tokens", "title": "t", "tokens": ["a", " b"], "rows": [{"name": "", "values": [1.0, 2.0]}],
        "value_label": "", "low_label": "", "high_label": "",
    }  # fmt: skip
    view = from_builtins(stored)
    assert (view.labels, view.generated_from, view.differs_at) == ([], None, None)
    assert draw(view, 40)[1].plain == "0 a b"
