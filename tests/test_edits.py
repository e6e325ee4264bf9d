import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_units import INFO
from workbench.edits import Function, Scale, SetTo, check_replayable, edit_units, parse_edit, parse_edits, stack_text
from workbench.errors import GrammarError, UserError
from workbench.units import Head, Neuron

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, st.sampled_from(["L1.N2", "L1.N2-5", "L0.N3, L1.N4"]))
def test_an_edit_reads_back_from_its_text(value, units):
    for edit in (SetTo(units, value), Scale(units, value)):
        assert parse_edit(str(edit), INFO) == edit


def test_a_stack_keeps_its_order():
    stack = parse_edits(["L1.N2=0; L1.N2*=3", "L5.H3*=2"], INFO)
    assert stack == [SetTo("L1.N2", 0), Scale("L1.N2", 3), Scale("L5.H3", 2)]
    assert stack_text(stack) == "L1.N2=0; L1.N2*=3; L5.H3*=2"


def test_a_star_before_the_equals_sign_means_every_unit():
    assert edit_units(parse_edit("L5.H*=0", INFO), INFO) == [Head(5, index) for index in range(4)]
    assert parse_edit("L5.H*  *= 2", INFO) == Scale("L5.H*", 2)


def test_units_of_an_edit():
    assert edit_units(SetTo("L1.N2-3", 0), INFO) == [Neuron(1, 2), Neuron(1, 3)]


@given(st.text(max_size=30))
def test_any_text_is_an_edit_or_a_sentence_that_points(text):
    try:
        edit = parse_edit(text, INFO)
    except GrammarError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert math.isfinite(edit.value if isinstance(edit, SetTo) else edit.factor)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("L1.N2", "UNITS=VALUE"),
        ("L1.N2=", "a number"),
        ("L1.N2=nan", "finite"),
        ("L1.N2=1e999", "finite"),
        ("L5.H3=2", "set to 0 or scaled"),
        ("L5.resid_post=0", "cannot be set"),
        ("@refusal*=2", "cannot be set"),
        ("L9.N2=0", "there is no layer 9"),
    ],
)
def test_bad_edits_say_what_would_be_right(text, says):
    with pytest.raises(GrammarError, match=says):
        parse_edit(text, INFO)


def test_a_python_function_is_not_replayed():
    check_replayable([SetTo("L1.N2", 0)])
    with pytest.raises(UserError, match="from Python"):
        check_replayable([Function("L1.mlp_post", "lambda x: x")])
