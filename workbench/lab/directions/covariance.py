"""Random directions that lie where activations do: g ~ N(0, Σ), Σ the covariance of the edited sites (METHODS,
"Controls").

g = Σ_t ξ_t (x_t − x̄) / √(T − 1) with standard normal ξ has exactly the covariance of the tokens x_t that were read, and
needs no matrix: one pass over the text serves any number of sites. Several sites count alike, whatever their lengths.
What is drawn for a site depends on the site and the seed alone, so that the pass serves its other layers too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.forward import run_forward
from workbench.lab.loaded import Model
from workbench.lab.strength import sample_windows
from workbench.report import Report
from workbench.text import count
from workbench.units import Site

TOKENS_PER_DIMENSION = 4
"""tokens for each of the d_model numbers of a direction, at least"""
DRAWN = 64
"""vectors that are drawn of a site at least, so that the next edit finds what it needs"""
KEPT = 1 << 28
"""bytes of drawn vectors that are kept for the next edit"""
CAPTURED = 1 << 29
"""bytes of activations that a pass may capture"""
_SEED = 0xC07


@dataclass(frozen=True)
class SiteDraws:
    """Vectors drawn from the covariance of a site, or of several."""

    vectors: torch.Tensor
    """float32 [n, d_model]; a site's total variance is 1, or 0 where it does not vary"""
    text: str
    """over which text, and how many tokens of it"""
    sites: tuple[Site, ...]

    @property
    def remark(self) -> str:
        """What they are, as a sentence for the log."""
        where = named_sites(self.sites) + (", each with the same weight" if len(self.sites) > 1 else "")
        return f"random directions: of the covariance at {where}, over {self.text}"


def covariance_draws(
    model: Model, sites: Collection[Site], n: int, seed: int, report: Report | None = None
) -> SiteDraws:
    """`n` vectors g ~ N(0, Σ), Σ over at least 4 d_model tokens: one pass, once for the same kind of site and seed.

    Raises UserError where the sites do not vary over the text: they have no covariance then.
    """
    ordered = tuple(sorted(set(sites)))
    kept: dict[tuple[Site, int], SiteDraws] = model.random_draws
    missing = [site for site in ordered if (site, seed) not in kept or len(kept[site, seed].vectors) < n]
    draws = {site: kept[site, seed] for site in ordered if site not in missing}
    if missing:
        drawn = _draw(model, _with_other_layers(model, missing, n), max(n, DRAWN), seed, report)
        draws |= {site: drawn[site] for site in missing}
        _keep(kept, {(site, seed): site_draws for site, site_draws in drawn.items()})
    vectors = torch.stack([draws[site].vectors[:n] for site in ordered]).sum(0)
    if not vectors.any():
        raise UserError(f"{named_sites(ordered)} does not vary over the text that is read: there is no covariance")
    return SiteDraws(vectors, draws[ordered[0]].text, ordered)


def named_sites(sites: Collection[Site]) -> str:
    """`L14.resid_post`, or how many they are."""
    return str(next(iter(sites))) if len(sites) == 1 else f"the {len(sites)} edited sites"


def _with_other_layers(model: Model, sites: Sequence[Site], n: int) -> list[Site]:
    """The sites and, where there is room for what is drawn of them, those of the same names in the other layers."""
    names = dict.fromkeys(site.name for site in sites)
    layers = range(model.info.n_layers)
    every_layer = [site for name in names for layer in layers if (site := Site(layer, name)) in model.sites]
    return every_layer if len(every_layer) * _bytes(model, max(n, DRAWN)) <= KEPT // 2 else list(sites)


def _keep(kept: dict[tuple[Site, int], SiteDraws], new: dict[tuple[Site, int], SiteDraws]) -> None:
    """Beside what is kept; the oldest go where there is no room."""
    kept.update(new)
    room = KEPT - sum(draws.vectors.nbytes for draws in kept.values())
    for key in list(kept):
        if room >= 0:
            break
        room += kept.pop(key).vectors.nbytes


def _bytes(model: Model, rows: int) -> int:
    return 4 * rows * model.info.d_model


class _Moments:
    """Of one site, token by token, about a point near its mean, so that sums lose nothing."""

    def __init__(self, near_mean: torch.Tensor, n: int) -> None:
        self._near_mean = near_mean
        self._tokens = 0
        self._squares = 0.0
        self._sum = torch.zeros(len(near_mean), dtype=torch.float64)
        self._noise_sum = torch.zeros(n, dtype=torch.float64)
        self._noisy = torch.zeros(n, len(near_mean), dtype=torch.float64)

    def add(self, values: torch.Tensor, noise: torch.Tensor) -> None:
        """`values` float32 [token, d_model], `noise` float32 [n, token]"""
        shifted = values - self._near_mean
        self._tokens += len(values)
        self._squares += float(shifted.square().sum(dtype=torch.float32))
        self._sum += shifted.sum(0).cpu().double()
        self._noise_sum += noise.sum(1).cpu().double()
        self._noisy += (noise @ shifted).cpu().double()

    @property
    def draws(self) -> torch.Tensor:
        """float32 [n, d_model], of total variance 1; zeros where nothing varies"""
        mean = self._sum / self._tokens
        variance = (self._squares - self._tokens * float(mean @ mean)) / max(1, self._tokens - 1)
        if variance <= 0:
            return torch.zeros_like(self._noisy).float()
        centred = self._noisy - torch.outer(self._noise_sum, mean)
        return (centred / (variance * (self._tokens - 1)) ** 0.5).float()


def _draw(model: Model, sites: Sequence[Site], n: int, seed: int, report: Report | None) -> dict[Site, SiteDraws]:
    windows, text = sample_windows(model, TOKENS_PER_DIMENSION * model.info.d_model)
    tokens = f"{count(sum(len(window) - 1 for window in windows))} tokens"
    numbered = list(enumerate(windows))
    length = max(map(len, windows))
    rows = max(1, min(rows_at_once(model, length, "forward"), CAPTURED // (len(sites) * _bytes(model, length))))
    passes = batches(numbered, rows, report, model, progress_per_row=0)
    stage = f"the covariance of what is edited, over {tokens}"
    moments: dict[Site, _Moments] = {}
    for batch in passes if report is None else report.track(passes, "batches", stage=stage):
        with batch:
            captured = run_forward(model, [window for _, window in batch.rows], capture=sites, keep=None).captured
        if not batch.failed:
            for row, (number, window) in enumerate(batch.rows):
                for site in sites:
                    values = captured[site][row, 1 : len(window)].float()
                    if site not in moments:
                        moments[site] = _Moments(values.mean(0), n)
                    random = np.random.default_rng([_SEED, seed, site.layer, *site.name.encode(), number])
                    noise = random.standard_normal((n, len(values)), dtype=np.float32)
                    moments[site].add(values, torch.from_numpy(noise).to(values.device))
    return {site: SiteDraws(moment.draws, f"{tokens} of {text}", (site,)) for site, moment in moments.items()}
