"""The columns: names as in filters, titles as in lists, and what each means."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

Kind = Literal["number", "probability", "int", "category", "token"]


class IndexColumn(msgspec.Struct, kw_only=True, frozen=True):
    """One value per neuron or feature, in the order of their ids."""

    name: str
    title: str
    help: str
    kind: Kind
    unit: str = ""
    values: np.ndarray
    """[neuron], a memory map; nan (numbers) or −1 (categories, tokens) where unknown"""
    labels: tuple[str, ...] = ()
    """a category's names by code"""


class ColumnSpec(msgspec.Struct, frozen=True):
    name: str
    title: str
    kind: Kind
    help: str
    unit: str = ""


ADDRESS = (
    ColumnSpec("layer", "layer", "int", "the block"),
    ColumnSpec("neuron", "neuron", "int", "index within the layer"),
)
DATA = (
    ColumnSpec("family", "family", "category", "what kind of neuron: prediction, suppression, partition, entropy, …"),
    ColumnSpec("best", "best feature", "category", "the token feature that explains most of its variance"),
    ColumnSpec("vr", "VR", "probability", "share of variance that the best feature explains, on held-out documents"),
    ColumnSpec("peak", "highest at", "token", "the token of its highest activation"),
    ColumnSpec("mean", "mean", "number", "mean activation over the corpus"),
    ColumnSpec("se", "± SE", "number", "standard error of the mean, clustered by document"),
    ColumnSpec("sd", "sd", "number", "standard deviation of the activation"),
    ColumnSpec("variance", "variance", "number", "variance of the activation"),
    ColumnSpec("skew", "skew", "number", "third standardised moment of the activation"),
    ColumnSpec("kurtosis", "kurt", "number", "fourth standardised moment (3 for a normal one): how rare and large"),
    ColumnSpec("min", "min", "number", "lowest activation seen"),
    ColumnSpec("max", "max", "number", "highest activation seen"),
    ColumnSpec("positive", ">0", "probability", "fraction of tokens with activation above 0"),
    ColumnSpec("tail", "tail +", "probability", "share of Σa² that comes from positive activations"),
)
WEIGHTS = (
    ColumnSpec("promotes", "promotes", "token", "the token whose logit rises most when it is positive"),
    ColumnSpec("w_in", "‖w_in‖", "number", "norm of the effective input weights (the linear part, where gated)"),
    ColumnSpec("w_gate", "‖w_gate‖", "number", "norm of the effective gate weights"),
    ColumnSpec("bias", "bias", "number", "effective input bias, b_in + W_in β (of the gate, where gated)"),
    ColumnSpec("w_out", "‖w_out‖", "number", "norm of the effective output weights"),
    ColumnSpec("cos", "cos", "number", "cosine of input and output weights: does it write what it reads"),
    ColumnSpec("cos_gate", "cos gate", "number", "cosine of gate and output weights"),
    ColumnSpec("vocab_var", "voc var", "number", "variance over the vocabulary of cos(W_U, w_out)"),
    ColumnSpec("vocab_skew", "voc skew", "number", "skew over the vocabulary: positive promotes a few tokens"),
    ColumnSpec("vocab_kurtosis", "voc kurt", "number", "kurtosis over the vocabulary: high for a few tokens alone"),
    ColumnSpec("rho", "ρ", "probability", "share of w_out in the directions that the unembedding nearly ignores"),
)
SIGNS = tuple(
    ColumnSpec(f"signs_{case}", title, "probability", f"fraction of sampled tokens with {words}")
    for case, (title, words) in enumerate(
        (
            ("+ +", "gate and linear part above 0"),
            ("+ −", "gate above 0, linear part below"),
            ("− +", "gate below 0, linear part above"),
            ("− −", "gate and linear part below 0"),
        )
    )
)
FEATURES = (
    ColumnSpec("feature", "feature", "int", "index within the SAE"),
    ColumnSpec("frequency", "fires", "probability", "share of tokens at which it is above 0"),
    ColumnSpec("active", "active", "number", "mean activation over the tokens at which it fires"),
    ColumnSpec("max", "max", "number", "highest activation seen"),
    ColumnSpec("peak", "highest at", "token", "the token of its highest activation"),
    ColumnSpec("promotes", "promotes", "token", "the token whose logit rises most when it fires"),
    ColumnSpec("decoder", "‖W_dec‖", "number", "norm of its decoder row"),
    ColumnSpec("best", "explained by", "category", "the token feature that explains most of its variance"),
    ColumnSpec("vr", "VR", "probability", "share of variance that this explains, on held-out documents"),
    ColumnSpec("mean", "mean", "number", "mean activation over the corpus"),
    ColumnSpec("se", "± SE", "number", "standard error of the mean, clustered by document"),
    ColumnSpec("sd", "sd", "number", "standard deviation of the activation"),
    ColumnSpec("skew", "skew", "number", "third standardised moment of the activation"),
    ColumnSpec("kurtosis", "kurt", "number", "fourth standardised moment (3 for a normal one): how rare and large"),
    ColumnSpec("vocab_var", "voc var", "number", "variance over the vocabulary of cos(W_U, its decoder row)"),
    ColumnSpec("vocab_skew", "voc skew", "number", "skew over the vocabulary: positive promotes a few tokens"),
    ColumnSpec("vocab_kurtosis", "voc kurt", "number", "kurtosis over the vocabulary: high for a few tokens alone"),
)
"""columns of an SAE's features"""
NUMERIC = tuple(item.name for item in (*DATA, *WEIGHTS) if item.kind in ("number", "probability"))
