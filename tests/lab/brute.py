"""An index by brute force: every activation kept, then plain NumPy. What the fast path has to equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from workbench.index import bins
from workbench.index.format import SIGN_TOP, half_of, in_sample
from workbench.lab.indexing.blocks import blocks
from workbench.lab.indexing.build import bos_id, tokenise
from workbench.units import Site


class Brute:
    """`a`, `gate`, `linear`: float32 [token, neuron]; `document`, `position` [token]; of every counted token."""

    def __init__(self, model: Any, corpus: Any, settings: Any, wanted: int = 1 << 60, alone: bool = False) -> None:
        """With `alone` each window goes through the model by itself, else in the same blocks as the index'."""
        self.model, self.settings = model, settings
        self.bos = bos_id(model)
        parts: list[dict[str, np.ndarray]] = []
        if alone:
            passes = self._windows(corpus)
        else:
            passes = ((block.ids, block) for _, block in blocks(tokenise(model, corpus), settings, self.bos))
        total = 0
        for ids, rows in passes:
            if total >= wanted:
                break
            found = self._activations(ids)
            for row in range(len(ids)):
                document, start, length = (
                    rows if alone else (int(rows.documents[row]), int(rows.starts[row]), int(rows.lengths[row]))
                )
                keep = slice(1, length)
                at = np.arange(1, length) + start
                parts.append(
                    {name: array[row, keep] for name, array in found.items()}
                    | {"document": np.full(length - 1, document), "position": at}
                    | {"width": np.full(length - 1, length), "place": np.arange(1, length), "id": ids[row, keep]}
                    | {"before": ids[row, 0 : length - 1]}
                )
                total += length - 1
        for name in parts[0]:
            setattr(self, name, np.concatenate([part[name] for part in parts]))

    def _windows(self, corpus: Any) -> Any:
        front = [] if self.bos is None else [self.bos]
        step = self.settings.context - len(front)
        for number, ids in tokenise(self.model, corpus):
            for start in range(0, len(ids), step):
                window = [*front, *ids[start : start + step].tolist()]
                if len(window) > 1:
                    yield np.array([window]), (number, start - len(front), len(window))

    def _activations(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        sites = {"a": "mlp_post"}
        if self.model.info.gated_mlp:
            sites |= {"gate": "mlp_pre", "linear": "mlp_pre_linear"}
        kept: dict[str, list[Any]] = {name: [] for name in sites}
        points = []
        for layer in range(self.model.info.n_layers):
            for name, site in sites.items():
                point = self.model.sites.point(Site(layer, site))
                point.add_hook(lambda x, hook=None, name=name: kept[name].append(x.clone()))
                points.append(point)
        with torch.inference_mode():
            self.model.hf(input_ids=torch.from_numpy(ids))
        for point in points:
            point.remove_hooks("fwd")
        return {name: torch.cat(layers, dim=2).numpy() for name, layers in kept.items()}

    # --- statistics, each as its definition says -----------------------------------------------------

    @property
    def sampled(self) -> np.ndarray:
        return in_sample(self.document, self.position, self.settings.sample)

    def columns(self) -> dict[str, np.ndarray]:
        a = self.a.astype(np.float64)
        n = len(a)
        mean, sd = a.mean(0), a.std(0)
        documents = np.unique(self.document)
        sums = np.stack([a[self.document == d].sum(0) for d in documents])
        sizes = np.array([(self.document == d).sum() for d in documents])[:, None]
        D = len(documents)
        spread = ((sums - sizes * mean) ** 2).sum(0)
        return {
            "mean": mean,
            "variance": a.var(0),
            "sd": sd,
            "skew": (((a - mean) / sd) ** 3).mean(0),
            "kurtosis": (((a - mean) / sd) ** 4).mean(0),
            "min": a.min(0),
            "max": a.max(0),
            "positive": (a > 0).mean(0),
            "tail": np.where(a > 0, a, 0).__pow__(2).sum(0) / (a**2).sum(0),
            "se": np.sqrt(D / (D - 1) * spread) / n,
        }

    def histogram(self) -> np.ndarray:
        found = np.zeros((self.a.shape[1], 256), dtype=np.int64)
        for neuron, row in enumerate(bins.bin_of(self.a[self.sampled]).T):
            found[neuron] = np.bincount(row, minlength=256)
        return found

    def top(self, sign: int, k: int) -> list[list[tuple[float, int, int]]]:
        """Value, document, position of the k best by neuron, at most one of a document."""
        return [self._best(sign * column, column, k, np.ones(len(column), bool)) for column in self.a.T]

    def signs(self) -> tuple[np.ndarray, np.ndarray, list[list[list[tuple[float, int, int]]]]]:
        """Counts [case, neuron], sums and squares [case, 2, neuron], examples [case][neuron]."""
        on, off = (self.gate > 0), (self.linear > 0)
        cases = [on & off, on & ~off, ~on & off, ~on & ~off]
        s = self.sampled
        a = self.a.astype(np.float64)
        counts = np.stack([case[s].sum(0) for case in cases])
        sums = np.stack([np.stack([(a[s] * case[s]).sum(0), (a[s] ** 2 * case[s]).sum(0)]) for case in cases])
        examples = [
            [
                self._best(np.abs(a[:, neuron]), self.a[:, neuron], SIGN_TOP, case[:, neuron] & s & (a[:, neuron] != 0))
                for neuron in range(a.shape[1])
            ]
            for case in cases
        ]
        return counts, sums, examples

    def _best(self, score: np.ndarray, value: np.ndarray, k: int, allowed: np.ndarray) -> list[tuple[float, int, int]]:
        best: dict[int, int] = {}
        for at in np.flatnonzero(allowed)[np.argsort(-score[allowed], kind="stable")]:
            best.setdefault(int(self.document[at]), int(at))
            if len(best) == k:
                break
        return [(float(value[at]), int(self.document[at]), int(self.position[at])) for at in best.values()]

    def explained(self, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variance reduction of features `held` bool [feature, token] on each half, [2, feature, neuron]."""
        a = self.a.astype(np.float64)
        halves = half_of(self.document)
        found = []
        for half in (0, 1):
            part, mask = a[halves == half], held[:, halves == half]
            mean, variance = part.mean(0), part.var(0)
            rows = []
            for feature in mask:
                total = np.zeros(a.shape[1])
                for inside in (feature, ~feature):
                    if not inside.any():
                        total[:] = np.nan
                    else:
                        total += inside.mean() * (part[inside].mean(0) - mean) ** 2 / variance
                rows.append(total)
            found.append(np.stack(rows))
        return found[0], found[1]
