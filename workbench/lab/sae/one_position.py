"""One position edited alone (METHODS, "SAE errors"): what reaches the following ones, and how variable random errors
are.

For one token several hundred errors are drawn at the SAE's distance; where the SAE's own KL is among theirs says
whether it is always on the tail, which a mean can't.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab import metrics
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.loaded import Model
from workbench.lab.passes import Head
from workbench.lab.sae.errors import Studied
from workbench.lab.sae.sae import SAE
from workbench.lab.sae.substitutions import Drawing, generator
from workbench.lab.sae.suffix import CleanPass, at_last_position, clean_pass
from workbench.report import Report
from workbench.statistics import Place, place_among

FOLLOWING = 16
"""positions behind the edited one"""
COMPARED = ("sae", "eps", "eps-sigma")
DRAWN = ("eps", "eps-sigma")
"""the two kinds of error that are drawn many times"""
TOP = 25
"""tokens whose log-probabilities are kept"""


@dataclass(frozen=True)
class Following:
    """KL by distance from the edited position, one window a row."""

    position: int
    kl: dict[str, np.ndarray]
    """by substitution, float64 [window, 0 … FOLLOWING]"""
    documents: np.ndarray
    """int64 [window]"""


@dataclass(frozen=True)
class Tail:
    """The SAE's KL at one token among those of many random errors of the same length."""

    window: int
    sae: float
    draws: dict[str, np.ndarray]
    """by kind, float64 [draw]"""
    top: np.ndarray
    """the likeliest next tokens of the clean model, int64 [TOP]"""
    log_probs: dict[str, np.ndarray]
    """of these: clean, through the SAE, and with the first of each kind of draws; float32 [TOP]"""

    def place(self, kind: str) -> Place:
        """Among the draws of a kind."""
        return place_among(self.sae, self.draws[kind])


def following(model: Model, each: Studied, position: int, windows: int, seed: int, report: Report) -> Following:
    """The first `windows` windows, up to FOLLOWING positions behind the one that is edited."""
    record, site = each.record, each.placed.site_out
    chosen = range(min(windows, len(record.ids)))
    kls = {name: np.full((len(chosen), FOLLOWING + 1), np.nan) for name in COMPARED}
    end = position + FOLLOWING + 1
    stage = f"position {position} alone, and the following {FOLLOWING}"
    size = rows_at_once(model, end, "forward")
    for batch in report.track(batches(chosen, size, report, model), "windows", len(chosen), stage):
        report.progress.done -= 1
        with batch, torch.inference_mode():
            clean = _clean(model, each, batch.rows, end, "every")
            for name in COMPARED:
                values = clean.at(site).clone()
                for row, window in enumerate(batch.rows):
                    values[row, position] = _drawing(each, clean, row, window, position, 1, seed).substitute(name)[0]
                kl = metrics.kl(clean.logits[:, position:], clean.with_site(site, values)[:, position:])
                kls[name][list(batch.rows)] = kl.cpu().numpy()
    done = ~np.isnan(kls[COMPARED[-1]]).any(1)
    return Following(position, {name: kl[done] for name, kl in kls.items()}, record.documents[list(chosen)][done])


def tails(
    model: Model,
    each: Studied,
    position: int,
    tokens: int,
    draws: int,
    seed: int,
    report: Report,
    updated: Callable[[list[Tail]], None],
) -> list[Tail]:
    """Of that position in the first `tokens` windows; `updated` is called after each token."""
    every: list[Tail] = []
    windows = range(min(tokens, len(each.record.ids)))
    for window in report.track(windows, "tokens", stage=f"{draws} errors drawn at position {position}"):
        every.append(_tail(model, each, window, position, draws, seed, report))
        updated(every)
    return every


def _tail(model: Model, each: Studied, window: int, position: int, draws: int, seed: int, report: Report) -> Tail:
    site = each.placed.site_out
    clean = _clean(model, each, [window], position + 1, None)
    drawing = _drawing(each, clean, 0, window, position, draws, seed)
    x = clean.at(site)[0, position]
    values = torch.cat([x[None], drawing.s[:1], *(drawing.substitute(name) for name in DRAWN)])
    kls = np.zeros(len(values))
    # Without its clean row a batch has nothing to be compared with: rows of other batches round differently.
    size = max(1, rows_at_once(model, position + 1, "last") - 1)
    top: torch.Tensor | None = None
    log_probs: dict[str, np.ndarray] = {}
    shown = {0: "clean", 1: "sae", 2: DRAWN[0], 2 + draws: DRAWN[1]}
    for batch in batches(range(len(values)), size, report, model, progress_per_row=0):
        with batch, torch.inference_mode():
            rows = torch.cat([x[None], values[list(batch.rows)]])
            logits = at_last_position(clean, site, rows)
            kl = metrics.kl(logits[:1].expand(len(rows) - 1, -1), logits[1:]).cpu().numpy()
            log_p = metrics.log_probs(logits)
            if top is None:
                top = log_p[0].topk(min(TOP, log_p.shape[-1])).indices
            for row, at in enumerate(batch.rows, 1):
                if at in shown:
                    log_probs[shown[at]] = log_p[row, top].float().cpu().numpy()
            kls[list(batch.rows)] = kl
    assert top is not None
    by_kind = {name: kls[2 + at * draws : 2 + (at + 1) * draws] for at, name in enumerate(DRAWN)}
    return Tail(window, float(kls[1]), by_kind, top.cpu().numpy(), log_probs)


def _clean(model: Model, each: Studied, windows: Sequence[int], end: int, head: Head) -> CleanPass:
    ids = torch.from_numpy(each.record.ids[list(windows), :end]).to(model.hf.device)
    sites = list(dict.fromkeys((each.placed.site, each.placed.site_out)))
    return clean_pass(model, ids, sites, head=head)


def _drawing(each: Studied, clean: CleanPass, row: int, window: int, position: int, draws: int, seed: int) -> Drawing:
    """The one token `draws` times, so that each draw is a row of its own."""
    assert each.sample is not None
    with torch.inference_mode():
        sae: SAE = each.placed.sae
        x, y = (clean.at(site)[row, position : position + 1] for site in (each.placed.site, each.placed.site_out))
        s = sae(x).flatten(1)
    number = window * each.record.ids.shape[1] + position
    numbers = torch.full((draws,), number, device=y.device)
    random = generator(seed, each.placed.site_out, window, purpose=1)
    return Drawing(y.expand(draws, -1), s.expand(draws, -1), numbers, each.sample, random)
