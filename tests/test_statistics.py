"""Each statistic against a slow computation of the same definition, or a case known by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from workbench.statistics import (
    Band,
    Place,
    auc,
    band,
    bootstrap,
    chance_limits,
    clustered_error,
    clustered_mean,
    kl_place_among,
    mean,
    place_among,
    rank_percentile,
    rank_percentiles,
    spearman,
    streamed_spread,
    wilson,
)


def test_the_percentile_counts_the_smaller_and_half_of_the_ties():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert place_among(5, values).percentile == 4.5 / 5
    assert place_among(0, values).percentile == 0.5 / 5
    assert place_among(2.5, values).percentile == 2.5 / 5
    assert place_among(2, values).percentile == (1 + 1) / 5
    assert place_among(2 + 1e-9, values, 1e-8) == Place(1, 1, 2)  # rounding is no difference
    assert place_among(2, []).percentile == 0.5


def test_a_random_draws_percentile_is_uniform():
    random = np.random.default_rng(0)
    percentiles = [place_among(draw[0], draw[1:]).percentile for draw in random.standard_normal((4000, 10))]
    assert np.mean(percentiles) == pytest.approx(0.5, abs=0.02)
    assert np.var(percentiles) == pytest.approx((11**2 - 1) / 12 / 11**2, abs=0.005)


def test_a_mean_over_prompts_has_the_usual_error():
    values = [1.0, 2.0, 4.0]
    assert mean(values).value == pytest.approx(7 / 3)
    # The sandwich with D/(D−1) is the sample's standard deviation over √n where every cluster holds one value.
    assert mean(values).se == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert np.isnan(mean([1.0]).se)
    assert np.isnan(mean([]).value)
    assert mean([]).n == 0


def test_the_error_is_that_of_clusters_not_of_values():
    random = np.random.default_rng(1)
    counts = random.integers(1, 30, 40)
    groups = [random.normal(random.normal(), 0.1, n) for n in counts]
    measured = clustered_mean([group.sum() for group in groups], counts)
    every = np.concatenate(groups)
    spread = sum((group.sum() - len(group) * every.mean()) ** 2 for group in groups)
    assert measured.value == pytest.approx(every.mean())
    assert measured.se == pytest.approx(np.sqrt(40 / 39 * spread) / len(every))
    assert measured.se > 3 * every.std() / np.sqrt(len(every))
    assert clustered_mean([3.0, 0.0], [2, 0]).n == 1, "an empty cluster is none"


def test_streamed_sums_give_the_same_error():
    random = np.random.default_rng(2)
    counts = random.integers(1, 9, 20).astype(np.float64)
    sums = random.normal(size=(20, 3))
    mu = sums.sum(axis=0) / counts.sum()
    spread = streamed_spread((sums**2).sum(axis=0), (sums * counts[:, None]).sum(axis=0), (counts**2).sum(), mu)
    errors = clustered_error(spread, 20, counts.sum())
    assert errors == pytest.approx([clustered_mean(column, counts).se for column in sums.T])
    assert np.isnan(clustered_error(spread, 1, 5)).all()


def test_bands_and_limits():
    assert band(range(101)) == Band(5, 50, 95)
    assert band([3.0]) == Band(3, 3, 3)
    # Limits are reached values, further out rather than further in.
    assert chance_limits(np.arange(50), 100 + np.arange(50)) == (1, 148)


def test_ranks_count_ties_half_and_leave_nan_out():
    values = np.array([1.0, np.nan, 2.0, 2.0, 5.0])
    expected = [12.5, np.nan, 50, 50, 87.5]
    assert rank_percentiles(values) == pytest.approx(expected, nan_ok=True)
    assert [rank_percentile(values, at) for at in range(5)] == pytest.approx(expected, nan_ok=True)
    assert rank_percentile(np.array([3, 1, 2]), 0) == pytest.approx(250 / 3)
    assert np.isnan(rank_percentiles(np.full(2, np.nan))).all()


def test_spearman_sees_order_alone():
    values = np.random.default_rng(3).normal(size=50)
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -(values**3)) == pytest.approx(-1)
    few = np.random.default_rng(1).integers(0, 4, len(values))
    assert spearman(few, values) == pytest.approx(spearmanr(few, values)[0])


def test_auc_is_the_share_of_pairs_in_order():
    random = np.random.default_rng(4)
    values, label = random.integers(0, 6, 60).astype(np.float64), random.random(60) < 0.3
    inside, outside = values[label][:, None], values[~label][None]
    assert auc(values, label) == pytest.approx(np.mean((inside > outside) + 0.5 * (inside == outside)))
    weight = random.integers(0, 3, 60).astype(np.float64)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    assert auc(values, label, weight) == pytest.approx(auc(values[repeated], label[repeated]))
    assert np.isnan(auc(values, np.ones(60, bool)))


def test_the_bootstrap_resamples_clusters():
    random = np.random.default_rng(5)
    cluster = np.repeat(np.arange(30), 20)
    values = np.repeat(random.normal(size=30), 20)  # alike within a cluster: 30 numbers, not 600
    low, high = bootstrap(lambda weight: float(np.average(values, weights=weight)), cluster, np.random.default_rng(0))
    error = clustered_mean(np.bincount(cluster, values), np.bincount(cluster)).se
    assert low < values.mean() < high
    assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.25)


def test_large_effects_that_differ_by_rounding_are_ties() -> None:
    place = place_among(9.32, [9.32 + 3e-6, 9.32 - 3e-6, 9.33, 9.31])
    assert (place.smaller, place.ties, place.larger) == (1, 2, 1)
    assert place.percentile == 0.5


def test_kls_tie_where_the_rounding_of_logits_can_make_the_difference():
    """A change of logits with rounding beside it, drawn; its KL is half its variance."""
    random = np.random.default_rng(0)
    effect, rounding = 1e-3, 1e-7
    change = random.standard_normal(50_000)
    change *= np.sqrt(2 * effect) / change.std()
    for correlation in (-1, 0, 1):
        noise = correlation * change / change.std() + (1 - abs(correlation)) * random.standard_normal(50_000)
        rounded = (change + np.sqrt(2 * rounding) * noise).var() / 2
        assert kl_place_among(rounded, [effect], 1.02 * rounding) == Place(0, 1, 0)
    assert kl_place_among(1.05 * effect, [effect], rounding) == Place(1, 0, 0)
    assert kl_place_among(rounding / 2, [0, rounding], rounding) == Place(0, 2, 0)


def test_wilsons_interval_of_a_share():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1), abs=1e-4)
    assert all(np.isnan(wilson(0, 0)))
