"""What the reconstruction-error study keeps: every number of every token, window by window, numpy alone.

Means and ratios are of the windows that are done; errors cluster by document (METHODS, "Standard errors").
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from workbench.statistics import Mean, clustered_error, clustered_mean

PER_TOKEN = ("l0", "l1", "distance", "norm", "sae_norm", "cosine")
"""numbers of a token beside its KLs and losses: features that fire, the sum of their activations, ‖x − s‖, ‖x‖, ‖s‖,
cos(x, s)"""


class Record:
    """Of one SAE, over windows of one length."""

    def __init__(self, ids: np.ndarray, documents: np.ndarray, names: Iterable[str], first: int, last: int) -> None:
        """`ids` int64 [window, position], `documents` int64 [window]; `names` are the substitutions. KLs count at
        positions `first` to `last` (inclusive), losses up to the last but one of the window."""
        self.ids, self.documents = ids, documents
        self.first, self.last = first, last
        self.rounding = 0.0
        """mean KL that rounding alone makes here, nats: KLs up to it are no effects, and have no ratio"""
        self.done = np.zeros(len(ids), bool)
        """windows that are measured, [window]"""
        shape = ids.shape
        self.kl = {name: np.full(shape, np.nan, np.float32) for name in names}
        """nats, of the next token at each position, [window, position]; nan where it does not count"""
        self.loss = {name: np.full(shape, np.nan, np.float32) for name in ("clean", *names)}
        """nats, of the next token at each position, [window, position]"""
        self.token = {name: np.full(shape, np.nan, np.float32) for name in PER_TOKEN}
        """[window, position]"""
        self.moved = {name: np.full(shape[0], np.nan) for name in names}
        """mean distance from x as it was put in, rounded to the model's own type, [window]"""

    def add_kl(self, name: str, window: int, kl: np.ndarray, loss: np.ndarray) -> None:
        """One window's, float64 [position] and float32 [position]; `loss[t]` is of the token at t, nan at 0."""
        counted = slice(self.first, self.last + 1)
        self.kl[name][window, counted] = kl[counted]
        self.add_loss(name, window, loss)

    def add_loss(self, name: str, window: int, loss: np.ndarray) -> None:
        """`loss[t]` is of the token at t, as `metrics.surprise` has it."""
        self.loss[name][window, self.first : -1] = loss[self.first + 1 :]

    # --- sums by document -------------------------------------------------------------------------

    def windows(self, documents: np.ndarray | None = None) -> np.ndarray:
        """Of those that are done, of these documents (by default of all), int64 [window]."""
        chosen = self.done if documents is None else self.done & np.isin(self.documents, documents)
        return np.flatnonzero(chosen)

    def _sums(self, values: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums and counts of values [window, position] by document, float64 [document]."""
        chosen = values[windows].astype(np.float64)
        n = int(self.documents.max()) + 1
        owner = self.documents[windows]
        sums = np.bincount(owner, np.nansum(chosen, axis=1), n)
        return sums, np.bincount(owner, (~np.isnan(chosen)).sum(axis=1), n).astype(np.float64)

    def mean(self, values: np.ndarray, windows: np.ndarray | None = None) -> Mean:
        """Over tokens, with its error by document; values [window, position], nan where they do not count."""
        return clustered_mean(*self._sums(values, self.windows() if windows is None else windows))

    def mean_kl(self, name: str, windows: np.ndarray | None = None) -> Mean:
        return self.mean(self.kl[name], windows)

    def increase(self, name: str) -> Mean:
        """Of the cross-entropy over clean, nats."""
        return self.mean(self.loss[name] - self.loss["clean"])

    def ratio(self, name: str, windows: np.ndarray | None = None, of: str = "sae") -> Mean:
        """Mean KL of the SAE over that of another row; its error by document: S_d = Σ(KL_sae − r·KL_arm).

        nan where one of them is no more than rounding makes (METHODS, "Rounding").
        """
        chosen = self.windows() if windows is None else windows
        above, below = (self._sums(self.kl[each], chosen) for each in (of, name))
        clusters, total = int((below[1] > 0).sum()), float(below[0].sum())
        if not total > 0 or any(sums.sum() <= self.rounding * n.sum() for sums, n in (above, below)):
            return Mean(float("nan"), float("nan"), clusters)
        r = float(above[0].sum()) / total
        return Mean(r, float(clustered_error(((above[0] - r * below[0]) ** 2).sum(), clusters, total)), clusters)

    def recovered(self, against: str) -> Mean:
        """(CE_against − CE_sae) / (CE_against − CE_clean), `against` zero or mean; nan where that costs nothing."""
        windows = self.windows()
        kept, lost = (self._sums(self.loss[against] - self.loss[other], windows)[0] for other in ("sae", "clean"))
        total, clusters = float(lost.sum()), len(np.unique(self.documents[windows]))
        if not total > 0:
            return Mean(float("nan"), float("nan"), clusters)
        r = float(kept.sum()) / total
        return Mean(r, float(clustered_error(((kept - r * lost) ** 2).sum(), clusters, total)), clusters)

    @property
    def n(self) -> int:
        """Tokens whose KL is known."""
        return int((~np.isnan(self.kl["sae"][self.done])).sum())

    # --- by position and by token -----------------------------------------------------------------

    def by_position(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and its error at every position, float64 [position] each."""
        windows = self.windows()
        means = [self.mean(values[:, at : at + 1], windows) for at in range(values.shape[1])]
        return np.asarray([each.value for each in means]), np.asarray([each.se for each in means])

    def by_token(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Token ids that occur, how often, the mean over them and its error by document, [token] each."""
        windows = self.windows()
        chosen = values[windows].astype(np.float64)
        window, position = np.nonzero(~np.isnan(chosen))
        numbers = chosen[window, position]
        tokens, at = np.unique(self.ids[windows][window, position], return_inverse=True)
        n = np.bincount(at).astype(np.float64)
        means = np.bincount(at, numbers) / n
        pair = at * (int(self.documents.max()) + 1) + self.documents[windows][window]
        pairs, which = np.unique(pair, return_inverse=True)
        off = np.bincount(which, numbers - means[at])
        owner = pairs // (int(self.documents.max()) + 1)
        clusters = np.bincount(owner)
        spread = np.bincount(owner, off**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(clusters > 1, np.sqrt(clusters / (clusters - 1) * spread) / n, np.nan)
        return tokens, n.astype(np.int64), means, errors
