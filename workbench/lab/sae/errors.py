"""The reconstruction-error study (METHODS, "SAE errors"; Gurnee 2024): every substitution at one site, window by
window.

One pass makes the sample that mean, covariance and pairs come from; in the second every window goes through the model
clean once, and from the site on once for each substitution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.lab import metrics
from workbench.lab.batches import Batch, batches, rows_at_once
from workbench.lab.loaded import Model
from workbench.lab.rounding import DRAWS_OF_SETS
from workbench.lab.sae.explained import Explained
from workbench.lab.sae.factors import Factors, Fitting
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.quality import ENCODED
from workbench.lab.sae.record import Record
from workbench.lab.sae.sample import Sample, Sampling
from workbench.lab.sae.substitutions import SUBSTITUTIONS, Drawing, generator, substitutions
from workbench.lab.sae.suffix import CleanPass, clean_pass
from workbench.report import Report
from workbench.units import Site

SCALED = ("one-factor", "feature-factors")
"""every feature times one factor, and each times its own: fitted on some documents, measured on the others"""


@dataclass
class Studied:
    """One SAE of a study."""

    name: str
    placed: PlacedSae
    record: Record
    firing: np.ndarray
    """tokens that each feature fires on, int64 [d_sae]"""
    fitted_on: np.ndarray
    """documents that factors are fitted on, and not judged by, int64 [document]"""
    fit_tokens: int
    """of these at most"""
    explained: Explained = field(default_factory=Explained)
    sample: Sample | None = None
    factors: Factors | None = None
    """None where nothing was fitted"""

    @property
    def dead(self) -> float:
        """Share of the features that never fired."""
        return float((self.firing == 0).mean())

    @property
    def judged(self) -> np.ndarray:
        """Windows that are done, of documents that no factor was fitted on, int64 [window]."""
        return self.record.windows(np.setdiff1d(self.record.documents, self.fitted_on))


def studied(
    name: str, placed: PlacedSae, ids: np.ndarray, documents: np.ndarray, *, counted: slice, fit_tokens: int, seed: int
) -> Studied:
    """An SAE before anything is measured; `counted` are the positions at which KLs count."""
    record = Record(ids, documents, (*SUBSTITUTIONS, *SCALED), counted.start, counted.stop - 1)
    owners = np.unique(documents)
    fitted_on = owners[:0]
    if fit_tokens and len(owners) >= 4:  # two clusters on each side, or there is no error
        fitted_on = np.sort(np.random.default_rng([seed, 1]).permutation(owners)[: len(owners) // 2])
    return Studied(name, placed, record, np.zeros(placed.sae.config.d_sae, np.int64), fitted_on, fit_tokens)


def measure_errors(
    model: Model, saes: Sequence[Studied], seed: int, report: Report, updated: Callable[[], None] = lambda: None
) -> None:
    """Fills the records; `updated` is called after every batch of windows that is measured."""
    _take_samples(model, saes, seed, report)
    sites = _sites(saes)
    for batch in _windows(model, saes[0].record, report, "substitutions"):
        with batch:
            clean = clean_pass(model, _ids(model, saes[0].record, batch.rows), sites)
            clean_loss = metrics.surprise(clean.logits, clean.ids).cpu().numpy()
            results = [_measure(each, clean, batch.rows, seed) for each in saes]
            if batch.start == 0:
                for each in saes:
                    each.record.rounding = _rounding(each, clean, seed)
            # All that can run out of memory came first: a batch that comes again is counted once.
            for each, keep in zip(saes, results, strict=True):
                keep()
                for row, window in enumerate(batch.rows):
                    each.record.add_loss("clean", window, clean_loss[row])
                    each.record.done[window] = True
        if not batch.failed:
            updated()


def _windows(model: Model, record: Record, report: Report, stage: str) -> Iterator[Batch[int]]:
    numbers = range(len(record.ids))
    size = rows_at_once(model, record.ids.shape[1], "forward")
    for batch in report.track(batches(numbers, size, report, model), "windows", len(numbers), stage):
        report.progress.done -= 1  # track counts the batch, `batches` its rows
        yield batch


def _sites(saes: Sequence[Studied]) -> list[Site]:
    return list(dict.fromkeys(site for each in saes for site in (each.placed.site, each.placed.site_out)))


def _ids(model: Model, record: Record, windows: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(record.ids[list(windows)]).to(model.hf.device)


# --- the sample ------------------------------------------------------------------------------------


def _take_samples(model: Model, saes: Sequence[Studied], seed: int, report: Report) -> None:
    record = saes[0].record
    length = record.ids.shape[1]
    every = np.arange(record.ids.size).reshape(record.ids.shape)[:, record.first :].ravel()
    device = model.hf.device
    samplings = [
        Sampling(each.placed.site_out, each.placed.sae.config.d_out, every, seed, device, len(saes)) for each in saes
    ]
    fittings = [Fitting(each.placed.sae) for each in saes]
    for batch in _windows(model, record, report, "the sample behind mean, covariance and pairs"):
        with batch:
            clean = clean_pass(model, _ids(model, record, batch.rows), _sites(saes), head=None)
            encoded = [_encode(each, clean) for each in saes]
            for each, sampling, fitting, (x, y, activations, s) in zip(saes, samplings, fittings, encoded, strict=True):
                for row, window in enumerate(batch.rows):
                    numbers = torch.arange(window * length + record.first, (window + 1) * length, device=device)
                    behind = slice(record.first, None)
                    sampling.add(y[row, behind], s[row, behind], numbers)
                    if record.documents[window] in each.fitted_on and fitting.tokens < each.fit_tokens:
                        fitting.add(activations[row][behind], x[row, behind], y[row, behind])
    for each, sampling, fitting in zip(saes, samplings, fittings, strict=True):
        each.sample = sampling.sample()
        if fitting.tokens:
            each.factors = fitting.solve(report)


def _encode(each: Studied, clean: CleanPass) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """What it encodes and what it gives back [window, position, width], its activations [window][position, d_sae], and
    what it makes of them."""
    sae = each.placed.sae
    x, y = clean.at(each.placed.site), clean.at(each.placed.site_out)
    activations, s = [], []
    with torch.inference_mode():
        for row in x:
            parts = [sae.encode(some) for some in row.split(max(1, ENCODED // sae.config.d_sae))]
            activations.append(torch.cat(parts))
            s.append(sae.decode(activations[-1], row).flatten(1))
    return x, y, activations, torch.stack(s)


# --- the substitutions -----------------------------------------------------------------------------


def _measure(each: Studied, clean: CleanPass, windows: Sequence[int], seed: int) -> Callable[[], None]:
    """Every substitution of some windows; what keeps the numbers."""
    assert each.sample is not None
    record, site = each.record, each.placed.site_out
    x, y, activations, s = _encode(each, clean)
    device, length = x.device, x.shape[1]
    drawings = [
        Drawing(
            y[row],
            s[row],
            torch.arange(window * length, (window + 1) * length, device=device),
            each.sample,
            generator(seed, site, window),
        )
        for row, window in enumerate(windows)
    ]
    results: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for name, values in _every(each, drawings, x, activations, windows):
        values = torch.cat([y[:, : record.first], values[:, record.first :]], dim=1)
        logits = clean.with_site(site, values)
        kl = metrics.kl(clean.logits, logits).cpu().numpy()
        loss = metrics.surprise(logits, clean.ids).cpu().numpy()
        del logits
        moved = (values.to(clean.model.hf.dtype).float() - y)[:, record.first :].norm(dim=-1).mean(1)
        results[name] = (kl, loss, moved.cpu().numpy())
    firing = torch.stack([(row[record.first :] > 0).sum(0) for row in activations]).sum(0).cpu().numpy()
    tokens = {
        "l0": torch.stack([(row > 0).sum(-1) for row in activations]),
        "l1": torch.stack([row.sum(-1) for row in activations]),
        "distance": (s - y).norm(dim=-1),
        "norm": y.norm(dim=-1),
        "sae_norm": s.norm(dim=-1),
        "cosine": torch.nn.functional.cosine_similarity(s, y, dim=-1),
    }
    numbers = {name: values.float().cpu().numpy() for name, values in tokens.items()}

    def keep() -> None:
        each.firing += firing
        each.explained.add(*(values[:, record.first :].flatten(0, 1) for values in (y, s)))
        for row, window in enumerate(windows):
            for name, values in numbers.items():
                record.token[name][window, record.first :] = values[row, record.first :]
            for name, (kl, loss, moved) in results.items():
                if name in SCALED and record.documents[window] in each.fitted_on:
                    continue
                record.add_kl(name, window, kl[row], loss[row])
                record.moved[name][window] = moved[row]

    return keep


def _rounding(each: Studied, clean: CleanPass, seed: int) -> float:
    """The largest mean KL, over some windows, of draws that change rounding alone."""
    counted = slice(each.record.first, each.record.last + 1)
    rounded = clean.rounded(each.placed.site_out, DRAWS_OF_SETS, seed)
    return max(float(metrics.kl(clean.logits, logits)[:, counted].mean()) for logits in rounded)


def _every(
    each: Studied,
    drawings: list[Drawing],
    x: torch.Tensor,
    activations: list[torch.Tensor],
    windows: Sequence[int],
) -> Iterator[tuple[str, torch.Tensor]]:
    yield from substitutions(drawings)
    if each.factors is None or np.isin(each.record.documents[list(windows)], each.fitted_on).all():
        return
    for name, factor in zip(SCALED, (each.factors.one, each.factors.each), strict=True):
        decoded = [each.placed.sae.decode(a * factor, row).flatten(1) for a, row in zip(activations, x, strict=True)]
        yield name, torch.stack(decoded)
