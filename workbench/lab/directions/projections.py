"""What directions are along other things: the vocabulary, the neurons' weights, the stream.

Everything is computed for a direction and for random ones of length 1 beside it, in the same products: draws from
N(0, Σ), Σ the stream's centred covariance at a site (METHODS, "Controls"), and isotropic ones. Where the largest of
many is shown, it is compared with the largest of as many for each random direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.lab.batches import batches, rows_at_once
from workbench.lab.directions.covariance import covariance_draws
from workbench.lab.effective import effective_weights
from workbench.lab.forward import run_forward
from workbench.lab.metrics import as_float64, beside, float64_device
from workbench.lab.model import Lab
from workbench.lab.prompts import Prompt
from workbench.lab.values import Values
from workbench.report import Report
from workbench.units import Site

ROWS = 8192
"""of a matrix that go through one product: less than a tenth of a second on a CPU"""
_DRAW = 0xD1EC
"""beside the job's seed, so that the draws share nothing with what else it seeds"""
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Compared:
    """A number of a direction, and the same of the random directions beside it."""

    value: float
    stream: np.ndarray
    """of those drawn from the stream's covariance, float64 [draw]"""
    isotropic: np.ndarray
    """float64 [draw]"""


@dataclass(frozen=True)
class Bundle:
    """A direction and the random ones beside it, each of length 1."""

    vectors: torch.Tensor
    """float32 [1 + 2 · draws, d_model]: the direction, those of the stream's covariance, the isotropic ones"""

    @property
    def draws(self) -> int:
        """of each kind"""
        return len(self.vectors) // 2

    def compared(self, values: torch.Tensor) -> Compared:
        """One number a vector, [vector]."""
        numbers = np.asarray(values.cpu().double().numpy())
        return Compared(float(numbers[0]), numbers[1 : 1 + self.draws], numbers[1 + self.draws :])


def bundle(lab: Lab, vector: np.ndarray, site: Site, draws: int, report: Report) -> Bundle:
    """A direction [d_model] with `draws` random ones of each kind, by the job's seed; Σ is that of `site`.

    Raises UserError where the stream does not vary there.
    """
    of_stream = covariance_draws(lab.model, [site], draws, lab.seed, report)
    report.note(of_stream.remark)
    isotropic = np.random.default_rng([_DRAW, lab.seed]).standard_normal((draws, len(vector)))
    together = torch.cat(
        [torch.from_numpy(vector)[None], of_stream.vectors.cpu(), torch.from_numpy(isotropic)]
    ).double()
    unit = together / together.norm(dim=1, keepdim=True)
    return Bundle(unit.float().to(lab.model.hf.device))


# --- the vocabulary ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Along:
    """Rows of a matrix along a direction, and the best of them for random ones."""

    values: np.ndarray
    """of the direction, float32 [row]"""
    highest: Compared
    lowest: Compared
    moments: dict[str, Compared]
    """of the cosines over the rows: mean, variance, skew, kurtosis (not excess)"""


