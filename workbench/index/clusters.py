"""Sums by document, for standard errors that know that a document's tokens go together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from workbench.index.format import Counts


class DocumentSums:
    """Σ_d S_d², Σ_d S_d n_d and Σ_d n_d² over documents that have ended; the open ones as they stand."""

    def __init__(self, n_neurons: int) -> None:
        self.clusters = np.zeros((2, n_neurons))
        self.open: dict[int, np.ndarray] = {}
        """document → S_d, float64 [neuron]"""
        self.open_tokens: dict[int, int] = {}

    def add(
        self, documents: np.ndarray, row_sums: np.ndarray, tokens: np.ndarray, closes: Collection[int], counts: Counts
    ) -> None:
        """Rows of a block: `documents` [row], `row_sums` [row, neuron], counted `tokens` [row].

        Documents in `closes` have no more rows after these.
        """
        for document in np.unique(documents).tolist():
            rows = documents == document
            sums = row_sums[rows].sum(axis=0, dtype=np.float64)
            n = int(tokens[rows].sum())
            if document in self.open:
                sums += self.open.pop(document)
                n += self.open_tokens.pop(document)
            if document in closes:
                self.clusters[0] += sums**2
                self.clusters[1] += sums * n
                counts.closed_documents += 1
                counts.closed_squares += float(n) ** 2
            else:
                self.open[document] = sums
                self.open_tokens[document] = n

    def arrays(self) -> dict[str, np.ndarray]:
        """clusters float64 [2, neuron]; open_documents int32, open_sums float64 [document, neuron], open_counts."""
        numbers = sorted(self.open)
        n_neurons = self.clusters.shape[1]
        return {
            "clusters": self.clusters,
            "open_documents": np.array(numbers, dtype=np.int32),
            "open_sums": np.array([self.open[number] for number in numbers]).reshape(-1, n_neurons),
            "open_counts": np.array([self.open_tokens[number] for number in numbers], dtype=np.int64),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        self.clusters = np.array(arrays["clusters"])
        numbers = arrays["open_documents"].tolist()
        self.open = {number: np.array(arrays["open_sums"][at]) for at, number in enumerate(numbers)}
        self.open_tokens = dict(zip(numbers, arrays["open_counts"].tolist(), strict=True))
