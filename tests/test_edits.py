import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_units import INFO
from workbench.edits import (
    Add,
    Edit,
    Entry,
    Function,
    Mean,
    Patch,
    Positions,
    Resample,
    Scale,
    SetTo,
    check_replayable,
    check_stack,
    check_stack_name,
    parse_edit,
    parse_edits,
    parse_positions,
    resolve_edit,
    stack_text,
)
from workbench.errors import GrammarError, UserError
from workbench.units import Component, Direction, Head, Neuron

finite = st.floats(allow_nan=False, allow_infinity=False)
scalar_units = st.sampled_from(["L1.N2", "L1.N2-5", "L0.N3, L1.N4", "L1.resid_post@x", "L0-5.attn_out@L1.N2.out"])
vector_units = st.sampled_from(["L5.H3", "L*.H*", "L2.mlp_out", "L1.z", "@refusal", "L1.N2"])
stream_sites = st.sampled_from(["L1.resid_post", "L*.resid_pre", "L0.attn_out, L1.mlp_out"])
positions = st.one_of(
    st.sampled_from(["", "last", "prompt", "generated", "0", "2-5", "1-"]),
    st.integers(0, 9999).map(str),
)
names = st.from_regex(r"[A-Za-z_][\w.-]{0,8}\w", fullmatch=True)
edits = st.one_of(
    st.builds(SetTo, scalar_units, finite, positions),
    st.builds(SetTo, vector_units, st.just(0.0), positions),
    st.builds(Scale, st.one_of(scalar_units, vector_units.filter(lambda text: "@" not in text)), finite, positions),
    st.builds(Mean, st.one_of(scalar_units, vector_units), positions),
    st.builds(Resample, st.one_of(scalar_units, vector_units), positions),
    st.builds(Add, scalar_units, finite, st.just(""), positions),
    st.builds(Add, stream_sites, finite, names, positions),
    st.builds(Patch, st.one_of(scalar_units, vector_units), st.text(min_size=1), positions),
)


@given(edits)
def test_an_edit_reads_back_from_its_text(edit):
    assert parse_edit(str(edit), INFO) == edit


@given(st.lists(edits, max_size=4))
def test_a_stack_reads_back_from_one_line_and_from_json(stack):
    assert parse_edits([stack_text(stack)], INFO) == stack
    assert msgspec.json.decode(msgspec.json.encode(stack), type=list[Edit]) == stack


def test_what_is_not_said_is_not_in_the_json():
    assert msgspec.json.encode(SetTo("L1.N2", 0)) == b'{"op":"set","units":"L1.N2","value":0}'


def test_a_stack_keeps_its_order():
    stack = parse_edits(["L1.N2=0; L1.N2*=3", "L5.H3*=2"], INFO)
    assert stack == [SetTo("L1.N2", 0), Scale("L1.N2", 3), Scale("L5.H3", 2)]
    assert stack_text(stack) == "L1.N2=0; L1.N2*=3; L5.H3*=2"


def test_every_kind_is_read():
    read = {
        "L1.N2=mean": Mean("L1.N2"),
        "L5.H3 [last] = resample": Resample("L5.H3", "last"),
        "L4.resid_post += 6*@capital": Add("L4.resid_post", 6, "capital"),
        "L4.resid_post-=@capital": Add("L4.resid_post", -1, "capital"),
        "L*.resid_post+= .5 * @L1.N2.out": Add("L*.resid_post", 0.5, "L1.N2.out"),
        "L1.N2[1-]-=2": Add("L1.N2", -2, "", "1-"),
        "@refusal=0": SetTo("@refusal", 0),
        "L4.resid_post@refusal=3": SetTo("L4.resid_post@refusal", 3),
        'L5.H3[2-5]<"a; b=\\"c\\" [x]"': Patch("L5.H3", 'a; b="c" [x]', "2-5"),
    }
    for text, edit in read.items():
        assert parse_edit(text, INFO) == edit, text
    assert parse_edits(['L5.H3<"a;b" ; L1.N2=0'], INFO) == [Patch("L5.H3", "a;b"), SetTo("L1.N2", 0)]


def units_of(edit):
    return list(resolve_edit(edit, INFO).units)


def test_a_star_before_the_equals_sign_means_every_unit():
    assert units_of(parse_edit("L5.H*=0", INFO)) == [Head(5, index) for index in range(4)]
    assert parse_edit("L5.H*  *= 2", INFO) == Scale("L5.H*", 2)


def test_units_of_an_edit():
    assert units_of(SetTo("L1.N2-3", 0)) == [Neuron(1, 2), Neuron(1, 3)]
    assert units_of(SetTo("@x", 0)) == [Direction("x")]
    assert units_of(Mean("L1-2.mlp_out@x")) == [Component(1, "mlp_out", "x"), Component(2, "mlp_out", "x")]


@given(st.one_of(st.text(max_size=30), edits.map(str).flatmap(lambda text: st.integers(0, 40).map(lambda n: text[:n]))))
def test_any_text_is_an_edit_or_a_sentence_that_points(text):
    try:
        edit = parse_edit(text, INFO)
    except GrammarError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse_edit(str(edit), INFO) == edit


