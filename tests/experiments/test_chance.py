"""Whether a score is beyond what permuted labels reach, and what is said where there are too few to tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.experiments._chance import ENOUGH, Chance

scores = st.floats(-1, 1)


@given(scores, st.lists(scores, min_size=1, max_size=60))
def test_p_is_that_of_a_plain_count_and_chance_is_claimed_only_where_permutations_reach_the_score(value, null):
    chance = Chance(value, null)
    assert chance.p == pytest.approx((sum(each >= value for each in null) + 1) / (len(null) + 1))
    if max(null) < value:
        assert chance.beyond
    if len(null) >= ENOUGH:
        assert chance.beyond == (chance.p <= 0.05)
        assert "too few" not in chance.text


def test_a_perfect_score_is_not_called_chance_by_three_permutations():
    chance = Chance(1.0, np.array([0.1, 0.2, 0.05]))
    assert chance.beyond
    assert chance.text == "3 permutations of the labels: at most .2, p = .25, too few to tell: 19 or more can"


def test_few_permutations_that_reach_the_score_speak_against_it():
    chance = Chance(0.2, [0.1, 0.3, 0.05])
    assert not chance.beyond
    assert "too few" not in chance.text


def test_without_permutations_nothing_is_said():
    chance = Chance(0.2, [])
    assert chance.beyond
    assert chance.text == ""
    assert np.isnan(chance.p)
