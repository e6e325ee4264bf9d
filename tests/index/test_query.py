"""Filters against a brute-force look at every neuron; errors that point; completion; orders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.index.synthetic import FEATURES, make
from tests.index.synthetic_features import make_features, registered
from workbench.errors import GrammarError
from workbench.index import query
from workbench.index.catalogue import IndexColumn
from workbench.index.completion import complete, quoted
from workbench.index.features import open_any
from workbench.index.query import unescape
from workbench.index.reader import NeuronIndex
from workbench.text import show_token


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> NeuronIndex:
    return NeuronIndex.open(make(tmp_path_factory.mktemp("index"), n_layers=3, d_mlp=40, seed=1))


def run(index: NeuronIndex, text: str, **sets: list[int]) -> list[int]:
    found = {name: np.array(ids) for name, ids in sets.items()}
    return query.parse(text, index.columns, found).run(index, found).tolist()


def by_hand(index: NeuronIndex, passes) -> list[int]:
    return [neuron for neuron in range(index.info.n_neurons) if passes(neuron)]


def value(index: NeuronIndex, column: str, neuron: int) -> float:
    return float(index.columns[column].values[neuron])


def label(index: NeuronIndex, column: str, neuron: int) -> str:
    code = int(index.columns[column].values[neuron])
    return index.columns[column].labels[code] if code >= 0 else ""


def test_empty_passes_everything(index: NeuronIndex) -> None:
    assert run(index, "") == run(index, "   ") == list(range(120))


def test_the_issues_own_example(index: NeuronIndex) -> None:
    token = index.token(int(index.columns["promotes"].values[50]))
    text = f"layer 1-2 kurtosis>2 family=prediction,suppression promotes:{quoted(token)} vr>=.001"
    wanted = by_hand(
        index,
        lambda n: (
            1 <= n // 40 <= 2
            and value(index, "kurtosis", n) > 2
            and label(index, "family", n) in ("prediction", "suppression")
            and any(index.token(id) == token for id, _ in index.promoted(n))
            and value(index, "vr", n) >= np.float32(0.001)
        ),
    )
    assert run(index, text) == wanted


numbers = st.floats(-3, 6).map(lambda x: round(x, 2))
comparison = st.builds(
    lambda name, op, x: (f"{name}{op}{x:g}", name, op, float(f"{x:g}")),
    st.sampled_from(["kurtosis", "vr", "mean", "w_out", "layer", "neuron", "positive"]),
    st.sampled_from([">", "<", ">=", "<=", "=", "!="]),
    numbers,
)


def compare(x: float, op: str, y: float) -> bool:
    y = float(np.float32(y))
    return {">": x > y, "<": x < y, ">=": x >= y, "<=": x <= y, "=": x == y, "!=": x != y and not math.isnan(x)}[op]


@given(st.lists(st.tuples(st.booleans(), comparison), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_comparisons_equal_brute_force(index: NeuronIndex, terms) -> None:
    text = " ".join(("-" if negated else "") + term[0] for negated, term in terms)
    wanted = by_hand(
        index,
        lambda n: all(compare(value(index, name, n), op, x) != negated for negated, (_, name, op, x) in terms),
    )
    assert run(index, text) == wanted


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), min_size=1, max_size=3))
def test_ranges_and_lists_equal_brute_force(index: NeuronIndex, pairs) -> None:
    pairs = [tuple(sorted(pair)) for pair in pairs]
    text = "neuron " + ",".join(f"{low}-{high}" for low, high in pairs)
    wanted = by_hand(index, lambda n: any(low <= n % 40 <= high for low, high in pairs))
    assert run(index, text) == wanted
    assert run(index, text.replace("neuron ", "neuron=")) == wanted
    assert run(index, text.replace("neuron ", "neuron!=")) == [n for n in range(120) if n not in wanted]


def test_open_range_dots_percent_and_unicode(index: NeuronIndex) -> None:
    assert run(index, "layer 2-") == run(index, "layer≥2") == run(index, "layer 2..2") == list(range(80, 120))
    assert run(index, "vr>10%") == run(index, "vr>.1")
    assert run(index, "cos>−.1") == run(index, "cos>-.1")
    assert run(index, "cos -.1-.1") == by_hand(index, lambda n: -0.1 <= value(index, "cos", n) <= 0.1)


def test_percentiles_are_within_the_layer(index: NeuronIndex) -> None:
    wanted = by_hand(index, lambda n: index.percentile("vr", n) > 90)
    assert run(index, "vr>p90") == wanted
    assert {n // 40 for n in wanted} == {0, 1, 2}


def test_unknown_values_pass_no_comparison(index: NeuronIndex) -> None:
    values = np.arange(120, dtype=np.float32)
    values[:100] = np.nan
    extra = {"odd": IndexColumn(name="odd", title="odd", help="", kind="number", values=values)}
    columns = {**index.columns, **extra}
    for text in ("odd>=0", "odd<1000", "odd!=5", "odd 0-1000"):
        assert query.parse(text, columns).run(index, None, extra).tolist() == list(range(100, 120))
    assert len(query.sort(np.arange(120), extra["odd"], descending=True)) == 120
    assert query.sort(np.arange(120), extra["odd"], descending=True)[:20].tolist() == list(range(119, 99, -1))
    assert query.sort(np.arange(120), extra["odd"])[:20].tolist() == list(range(100, 120))


def test_categories_take_lists_and_stars_and_none_is_none(index: NeuronIndex) -> None:
    assert run(index, "best=is_*") == by_hand(index, lambda n: label(index, "best", n).startswith("is_"))
    assert run(index, "best!=is_month") == by_hand(index, lambda n: label(index, "best", n) != "is_month")
    assert run(index, "best=is_month,IS_DIGIT") == by_hand(
        index, lambda n: label(index, "best", n) in ("is_month", "is_digit")
    )


def test_fires_is_the_share_of_peaks(index: NeuronIndex) -> None:
    def share(n: int, tokens: set[str]) -> float:
        card = index.card(n // 40, n % 40)
        return max(
            sum(one.tokens[one.peak] in tokens for one in tail) / len(tail) for tail in (card.high, card.low) if tail
        )

    for text, tokens, least in (("fires:' May'>=.25", {" May"}, 0.25), ("fires:May,of>=.5", {" May", "of"}, 0.5)):
        known = [token for token in tokens if index.token_ids(token)]
        assert known
        assert run(index, text) == by_hand(index, lambda n, t=tokens, s=least: share(n, t) >= s)
    shares = query.parse("fires:' May'", index.columns).shares(index)
    assert shares is not None
    assert shares[7] == pytest.approx(share(7, {" May"}))


def test_a_token_alone_is_one_that_it_promotes_or_fires_at(index: NeuronIndex) -> None:
    token = index.token(index.promoted(9)[0][0])
    word = quoted(token)
    alone = run(index, word)
    assert alone == sorted({*run(index, f"promotes:{word}"), *run(index, f"fires:{word}>=.2")})
    assert 9 in alone
    assert run(index, "fires:May")
    assert run(index, "May") == sorted({*run(index, "promotes:May"), *run(index, "fires:May>=.2")})
    assert run(index, "-May layer 0") == [n for n in run(index, "layer 0") if n not in run(index, "May")]
    assert complete("vr>1 May", index)[0].text == "vr>1 ' May'".replace("'", '"')


def test_the_share_of_tokens_of_a_feature_is_called_as_the_list_calls_it(own_folders: Path) -> None:
    neurons = NeuronIndex.open(make(own_folders / "indexes", n_layers=3))
    index = open_any(make_features(neurons, registered()))
    assert run(index, "fires>.1") == run(index, "frequency>.1") != []
    with pytest.raises(GrammarError, match="a colon"):
        query.parse("fires .1", index.columns)


def test_suppresses_addresses_and_sets(index: NeuronIndex) -> None:
    token = index.token(index.suppressed(9)[0][0])
    assert 9 in run(index, f"suppresses:{quoted(token)}")
    assert run(index, "L1.N3") == [43]
    assert run(index, "L0-2.N5-6") == [5, 6, 45, 46, 85, 86]
    assert run(index, "in:marked layer 0", marked=[3, 50]) == [3]
    assert run(index, "-in:marked layer 0 neuron<5", marked=[3, 50]) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("kurtosys>5", 0, "kurtosis"),
        ("layre 10-20", 0, "layer"),
        ("kurtosys", 0, "did you mean kurtosis"),
        ("vr>1 nowhere:3", 5, "no column"),
        ('" May" "', 7, "in quotes"),
        ("layer 3-1", 6, "backwards"),
        ("layer", 5, "comparison or a range"),
        ("kurtosis>", 9, "a number is expected"),
        ("kurtosis>big", 9, "a number is expected"),
        ("vr>1 kurtosis 5 nonsense=3", 16, "no column"),
        ("family=predicton", 7, "prediction"),
        ("family>prediction", 6, "= and a name"),
        ('promotes:""', 9, "a token is expected"),
        ("promotes Paris", 8, "a colon"),
        ("fires:' Paris'>p5", 17, "a share"),
        ("in:nowhere", 3, "no sets are made"),
        ("L99.N1e", 6, ""),
        ("layer 1>3", 7, "a space separates"),
        ("layer 1,", 8, "comparison or a range"),
        ("???", 0, "a term is expected"),
        ("-", 1, "a term is expected"),
    ],
)
def test_errors_point_at_the_character(index: NeuronIndex, text: str, position: int, words: str) -> None:
    with pytest.raises(GrammarError) as caught:
        query.parse(text, index.columns).run(index)
    assert words in caught.value.problem
    assert caught.value.position == position
    assert caught.value.text == text


def test_a_token_that_is_none_is_pointed_at(index: NeuronIndex) -> None:
    with pytest.raises(GrammarError, match="no token") as caught:
        run(index, "layer 1 promotes:' Parizz'")
    assert caught.value.position == 17


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_query_or_a_sentence(index: NeuronIndex, text: str) -> None:
    try:
        run(index, text)
    except GrammarError as error:
        assert 0 <= error.position <= len(text)
        assert error.problem
    complete(text, index, ["basket"])


@given(st.text(min_size=1, max_size=12))
def test_a_shown_token_reads_back(token: str) -> None:
    shown = show_token(token)
    if "\ufe0f" not in token and shown == "'" + shown[1:-1] + "'" and "◌" not in shown:
        assert unescape(shown[1:-1]) == token or not token.isprintable() or token != token.strip()


def test_explain_says_which_term_takes_most(index: NeuronIndex) -> None:
    parsed = query.parse("layer 0 vr>=0 neuron 7 kurtosis>1e6", index.columns)
    assert not len(parsed.run(index))
    found = parsed.explain(index)
    assert [(one.text, one.alone, one.without) for one in found] == [
        ("layer 0", 40, 0), ("vr>=0", 120, 0), ("neuron 7", 3, 0), ("kurtosis>1e6", 0, 1),
    ]  # fmt: skip
    assert parsed.without(3) == "layer 0 vr>=0 neuron 7"


def test_sort_of_categories_is_by_name_none_last(index: NeuronIndex) -> None:
    ids = query.sort(np.arange(120), index.columns["best"])
    names = [label(index, "best", int(n)) for n in ids]
    known = [name for name in names if name]
    assert known == sorted(known)
    assert names[len(known) :] == [""] * (120 - len(known))


any_float = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan")]), st.floats(width=32)
)


@given(st.lists(any_float, max_size=60), st.booleans())
def test_sort_equals_a_stable_one_with_the_unknown_last(values: list[float], descending: bool) -> None:
    column = IndexColumn(name="x", title="x", help="", kind="number", values=np.array(values, np.float32))
    known = [at for at, x in enumerate(values) if not math.isnan(x)]
    wanted = sorted(known, key=lambda at: -values[at] if descending else values[at])
    wanted += [at for at, x in enumerate(values) if math.isnan(x)]
    assert query.sort(np.arange(len(values)), column, descending).tolist() == wanted


def test_sort_is_stable_and_complete(index: NeuronIndex) -> None:
    for name, column in index.columns.items():
        for descending in (False, True):
            ids = query.sort(np.arange(120), column, descending)
            assert sorted(ids.tolist()) == list(range(120)), name
    layers = query.sort(np.arange(120), index.columns["layer"], descending=True)
    assert layers[:40].tolist() == list(range(80, 120))


def test_completion(index: NeuronIndex) -> None:
    def shown(text: str) -> list[str]:
        return [one.shown for one in complete(text, index, ["marked", "months"])]

    assert shown("kur") == ["kurtosis"]
    assert shown("layer 1 -fa") == ["family="]
    assert complete("layer 1 -fa", index)[0].text == "layer 1 -family="
    assert set(shown("best=")) == set(FEATURES)
    assert shown("best=is_m") == ["is_month"]
    assert shown("best=is_month,is_d")[0] == "is_digit"
    assert shown("in:m") == ["marked", "months"]
    assert shown('promotes:" Ma') == ['" May"']
    assert shown("fires:Ma")[0] == '" May"'
    assert complete("vr>1 fires:' June',\" Ma", index)[0].text == "vr>1 fires:' June',\" May\""
    for one in complete("", index):
        assert one.help


@pytest.mark.parametrize("token", ["\\xe8", "\\x41", "\\\\xe8", "\u00a0", "\x1b", "\\n", " Paris"])
def test_a_byte_that_is_no_character_reads_back(token: str) -> None:
    assert unescape(show_token(token)[1:-1]) == token
