"""What reaches a terminal: nothing that steers it, and always the width it says."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from workbench.text import (
    count,
    estimate,
    fit,
    number,
    pace,
    probability,
    safe,
    seconds,
    shorten,
    shorten_left,
    show_token,
    size,
)

ANYTHING = st.text(st.characters(), max_size=60)
"""Any code point, lone surrogates too."""


def steers(text: str, allow: str = "") -> list[str]:
    """Characters that a terminal acts on, or that do not show."""
    bad = ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")
    hidden = [c for c in text if unicodedata.category(c) == "Cf" and c not in "\u200c\u200d"]
    return hidden + [c for c in text if unicodedata.category(c) in bad and c not in allow]


@given(ANYTHING)
def test_safe_leaves_nothing_that_steers_a_terminal(text: str) -> None:
    assert not steers(safe(text))
    assert not steers(safe(text, newlines=True), allow="\n")
    assert safe(safe(text)) == safe(text)


@given(ANYTHING)
def test_tokens_show_every_character(token: str) -> None:
    shown = show_token(token)
    assert not steers(shown)
    assert shown[0] == shown[-1] == "'"
    assert len(shown) > 2 or not token
    assert "\u200d" not in shown


@given(ANYTHING, ANYTHING)
def test_different_ascii_tokens_look_different(one: str, other: str) -> None:
    one, other = (ascii(t) for t in (one, other))
    assert (show_token(one) == show_token(other)) == (one == other)


@given(ANYTHING, st.integers(0, 40))
def test_shorten_and_fit_keep_the_cells(text: str, cells: int) -> None:
    clean = safe(text)
    assert cell_len(shorten(clean, cells)) <= cells
    assert cell_len(shorten_left(clean, cells)) <= cells
    assert cell_len(fit(clean, cells)) == cells
    assert cell_len(fit(clean, cells, right=True)) == cells


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\x00b", "a\\x00b"),
        ("a\u202eb", "a\\u202eb"),
        ("line\nline", "line\\nline"),
        ("\x9b2J", "\\u009b2J"),
        ("\ud800", "\\ud800"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("日本 é", "日本 é"),
        ("\u0301x", "◌\u0301x"),
        ("e" + "\u0301" * 5000, "e" + "\u0301" * 4),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
    ],
)
def test_safe(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_safe_keeps_newlines_on_request() -> None:
    assert safe("a\r\nb\tc\rd\x1b", newlines=True) == "a\nb    c\\rd\\x1b"


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" Paris", "' Paris'"),
        ("\n", "'\\n'"),
        ("\\n", "'\\\\n'"),
        ("\u00a0", "'\\u00a0'"),
        ("\\xe8", "'\\xe8'"),  # a byte that is no character
        ("\\xe8\\x9a ok", "'\\xe8\\x9a ok'"),
        ("\\\\xe8", "'\\\\\\xe8'"),
        ("\\x41", "'\\\\x41'"),
        ("'s", "''s'"),
        ("", "''"),
        ("\u200d", "'\\u200d'"),
        ("\ufe0f", "'\\ufe0f'"),
        ("日", "'日'"),
        ("\u0301", "'\u0301'"),
    ],
)
def test_show_token(token: str, shown: str) -> None:
    assert show_token(token).replace("◌", "") == shown


def test_shorten_knows_wide_characters() -> None:
    assert shorten("日本語です", 5) == "日本…"
    assert shorten("hello", 5) == "hello"
    assert shorten("hello!", 5) == "hell…"


def test_shorten_left_keeps_the_end() -> None:
    assert shorten_left("日本語です", 5) == "…です"
    assert shorten_left("hello", 5) == "hello"
    assert shorten_left("hello!", 5) == "…llo!"
    assert shorten_left("ae\u0301bc", 3) == "…bc"
    assert shorten_left("hello", 0) == ""


@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (0.7712, ".771"), (412.3, "412"), (1e-6, "1.0e-6"), (0.5, ".5"), (7.70, "7.7"), (0, "0"), (-0.28, "−.28"),
        (1234.5, "1,234"), (46080, "46,080"), (2.5e7, "2.5e7"), (math.nan, "–"), (None, "–"), (math.inf, "∞"),
        (-math.inf, "−∞"), (0.00412, ".00412"), (0.9999, "1"), (10, "10"), (1.0, "1"), (100.0, "100"),
    ],
)  # fmt: skip
def test_number(x: float | None, shown: str) -> None:
    assert number(x) == shown


@given(st.floats(-1e300, 1e300))
def test_number_is_short_and_near(x: float) -> None:
    shown = number(x)
    assert len(shown) <= 10
    back = float(shown.replace("−", "-").replace(",", ""))
    assert back == pytest.approx(x, rel=0.06, abs=1e-300)


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.771, ".771"), (0.004, ".004"), (4.2e-5, "4.2e-5"), (0.99996, ">.999"),
        (1, "1"), (0, "0"), (0.5, ".500"), (None, "–"),
    ],
)  # fmt: skip
def test_probability(p: float | None, shown: str) -> None:
    assert probability(p) == shown


@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (0.004, "4 ms"), (0.21, ".2 s"), (1.0, "1 s"), (48.2, "48 s"), (180, "3 min"),
        (7500, "2 h 5 min"), (7200, "2 h"), (260000, "3 days"), (None, "–"),
    ],
)  # fmt: skip
def test_seconds(x: float | None, shown: str) -> None:
    assert seconds(x) == shown


def test_counts_and_sizes() -> None:
    assert count(46080) == "46,080"
    assert size(0.9 * 2**30) == "0.9 GiB"
    assert size(512) == "512 bytes"
    assert size(3.25 * 2**30) == "3.2 GiB"
    assert size(200 * 2**30) == "200 GiB"


@pytest.mark.parametrize(
    ("x", "shown"), [(9, "about 9 s"), (86_400, "about 24 h"), (86_401, "more than a day"), (5e6, "more than a day")]
)
def test_an_estimate_of_more_than_a_day_is_none(x: float, shown: str) -> None:
    assert estimate(x, "about ") == shown


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [(13.04, "13 a second"), (1.26, "1.3 a second"), (0.3, "3.3 s each"), (0.0125, "80 s each")],
)
def test_a_slow_pace_is_said_by_the_piece(per_second: float, shown: str) -> None:
    assert pace(per_second) == shown
