"""Everything known of one neuron, as a frozen struct: what a card draws, without a model."""

from __future__ import annotations

import msgspec
import numpy as np


class Example(msgspec.Struct, kw_only=True, frozen=True):
    """A place in the corpus. The window ends where the model's own window ended."""

    tokens: list[str]
    values: np.ndarray
    """[token] float32; nan at a window's first position, which is left out of everything"""
    peak: int
    """index into `tokens`"""
    value: float
    """activation at the peak, in full precision"""
    document: int
    position: int
    """of the peak in its document, in tokens"""


class SignCase(msgspec.Struct, kw_only=True, frozen=True):
    """One of the four sign cases of a gated neuron: activation = act(gate) · linear."""

    gate: str
    linear: str
    fraction: float
    """of sampled tokens"""
    mean: float
    """mean activation in this case; nan where it never occurs"""
    share: float
    """of the sample's Σa²"""
    examples: list[Example]


class Part(msgspec.Struct, kw_only=True, frozen=True):
    """Statistics over the sample of the gate (before its activation function) or the linear part."""

    name: str
    mean: float
    sd: float
    low: float
    high: float


class NamedFamily(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    rule: str
    percentile: float
    """of the column it rests on, within the layer"""


class Card(msgspec.Struct, kw_only=True, frozen=True):
    """One neuron, or one feature. Lists are empty and numbers nan where there is no data part."""

    unit: str
    layer: int
    index: int
    family: str
    """the first of `families`, or empty"""
    families: list[NamedFamily]
    stats: dict[str, float]
    """by column name"""
    percentiles: dict[str, float]
    """0 … 100 within `group`, by column name"""
    group: str = "layer"
    """what percentiles are within: its layer, or its SAE"""
    promoted: list[tuple[str, float]]
    """token and logit effect for each unit of positive activation, largest first"""
    suppressed: list[tuple[str, float]]
    """what falls when it is positive and rises when it is negative"""
    neighbours_in: list[tuple[str, float]]
    """unit and cosine of effective input weights"""
    neighbours_out: list[tuple[str, float]]
    tail_share: tuple[float, float]
    """share of Σa² from positive and from negative activations"""
    high: list[Example]
    low: list[Example]
    edges: np.ndarray
    """[bin + 1]"""
    histogram: np.ndarray
    """[bin] counts over the sample"""
    n_sampled: int
    signs: list[SignCase]
    parts: list[Part]
    best: str
    """best token feature"""
    best_sign: int
    """+1: higher where it holds; −1: lower"""
    vr: float
    """held out"""
    vr_chosen: float
    """on the half of the documents that chose it: optimistic"""
    mean: float
    se: float
    n_tokens: int
    n_documents: int
    corpus: str
    complete: bool
