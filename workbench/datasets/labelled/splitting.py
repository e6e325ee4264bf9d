"""Train, validation and test by document, stratified by label, seeded."""

from __future__ import annotations

import numpy as np

from workbench.datasets.labelled.examples import SPLITS
from workbench.errors import UserError

SHARES = np.array([0.56, 0.14, 0.3])
"""of TRAIN, VALIDATION, TEST: test is 30 %, validation 20 % of what is not test (METHODS, "Sparse probes")"""
STRATA = 5
"""of numeric targets: fifths of the numbers"""


def split_by_document(document: np.ndarray, stratum: np.ndarray, seed: int) -> np.ndarray:
    """The split of each example, int8 [example]: documents fall whole on one side, every stratum on each.

    `document` int64 [example] and `stratum` int64 [example] (the class) count from 0. The largest documents are placed
    first, each where the classes it has are furthest below their share; the last ones of a class go where it is still
    missing (iterative stratification, Sechidis et al. 2011). Raises UserError where a class is in fewer documents than
    there are splits.
    """
    n_documents, n_strata = int(document.max()) + 1, int(stratum.max()) + 1
    counts = np.zeros((n_documents, n_strata))
    np.add.at(counts, (document, stratum), 1)
    documents_left = (counts > 0).sum(0)
    if documents_left.min() < len(SPLITS):
        raise UserError(
            f"a class is in {int(documents_left.min())} documents only, and train, validation and test each need one: "
            "give texts of more documents"
        )
    wanted = SHARES[:, None] * counts.sum(0)
    have = np.zeros_like(wanted)
    order = np.random.default_rng(seed).permutation(n_documents)
    side = np.zeros(n_documents, np.int8)
    for at in order[np.argsort(-counts[order].sum(1), kind="stable")]:
        present = counts[at] > 0
        missing = (have == 0) & present
        urgent = (missing & (missing.sum(0) >= documents_left)).any(1)
        need = ((wanted - have) / np.maximum(counts.sum(0), 1) * counts[at]).sum(1)
        need[urgent] += need.max() - need.min() + 1
        side[at] = need.argmax()
        have[side[at]] += counts[at]
        documents_left[present] -= 1
    return np.asarray(side[document], np.int8)


def strata(label: np.ndarray, numeric: bool) -> np.ndarray:
    """What a split is stratified by: the class, or the fifth that a number lies in; int64 [example], from 0 on."""
    if not numeric:
        return label.astype(np.int64)
    edges = np.quantile(label, np.linspace(0, 1, STRATA + 1)[1:-1])
    fifth = np.searchsorted(edges, label, side="right")
    return np.asarray(np.unique(fifth, return_inverse=True)[1], np.int64)