@pytest.mark.parametrize(
    ("text", "says", "position"),
    [
        ("L1.N2", "UNITS=VALUE", 5),
        ("L1.N2=", "a number, `mean` or `resample`", 6),
        ("L1.N2=nan", "finite", 6),
        ("L1.N2=1e999", "finite", 6),
        ("L1.N2*=mean", "a number is expected here as the factor", 7),
        ("L5.H3=2", "set to 0 or scaled", 6),
        ("L5.resid_post=2", "set to 0 or scaled", 14),
        ("L5.pattern=0", "cannot be edited", 0),
        ("@refusal=2", "name a site", 9),
        ("@refusal*=2", "cannot be scaled", 0),
        ("L9.N2=0", "there is no layer 9", 1),
        ("L1.N2[5-2]=0", "upwards", 6),
        ("L1.N2[end]=0", r"positions are \[last\]", 6),
        ("L1.N2[]=0", "no position is named", 6),
        ("L1.N2+=2*@x", "added to a site of the stream", 0),
        ("L1.resid_post+=2", "a number is added to a neuron", 15),
        ("L1.resid_post+=2@x", "a strength times one direction", 15),
        ("L1.resid_post+=2*@", "a strength times one direction|a direction's name", 15),
        ("L1.resid_post+=1e999*@x", "finite", 15),
        ("L5.H3<other", "double quotes", 6),
        ('L5.H3<""', "other prompt is empty", 6),
    ],
)
def test_bad_edits_say_what_would_be_right(text, says, position):
    with pytest.raises(GrammarError, match=says) as caught:
        parse_edit(text, INFO)
    assert abs(caught.value.position - position) <= 3


@pytest.mark.parametrize(
    "edit",
    [
        SetTo("L1.N2", math.nan),
        Scale("L1.N2", math.inf),
        Add("L1.H2", 1, "x"),
        Mean("L1.N2", "somewhere"),
        Patch("L1.N2", ""),
    ],
)
def test_edits_from_elsewhere_are_checked_like_typed_ones(edit):
    with pytest.raises(UserError):
        resolve_edit(edit, INFO)


def test_edits_that_contradict_are_named():
    check_stack(parse_edits(["L1.N2=0; L1.N2*=3; L1.N2+=1; L1.N3=mean; L1.N4[prompt]=0; L1.N4[generated]=1"]), INFO)
    for text in ("L1.N2=0; L1.N2=3", "L1.N2=0; L1.N2[last]=mean", 'L1.H1-2=0; L1.H2[2-5]<"a"', "@x=0; @x=mean"):
        with pytest.raises(UserError, match="contradict each other"):
            check_stack(parse_edits([text]), INFO)


def test_positions_of_a_prompt_of_six():
    spans = {"": (0, None), "last": (5, 6), "prompt": (0, 6), "generated": (6, None), "2-4": (2, 5), "3": (3, 4)}
    assert {text: parse_positions(text).span(6) for text in spans} == spans
    assert parse_positions("1-") == Positions("range", 1)


@given(positions, positions)
def test_meeting_positions_share_one(first, second):
    spans = [parse_positions(text).span(100_000) for text in (first, second)]
    starts, ends = [span[0] for span in spans], [span[1] for span in spans if span[1] is not None]
    if parse_positions(first).overlaps(parse_positions(second)):
        assert not ends or max(starts) < min(ends)


def test_a_python_function_is_not_replayed():
    check_replayable([SetTo("L1.N2", 0)])
    with pytest.raises(UserError, match="from Python"):
        check_replayable([Function("L1.mlp_post", "lambda x: x")])


def test_a_set_of_the_basket_is_edited_like_any_units():
    edit = parse_edit("L0.N1, basket:months[last]*=2")
    assert edit == Scale("L0.N1, basket:months", 2, "last")
    assert parse_edit(str(edit)) == edit
    assert parse_edit('L5.H3<"a basket of fruit"') == Patch("L5.H3", "a basket of fruit")


def test_a_saved_stack_stands_for_its_edits_that_are_on():
    stacks = {"months": [Entry(SetTo("L1.N1", 0.0)), Entry(SetTo("L2.N2", 0.0), on=False), Entry(Scale("L5.H3", 2.0))]}
    edits = parse_edits(["L0.N1=1; stack:months", "L3.N3=0"], INFO, stacks)
    assert stack_text(edits) == "L0.N1=1; L1.N1=0; L5.H3*=2; L3.N3=0"
    with pytest.raises(GrammarError, match="no stack 'days' is saved.*stack:months"):
        parse_edits(["stack:days"], None, stacks)
    with pytest.raises(GrammarError, match="no stack 'months' is saved"):
        parse_edits(["stack:months"])


@pytest.mark.parametrize("name", ["", "two words", "a,b", "a;b", "a=b", 'a"b'])
def test_a_stack_has_a_name_that_can_be_written_behind_its_colon(name):
    with pytest.raises(UserError, match="one word"):
        check_stack_name(name)
