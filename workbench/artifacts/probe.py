"""Probes: a linear reading of some of a site's numbers, fitted on a labelled set. It lies in the session that made it.

A probe's score of activations x is `intercept + Σ weight · (x − mean) / sd`; what scores `threshold` or more is of the
second class. Mean and sd are those of its training examples.
"""

from __future__ import annotations

import msgspec
import numpy as np

from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._files import remove_file
from workbench.datasets.labelled.examples import Pooling
from workbench.errors import UserError
from workbench.params import StoredProbe
from workbench.text import count, number
from workbench.units import Feature

NAME = "probe"
ROWS = ("weight", "mean", "sd")
"""of the array that a session keeps"""
SHOWN = 8
"""numbers that are named"""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All of a probe beside its weights."""

    site: str
    layer: int
    indices: tuple[int, ...] = ()
    """which of the site's numbers it reads (neurons of `mlp_post`), or of an SAE's features; empty for all of them"""
    sae: str = ""
    """the name of the SAE of its features, which encodes the site; empty where it reads the site's own numbers"""
    sae_hash: str = ""
    intercept: float
    threshold: float
    """of the score"""
    pooling: Pooling
    """how the positions of its examples became one number a unit"""
    classes: tuple[str, str]
    data_set: str
    """the set's name"""
    set_hash: str
    """the set's hash as an artifact"""
    method: str
    """how it was fitted, in words"""
    model: str
    fingerprint: str
    numeric: bool = False
    """its score is a number that it predicts, not one for the second class"""
    seed: int = 0
    """of the split that it was fitted on"""
    test: dict[str, tuple[float, float, float]] = {}
    """scores on the test examples of its own set with their interval, by name: `auc`, `mcc`, `f1`, `r2` …"""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted probe; arrays are float64 [number], in the order of `reading.indices`."""

    reading: Reading
    weights: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @property
    def content(self) -> Content:
        """As it is stored in a session."""
        array = np.stack([self.weights, self.mean, self.sd]).astype(np.float64)
        return Content(
            kind=NAME, spec=msgspec.to_builtins(self.reading), array=array, fingerprint=self.reading.fingerprint
        )

    def stored(self, name: str) -> StoredProbe:
        """As it travels with a run that names it."""
        content = self.content
        assert content.array is not None
        return StoredProbe(name=name, spec=content.spec, numbers=content.array.astype("<f8").tobytes())

    @property
    def units(self) -> list[str]:
        """What it reads: `L12.N345` for each neuron, `L10.F77/res-10` for each feature; else the site, or its part."""
        reading = self.reading
        place = f"L{reading.layer}.{reading.site}"
        if not reading.indices:
            return [place]
        if reading.sae:
            return [str(Feature(reading.layer, index, reading.sae)) for index in reading.indices]
        if reading.site == "mlp_post":
            return [f"L{reading.layer}.N{index}" for index in reading.indices]
        first, last = reading.indices[0], reading.indices[-1]
        if reading.indices == tuple(range(first, last + 1)):
            return [f"{place}[{first}–{last}]"]
        return [f"{place}[{index}]" for index in reading.indices]

    def scores(self, values: np.ndarray) -> np.ndarray:
        """float64 [example] of a site's numbers [example, number], all of the layer's, as a store has them.

        Raises UserError where these are of another width.
        """
        width = values.shape[1]
        if max(self.reading.indices, default=0) >= width or (not self.reading.indices and width != len(self.weights)):
            raise UserError(
                f"this probe reads {', '.join(self.units[:SHOWN])}, and a layer has {count(width)} numbers there: "
                "it is of another model"
            )
        chosen = values[:, list(self.reading.indices)] if self.reading.indices else values
        standardised: np.ndarray = (chosen.astype(np.float64) - self.mean) / self.sd
        scores: np.ndarray = standardised @ self.weights + self.reading.intercept
        return scores


def from_content(name: str, content: Content) -> Probe:
    """A probe as a session has it. Raises UserError for one that is damaged."""
    try:
        reading = msgspec.convert(content.spec, Reading)
    except msgspec.ValidationError as error:
        raise UserError(f"the probe {name} is damaged in the session: {error}") from None
    array = content.array
    expected = len(reading.indices)
    if array is None or array.ndim != 2 or len(array) != len(ROWS) or expected not in (0, array.shape[1]):
        raise UserError(f"the probe {name} is damaged in the session: its weights are not {', '.join(ROWS)} a number")
    weights, mean, sd = array.astype(np.float64)
    if not np.isfinite(array).all() or not (sd > 0).all():
        raise UserError(
            f"the probe {name} is damaged in the session: its weights are no numbers, or an sd is not above 0"
        )
    return Probe(reading=reading, weights=weights, mean=mean, sd=sd)


def from_stored(stored: StoredProbe) -> Probe:
    """A probe as it came with a run. Raises UserError for one that is damaged."""
    numbers = np.frombuffer(stored.numbers, "<f8")
    array = numbers.reshape(len(ROWS), -1) if len(numbers) % len(ROWS) == 0 else None
    return from_content(stored.name, Content(kind=NAME, spec=stored.spec, array=array))


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    assert content is not None, "probes lie in sessions alone"
    probe = from_content(artifact.name, content)
    reading = probe.reading
    scores = reading.test.items()
    more = f" and {count(len(probe.units) - SHOWN)} more" if len(probe.units) > SHOWN else ""
    return [
        ("what", f"{reading.classes[1]} against {reading.classes[0]}, {reading.method}"),
        ("read at", ", ".join(probe.units[:SHOWN]) + more),
        ("numbers", count(len(probe.weights))),
        ("positions", "one token each" if reading.pooling == "token" else reading.pooling),
        ("data set", reading.data_set),
        ("threshold", number(reading.threshold)),
        *((name, f"{number(value)} ({number(low)}–{number(high)}) on test") for name, (value, low, high) in scores),
        ("made on", f"{reading.model} ({reading.fingerprint[:8]})"),
    ]


KIND = Kind(name=NAME, listed=list, remove=remove_file, facts=_facts, in_session=True)
