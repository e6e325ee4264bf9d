"""Families of neurons (Gurnee et al. 2024, "Universal neurons in GPT-2 language models"): rules over columns.

Thresholds come from GPT-2-sized models, so that a card gives the percentile within the layer beside each.
A neuron is in the first family of FAMILIES whose rule it meets; a card lists all that it meets.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from workbench.model_info import ModelInfo

PREDICTION_KURTOSIS = 10.0
PARTITION_VARIANCE = 0.005
ENTROPY_SHARE = 0.05
"""entropy neurons: vocabulary variance among the layer's lowest, ‖w_out‖ among its highest, by this share"""
ENTROPY_RHO = 2.0
"""… and at least this many times the chance level of ρ"""
FEATURE_VR = 0.5


class Family(msgspec.Struct, frozen=True):
    name: str
    rule: str
    column: str
    """whose percentile within the layer goes with it"""


FAMILIES = (
    Family("prediction", "vocabulary kurtosis over 10, skew (times the sign of its tail) above 0", "vocab_kurtosis"),
    Family(
        "suppression", "vocabulary kurtosis over 10 and skew (times the sign of its tail) below 0", "vocab_kurtosis"
    ),
    Family("partition", "vocabulary variance over .005", "vocab_var"),
    Family("entropy", "low vocabulary variance, large ‖w_out‖, ρ over twice chance", "rho"),
    Family("previous-token", "best feature about the token before, VR at least .5", "vr"),
    Family("position", "best feature about the position, VR at least .5", "vr"),
    Family("alphabet", "best feature is the first letter, VR at least .5", "vr"),
    Family("unigram", "best feature about the token itself, VR at least .5", "vr"),
)
NAMES = tuple(family.name for family in FAMILIES)
_FEATURE_FAMILIES = (("prev_", "previous-token"), ("pos_", "position"), ("letter_", "alphabet"))


def feature_family(feature: str) -> str:
    """The family that a token feature belongs to."""
    return next((family for start, family in _FEATURE_FAMILIES if feature.startswith(start)), "unigram")


def memberships(
    columns: Mapping[str, np.ndarray], info: ModelInfo, rho_chance: float, features: list[str]
) -> np.ndarray:
    """Which rules each neuron meets, bool [family, neuron]. Columns of the data part may be missing."""
    n = info.n_neurons
    kurtosis, skew, variance = (np.asarray(columns[f"vocab_{name}"]) for name in ("kurtosis", "skew", "var"))
    tail = np.ones(n)
    if "tail" in columns:
        # A gated neuron that is mostly negative promotes what its weights suppress.
        tail = np.where(np.asarray(columns["tail"]) < 0.5, -1.0, 1.0)
    rare = kurtosis > PREDICTION_KURTOSIS
    met = {
        "prediction": rare & (skew * tail > 0),
        "suppression": rare & (skew * tail < 0),
        "partition": variance > PARTITION_VARIANCE,
        "entropy": (_rank(variance, info) <= ENTROPY_SHARE)
        & (_rank(np.asarray(columns["w_out"]), info) >= 1 - ENTROPY_SHARE)
        & (np.asarray(columns["rho"]) >= ENTROPY_RHO * rho_chance),
    }
    if "best" in columns and features:
        families = np.array([NAMES.index(feature_family(name)) for name in features])
        best = np.asarray(columns["best"])
        of_best = np.where(best >= 0, families[np.maximum(best, 0)], -1)
        explained = np.asarray(columns["vr"]) >= FEATURE_VR
        for name in ("previous-token", "position", "alphabet", "unigram"):
            met[name] = explained & (of_best == NAMES.index(name))
    nothing = np.zeros(n, dtype=bool)
    return np.stack([met.get(name, nothing) for name in NAMES])


def first_family(met: np.ndarray) -> np.ndarray:
    """Code of the first family met, int8 [neuron]; −1 for none."""
    codes: np.ndarray = np.where(met.any(axis=0), met.argmax(axis=0), -1).astype(np.int8)
    return codes


def family_bits(met: np.ndarray) -> np.ndarray:
    """Memberships bool [family, neuron] as bits, uint16 [neuron]."""
    bits: np.ndarray = (met.astype(np.uint16) << np.arange(met.shape[0], dtype=np.uint16)[:, None]).sum(axis=0)
    return bits.astype(np.uint16)


def _rank(values: np.ndarray, info: ModelInfo) -> np.ndarray:
    """Place within the layer, 0 … 1."""
    by_layer = values.reshape(info.n_layers, info.d_mlp)
    places = by_layer.argsort(axis=1, kind="stable").argsort(axis=1)
    result: np.ndarray = (places / max(1, info.d_mlp - 1)).reshape(-1)
    return result
