import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import GrammarError
from workbench.model_info import ModelInfo
from workbench.units import (
    SITES,
    STREAM,
    Component,
    Direction,
    Head,
    Neuron,
    Site,
    check_unit,
    complete,
    expand_sets,
    format_units,
    names_sets,
    parse_unit,
    parse_units,
)

INFO = ModelInfo(
    name="tiny",
    ref="tiny",
    architecture="LlamaForCausalLM",
    n_layers=6,
    n_heads=4,
    n_kv_heads=2,
    d_model=32,
    d_head=8,
    d_mlp=64,
    d_vocab=300,
    n_ctx=128,
    gated_mlp=True,
)
PARALLEL = ModelInfo(
    **{**{name: getattr(INFO, name) for name in INFO.__struct_fields__}, "parallel_blocks": True, "gated_mlp": False}
)

units = st.one_of(
    st.builds(Neuron, st.integers(0, 99), st.integers(0, 9999)),
    st.builds(Head, st.integers(0, 99), st.integers(0, 99)),
    st.builds(Site, st.integers(0, 99), st.sampled_from(sorted(SITES))),
    st.builds(Direction, st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)),
    st.builds(
        Component,
        st.integers(0, 99),
        st.sampled_from(sorted(STREAM)),
        st.from_regex(r"[A-Za-z_][\w.-]{0,8}\w", fullmatch=True),
    ),
)


def test_every_kind_is_read():
    assert parse_units("L12.N345, L5.H3 @refusal  L5.resid_post") == [
        Neuron(12, 345),
        Head(5, 3),
        Direction("refusal"),
        Site(5, "resid_post"),
    ]


def test_a_component_is_a_site_along_a_direction():
    assert parse_units("L1-2.resid_post@L3.N4.out") == [
        Component(1, "resid_post", "L3.N4.out"),
        Component(2, "resid_post", "L3.N4.out"),
    ]
    with pytest.raises(GrammarError, match="lies in the stream"):
        parse_units("L1.z@refusal")


def test_ranges_lists_and_stars():
    assert parse_units("L3.N10-12") == [Neuron(3, 10), Neuron(3, 11), Neuron(3, 12)]
    assert parse_units("L1-2.H0") == [Head(1, 0), Head(2, 0)]
    assert parse_units("L*.resid_post", INFO) == [Site(layer, "resid_post") for layer in range(6)]
    assert parse_units("L5.H*", INFO) == [Head(5, index) for index in range(4)]
    assert parse_units("L1.N2, L1.N2") == [Neuron(1, 2)], "each once"


@given(st.lists(units, min_size=1, max_size=30, unique=True))
def test_what_is_formatted_reads_back(unique_units):
    assert parse_units(format_units(unique_units)) == unique_units


def test_neighbours_are_formatted_as_a_range():
    assert format_units([Neuron(3, index) for index in range(10, 21)]) == "L3.N10-20"


@given(st.text(max_size=40))
def test_any_text_parses_or_points_into_itself(text):
    try:
        assert parse_units(text, INFO)
    except GrammarError as error:
        assert 0 <= error.position <= len(text)
        assert str(error).startswith(error.problem)


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("L12.X3", 4, "expected N"),
        ("L12,N3", 3, "a dot"),
        ("N3", 0, "starts with L"),
        ("L3.N10-", 7, "a range ends"),
        ("L3.N20-10", 7, "upwards: 10-20"),
        ("@", 1, "a direction's name"),
        ("L1.N2 L2.H1x", 11, "a comma or a space"),
        ("L*.N1", 1, "needs a model"),
        ("", 0, "no unit"),
        ("L99999999999.N1", 1, "too large"),
        ("L0.N0-99999999", 4, "more than"),
    ],
)
def test_errors_point_at_the_character(text, position, says):
    with pytest.raises(GrammarError) as caught:
        parse_units(text)
    assert caught.value.position == position
    assert says in caught.value.problem
    assert str(caught.value).splitlines()[-1].index("^") == position + 2


@pytest.mark.parametrize("text", ["L6.N0", "L0.N64", "L0.H4", "L0-6.resid_post"])
def test_a_unit_out_of_range_names_the_range(text):
    with pytest.raises(GrammarError, match="there is no .* 0 to"):
        parse_units(text, INFO)


def test_sites_that_the_architecture_lacks():
    with pytest.raises(GrammarError, match="parallel"):
        parse_units("L1.resid_mid", PARALLEL)
    with pytest.raises(GrammarError, match="not gated"):
        check_unit(Site(1, "mlp_pre_linear"), PARALLEL)
    assert parse_unit("L1.resid_mid", INFO) == Site(1, "resid_mid")


def test_one_unit_where_one_is_wanted():
    with pytest.raises(GrammarError, match="names 3"):
        parse_unit("L1.N1-3")


def test_completion_goes_on_with_the_last_term():
    assert list(complete("L3.N1, L5.resid_p", INFO)) == ["L5.resid_pre", "L5.resid_post"]
    assert list(complete("L5.H", INFO)) == ["L5.H0", "L5.H1", "L5.H2", "L5.H3"]
    assert list(complete("L5.N6", INFO)) == ["L5.N6", "L5.N60", "L5.N61", "L5.N62", "L5.N63"]
    assert next(complete("", INFO, suggestions=["L2.N7"])) == "L2.N7"
    assert list(complete("L9", INFO)) == []


@given(st.text(alphabet="L0123456789.NHresid_post,@ ", max_size=12))
def test_all_that_is_completed_with_an_address_is_a_unit(text):
    for candidate in complete(text, INFO):
        if not candidate.endswith("."):
            parse_unit(candidate, INFO)


def test_the_basket_is_written_out():
    pins = [("L1.N2", ""), ("L3.H1", ""), ("L17.N1203", "months")]
    assert expand_sets("basket", pins) == "L1.N2, L3.H1"
    assert expand_sets("L0.N0, basket:months L2.H*", pins) == "L0.N0, L17.N1203 L2.H*"
    assert expand_sets("@basket L5.resid_post", pins) == "@basket L5.resid_post"
    assert names_sets("L1.N1,basket") and not names_sets("@basket") and not names_sets("baskets")


def test_a_set_that_is_not_there_is_pointed_at():
    with pytest.raises(GrammarError, match="basket:months") as caught:
        expand_sets("L1.N2 basket:month", [("L17.N1203", "months")])
    assert caught.value.position == 6
    with pytest.raises(GrammarError, match="pin units first"):
        expand_sets("basket", [])
