"""Arithmetic on directions: what reads back, what it gives, and errors that name the place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.directions.expression import (
    MAX_LENGTH,
    Applied,
    Expression,
    Named,
    Scaled,
    Sum,
    evaluate,
    names_in,
    parse_expression,
)
from workbench.errors import GrammarError, UserError

VECTORS = {
    "a": np.array([3.0, 4.0, 0.0]),
    "b": np.array([0.0, 2.0, 0.0]),
    "base-chat.v2": np.array([1.0, 1.0, 1.0]),
    "wide": np.ones(5),
    "zero": np.zeros(3),
}
named = st.builds(Named, st.from_regex(r"[A-Za-z_]([\w.-]{0,6}\w)?", fullmatch=True))
factors = st.floats(allow_nan=False, allow_infinity=False).map(lambda factor: factor + 0.0).filter(lambda f: f != 1)


def extended(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    unscaled = inner.filter(lambda expression: not isinstance(expression, Scaled))
    return st.one_of(
        st.builds(Scaled, factors, unscaled),
        st.builds(Sum, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Applied, st.just("normalise"), inner.map(lambda argument: (argument,))),
        st.builds(Applied, st.just("orthogonalise"), st.lists(inner, min_size=2, max_size=3).map(tuple)),
    )


@given(st.recursive(named, extended, max_leaves=8))
def test_what_is_written_reads_back(expression: Expression) -> None:
    if len(str(expression)) <= MAX_LENGTH:
        assert parse_expression(str(expression)) == expression


@given(st.text(alphabet="@ab1.0e+-*(), \tnormalisethgß", max_size=40) | st.text(max_size=40))
def test_any_text_reads_or_is_a_sentence_that_names_the_place(text: str) -> None:
    try:
        expression = parse_expression(text)
    except GrammarError as error:
        assert 0 <= error.position <= len(text)
        assert error.problem
    else:
        assert parse_expression(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@a", [3, 4, 0]),
        ("-@a", [-3, -4, 0]),
        ("@a - 0.5*@b", [3, 3, 0]),
        ("@a + @b - 2 * @base-chat.v2", [1, 4, -2]),
        ("-(@a - @b)", [-3, -2, 0]),
        ("2*(3*@b)", [0, 12, 0]),
        ("normalise(@a)", [0.6, 0.8, 0]),
        ("orthogonalise(@a, @b)", [3, 0, 0]),
        ("orthogonalise(@a, @b) + normalise(@b)", [3, 1, 0]),
        ("orthogonalise(@base-chat.v2, @a, @b)", [0, 0, 1]),
        ("orthogonalise(@a, @b, 3*@b)", [3, 0, 0]),
    ],
)
def test_it_gives_what_it_says(text: str, expected: list[float]) -> None:
    vector = evaluate(parse_expression(text), VECTORS.__getitem__)
    np.testing.assert_allclose(vector, expected, atol=1e-12)
    assert vector.dtype == np.float64


def test_names_are_those_it_is_made_of() -> None:
    expression = parse_expression("orthogonalise(@L5.H3.ov1, @L12.N345.in.raw) - 2*@base-chat.v2 + @L5.H3.ov1")
    assert names_in(expression) == ["L5.H3.ov1", "L12.N345.in.raw", "base-chat.v2"]


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "a direction is expected"),
        ("@a-@b", 2, "operators stand between spaces"),
        ("@a -@b", 3, "an operator between spaces"),
        ("@a + ", 5, "a direction is expected"),
        ("@a + 2", 6, "a number scales a direction"),
        ("@a + @", 6, "name follows @"),
        ("2*3*@a", 2, "a direction is expected"),
        ("1e999*@a", 0, "too large"),
        ("normalise(@a, @b)", 0, "takes one direction"),
        ("@b + orthogonalise(@a)", 5, "shall be orthogonal to"),
        ("(@a, @b)", 0, "one direction is expected"),
        ("(@a", 3, "a closing bracket"),
        ("refusal", 0, "a direction is expected"),
        ("(" * 60 + "@a" + ")" * 60, 40, "too many brackets"),
        ("@a + " * 1000, MAX_LENGTH, "2,000 characters"),
    ],
)
def test_an_error_names_the_place(text: str, position: int, problem: str) -> None:
    with pytest.raises(GrammarError, match=problem) as error:
        parse_expression(text)
    assert error.value.position == position


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("@a + @wide", "@a has 3 numbers and @wide 5"),
        ("@a - @a", "@a - @a is zero"),
        ("normalise(@zero)", "@zero is zero: it has no direction"),
        ("orthogonalise(@a, @zero)", "@zero is zero"),
        ("orthogonalise(2*@a, @a)", r"nothing is left of 2\*@a beside @a"),
        ("1e300*(1e300*@a - @b)", "not finite"),
    ],
)
def test_what_gives_no_direction_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluate(parse_expression(text), VECTORS.__getitem__)
