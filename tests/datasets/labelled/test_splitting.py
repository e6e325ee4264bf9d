"""Splits: by document, stratified, seeded; shares as METHODS, "Sparse probes" has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.datasets.labelled.examples import TEST, TRAIN, VALIDATION
from workbench.datasets.labelled.splitting import split_by_document, strata
from workbench.errors import UserError


def test_shares_of_single_examples_are_those_of_methods():
    label = (np.arange(1000) % 5 == 0).astype(np.int64)
    split = split_by_document(np.arange(1000), label, seed=3)
    for value in (0, 1):
        n = (label == value).sum()
        counts = np.bincount(split[label == value], minlength=3)
        assert np.abs(counts - n * np.array([0.56, 0.14, 0.3])).max() <= 1
    assert (split_by_document(np.arange(1000), label, seed=3) == split).all()
    assert (split_by_document(np.arange(1000), label, seed=4) != split).any()


def test_order_says_nothing_of_the_split():
    """Of documents that are alike, the split is independent of their number."""
    splits = np.stack([split_by_document(np.arange(60), np.arange(60) % 2, seed) for seed in range(300)])
    share = (splits == TEST).mean(0)
    assert np.abs(share - 0.3).max() < 0.13  # five standard errors of .3 over 300 draws


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=30, max_size=200), st.integers(0, 5))
@settings(deadline=None)
def test_documents_are_whole_and_each_class_is_everywhere(pairs, seed):
    document = np.unique([pair[0] for pair in pairs], return_inverse=True)[1]
    label = np.array([pair[1] for pair in pairs])
    of_class = [len(set(document[label == value])) for value in np.unique(label)]
    stratum = np.unique(label, return_inverse=True)[1]
    if min(of_class) < 3:
        with pytest.raises(UserError, match="train, validation and test each need one"):
            split_by_document(document, stratum, seed)
        return
    split = split_by_document(document, stratum, seed)
    for each in np.unique(document):
        assert len(set(split[document == each])) == 1
    if min(of_class) >= 6:
        for value in np.unique(label):
            assert set(split[label == value]) == {TRAIN, VALIDATION, TEST}


def test_numbers_are_stratified_by_fifths():
    label = np.arange(500, dtype=float) ** 2
    split = split_by_document(np.arange(500), strata(label, numeric=True), seed=0)
    medians = [np.median(label[split == part]) for part in (TRAIN, VALIDATION, TEST)]
    assert max(medians) < 1.6 * min(medians)
    assert strata(np.array([1.0, 1, 1, 2]), numeric=True).tolist() == [0, 0, 0, 1]


def test_three_documents_of_a_class_are_one_in_each_split():
    document = np.repeat(np.arange(6), [5, 9, 7, 20, 3, 4])
    stratum = (document >= 3).astype(np.int64)
    for seed in range(20):
        split = split_by_document(document, stratum, seed)
        for value in (0, 1):
            assert set(split[stratum == value]) == {TRAIN, VALIDATION, TEST}