def along_rows(rows: torch.Tensor, directions: Bundle, report: Report, stage: str, *, cosines: bool) -> Along:
    """The rows [row, d_model] along every direction: products, or with `cosines` those over the rows' lengths."""
    n, vectors = len(rows), directions.vectors
    values = np.empty(n, np.float32)
    highest = torch.full((len(vectors),), -torch.inf, device=vectors.device)
    lowest = -highest
    sums = torch.zeros(4, len(vectors), dtype=torch.float64, device=float64_device(vectors.device))
    with torch.inference_mode():
        for start in report.track(range(0, n, ROWS), "parts", stage=stage):
            some = rows[start : start + ROWS].float()
            product = some @ vectors.T
            cosine = product / some.norm(dim=1, keepdim=True).clamp_min(TINY)
            shown = cosine if cosines else product
            values[start : start + ROWS] = shown[:, 0].cpu().numpy()
            highest = torch.maximum(highest, shown.amax(0))
            lowest = torch.minimum(lowest, shown.amin(0))
            for power in range(4):
                sums[power] += beside((cosine ** (power + 1)).sum(0), sums.device)
    mean, second, third, fourth = sums / n
    variance = second - mean**2
    moments = {
        "mean": mean,
        "variance": variance,
        "skew": (third - 3 * mean * second + 2 * mean**3) / variance**1.5,
        "kurtosis": (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / variance**2,
    }
    compared = {name: directions.compared(moment) for name, moment in moments.items()}
    return Along(values, directions.compared(highest), directions.compared(lowest), compared)


def embedding(lab: Lab) -> torch.Tensor | None:
    """W_E as stored, [token, d_model]; None where its rows are no vectors of the stream."""
    weight: torch.Tensor = lab.model.hf.get_input_embeddings().weight.detach()
    return weight if weight.shape[1] == lab.info.d_model else None


# --- neurons -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NeuronCosines:
    """One side of all neurons along a direction."""

    cosines: np.ndarray
    """of the direction with the neurons' effective weights, float32 [layer, neuron]"""
    largest: Compared
    """|cosine| of the best neuron of all"""


def along_neurons(lab: Lab, directions: Bundle, report: Report) -> dict[str, NeuronCosines]:
    """Cosines with every neuron's effective `w_out`, `w_in` and, where gated, `w_gate`. Raises UserError."""
    vectors, weights = directions.vectors, effective_weights(lab.model)
    cosines: dict[str, list[np.ndarray]] = {}
    best: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for layer in report.track(range(lab.info.n_layers), "layers", stage="neurons"):
            effective = weights.layer(layer)
            for side in ("w_out", "w_in", "w_gate"):
                rows = getattr(effective, side)
                if rows is None:
                    continue
                cosine = (rows @ vectors.T) / rows.norm(dim=1, keepdim=True).clamp_min(TINY)
                cosines.setdefault(side, []).append(cosine[:, 0].cpu().numpy())
                largest = cosine.abs().amax(0)
                best[side] = torch.maximum(best[side], largest) if side in best else largest
    return {
        side: NeuronCosines(np.stack(by_layer), directions.compared(best[side])) for side, by_layer in cosines.items()
    }


# --- the stream --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamByLayer:
    """The stream of the fixed text along a direction, from the embedding to the last block's output. All [point]."""

    names: list[str]
    norm: np.ndarray
    """‖x‖: 5, 50 and 95 %, float64 [3, point]"""
    projection: list[Compared]
    """mean |d̂·x| over the tokens"""
    share: list[Compared]
    """of the stream's variance: Var(d̂·x) / tr Σ"""
    tokens: int


def along_stream(lab: Lab, directions: Bundle, report: Report) -> StreamByLayer:
    """By layer on the fixed text, position 0 of every window left out; the text is read once for all directions."""
    sites = [Site(0, "resid_pre"), *(Site(layer, "resid_post") for layer in range(lab.info.n_layers))]
    values = Values(lab.model, 0, False, lab.weights)
    for _ in report.track([None], "passes", stage="the stream of a fixed text"):
        values.prepare(sites)
    norms, projections, shares = [], [], []
    tokens = 0
    for site in sites:
        with torch.inference_mode():
            stream = values.sample(site)
            tokens = len(stream)
            along = as_float64(stream @ directions.vectors.T)
            total = as_float64(stream).var(dim=0, correction=0).sum()
            length = as_float64(stream.norm(dim=1))
            norms.append(np.quantile(length.cpu().numpy(), (0.05, 0.5, 0.95)))
            projections.append(directions.compared(along.abs().mean(0)))
            shares.append(directions.compared(along.var(dim=0, correction=0) / total))
    names = ["embed", *(f"L{site.layer}" for site in sites[1:])]
    return StreamByLayer(names, np.stack(norms, axis=1), projections, shares, tokens)


@dataclass(frozen=True)
class TextAlong:
    """One text at one site along a direction and random ones."""

    prompt: Prompt
    projection: np.ndarray
    """d̂·x, float64 [position, vector]: the direction's, then the draws of the bundle"""
    norm: np.ndarray
    """‖x‖, float64 [position]"""


def along_texts(lab: Lab, prompts: Sequence[Prompt], site: Site, directions: Bundle) -> Iterator[list[TextAlong]]:
    """Texts in batches; to be read inside `report.track`."""
    size = rows_at_once(lab.model, max(map(len, prompts)), "last")
    for batch in batches(prompts, size, lab.report, lab.model):
        texts: list[TextAlong] = []
        with batch, torch.inference_mode():
            captured = run_forward(lab.model, batch.rows, capture=[site], keep=None).captured[site].float()
            along = (captured @ directions.vectors.T).cpu().double().numpy()
            norms = captured.norm(dim=2).cpu().double().numpy()
            texts = [
                TextAlong(prompt, along[row, : len(prompt)], norms[row, : len(prompt)])
                for row, prompt in enumerate(batch.rows)
            ]
        yield texts
