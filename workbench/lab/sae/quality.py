"""How good an SAE is on a sample (METHODS, "SAE quality"): what it explains, what the model still predicts through it.

Position 0 of every window is left out of all of it, and no substitution touches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.edits import Positions
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.changes import Change, Fill, Replace, ReplaceByPosition
from workbench.lab.editing import Plan
from workbench.lab.forward import Forward, run_forward
from workbench.lab.kinds.site import whole
from workbench.lab.loaded import Model
from workbench.lab.prompts import Prompt
from workbench.lab.sae.explained import Explained
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.sae import SAE
from workbench.report import Report
from workbench.statistics import Mean, clustered_error, clustered_mean
from workbench.text import number

ENCODED = 1 << 26
"""activations that are there at once"""
DENSE = 0.1
"""a feature that fires on more than this share of tokens is dense"""
UNDERTRAINED = (0.8, 0.1)
"""cross-entropy recovered below the first, or dead features, beyond what a small sample misses, above the second"""
BEHIND_FIRST = Positions("range", 1)


@dataclass
class Quality:
    """Sums over documents; its properties are the figures."""

    documents: int
    firing: np.ndarray
    """tokens that each feature fires on, int64 [d_sae]"""
    explained: Explained = field(default_factory=Explained)
    active: float = 0.0
    """features that fired, over all tokens"""
    norms: float = 0.0
    """Σ‖s‖/‖x‖"""

    def __post_init__(self) -> None:
        self.tokens = np.zeros(self.documents)
        self.predicted = np.zeros(self.documents)
        """tokens whose loss is counted: those after position 1"""
        self.losses = {arm: np.zeros(self.documents) for arm in ("clean", "sae", "mean", "zero")}
        self.kls = np.zeros(self.documents)

    @property
    def n(self) -> int:
        return int(self.tokens.sum())

    @property
    def l0(self) -> float:
        """Features that fire on a token, mean."""
        return self.active / self.n

    @property
    def norm_ratio(self) -> float:
        """‖s‖/‖x‖, mean over tokens."""
        return self.norms / self.n

    @property
    def dead(self) -> float:
        """Share of the features that never fired on the sample."""
        return float((self.firing == 0).mean())

    @property
    def beyond_sampling(self) -> float:
        """Dead features less those that more tokens would wake, a share: at least f₁(f₁ − 1)/(2(f₂ + 1)) of them, with
        f₁ features that fired once and f₂ that fired twice (Chao 1984, "Nonparametric estimation of the number of
        classes in a population")."""
        once, twice = (float((self.firing == times).sum()) for times in (1, 2))
        return max(0.0, self.dead - once * (once - 1) / (2 * (twice + 1)) / len(self.firing))

    @property
    def dense(self) -> float:
        """Share of the features that fired on more than a tenth of the tokens."""
        return float((self.firing > DENSE * self.n).mean())

    @property
    def kl(self) -> Mean:
        """KL(clean ‖ through the SAE), nats, at positions from 1 on."""
        return clustered_mean(self.kls, self.tokens)

    def loss(self, arm: str) -> Mean:
        """Cross-entropy of the next token, nats: `clean`, through the `sae`, and with `mean` or `zero` in its place."""
        return clustered_mean(self.losses[arm], self.predicted)

    def increase(self, arm: str) -> Mean:
        """Over clean, with the error of the difference."""
        return clustered_mean(self.losses[arm] - self.losses["clean"], self.predicted)

    def recovered(self, against: str) -> Mean:
        """(CE_against − CE_sae) / (CE_against − CE_clean), `against` zero or mean; nan where that costs nothing."""
        kept, lost = (self.losses[against] - self.losses[arm] for arm in ("sae", "clean"))
        total = float(lost.sum())
        clusters = int((self.predicted > 0).sum())
        if not total > 0:
            return Mean(float("nan"), float("nan"), clusters)
        ratio = float(kept.sum()) / total
        return Mean(ratio, float(clustered_error(((kept - ratio * lost) ** 2).sum(), clusters, total)), clusters)

    @property
    def lacks(self) -> list[str]:
        """What an undertrained SAE falls short of, as parts of a sentence; none for one that is not."""
        least, most = UNDERTRAINED
        falls_short = [f"below {number(least)} recovered"] if self.recovered("zero").value < least else []
        return falls_short + ([f"above {number(100 * most)} % dead"] if self.beyond_sampling > most else [])


def measure(model: Model, placed: PlacedSae, prompts: Sequence[Prompt], report: Report) -> Quality:
    """Every document clean, through the SAE, and with zero and the sample's mean in its place."""
    quality = Quality(len(prompts), np.zeros(placed.sae.config.d_sae, np.int64))
    size = rows_at_once(model, max(map(len, prompts)), "forward")
    stage = "clean, through the SAE, and with zero in its place"
    for batch in report.track(batches(prompts, size, report, model), "documents", len(prompts), stage):
        report.progress.done -= 1  # track counts the batch, `batches` its rows
        with batch:
            # All that can run out of memory comes first: a batch that comes again is counted once.
            clean = run_forward(model, batch.rows, capture=[placed.site, placed.site_out])
            encoded = [_encode(placed, clean, row, len(prompt)) for row, prompt in enumerate(batch.rows)]
            through = run_forward(model, batch.rows, [_through(placed, model, each) for each in encoded])
            kl = through.kl_from(clean)
            losses = {"clean": clean.surprise(), "sae": through.surprise()}
            zero = Fill(placed.site_out, whole(placed.site_out, model.info), BEHIND_FIRST, 0.0)
            losses["zero"] = run_forward(model, batch.rows, [_plan(zero)]).surprise()
            _add(quality, batch.start, encoded, kl)
            _add_losses(quality, batch.start, losses)
    mean = quality.explained.mean.float().to(model.hf.device)
    if placed.site_out.name == "z":
        mean = mean.view(model.info.n_heads, model.info.d_head)
    constant = Replace(placed.site_out, whole(placed.site_out, model.info), BEHIND_FIRST, mean)
    stage = "with the sample's mean in its place"
    for batch in report.track(batches(prompts, size, report, model), "documents", len(prompts), stage):
        report.progress.done -= 1
        with batch:
            surprise = run_forward(model, batch.rows, [_plan(constant)]).surprise()
            _add_losses(quality, batch.start, {"mean": surprise})
    for at, prompt in enumerate(prompts):
        quality.predicted[at] = max(len(prompt) - 2, 0)
    return quality


@dataclass(frozen=True)
class _Encoded:
    """One document through the SAE."""

    x: torch.Tensor
    """at the site that is given back, [position, …]"""
    s: torch.Tensor
    """in its place, the same shape; position 0 as it is"""
    firing: np.ndarray
    """positions that each feature fires at, int64 [d_sae]"""


def _encode(placed: PlacedSae, clean: Forward, row: int, length: int) -> _Encoded:
    x, y = (clean.captured[site][row, :length].float() for site in (placed.site, placed.site_out))
    s, firing = reconstruct(placed.sae, x[1:])
    return _Encoded(y, torch.cat([y[:1], s.view(y[1:].shape)]), firing)


def reconstruct(sae: SAE, x: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """What it gives back of x [token, …], and on how many tokens each feature fires, int64 [d_sae]; memory bounded."""
    parts, firing = [], np.zeros(sae.config.d_sae, np.int64)
    with torch.inference_mode():
        for some in x.split(max(1, ENCODED // sae.config.d_sae)):
            activations = sae.encode(some)
            parts.append(sae.decode(activations, some))
            firing += (activations > 0).sum(0).cpu().numpy()
    return torch.cat(parts), firing


def _plan(change: Change) -> Plan:
    return Plan({change.site: (change,)})


def _through(placed: PlacedSae, model: Model, encoded: _Encoded) -> Plan:
    positions = Positions("range", 1, len(encoded.s) - 1)
    return _plan(ReplaceByPosition(placed.site_out, whole(placed.site_out, model.info), positions, encoded.s))


def _add(quality: Quality, start: int, encoded: Sequence[_Encoded], kl: Sequence[np.ndarray]) -> None:
    for document, (each, kls) in enumerate(zip(encoded, kl, strict=True), start):
        x, s = each.x[1:].flatten(1), each.s[1:].flatten(1)
        quality.explained.add(x, s)
        quality.norms += float((s.norm(dim=-1) / x.norm(dim=-1).clamp(min=1e-30)).sum())
        quality.firing += each.firing
        quality.active += float(each.firing.sum())
        quality.tokens[document] = len(x)
        quality.kls[document] = kls[1:].sum()


def _add_losses(quality: Quality, start: int, surprise: dict[str, list[np.ndarray]]) -> None:
    for arm, rows in surprise.items():
        for document, row in enumerate(rows, start):
            quality.losses[arm][document] = row[2:].sum(dtype=np.float64)
