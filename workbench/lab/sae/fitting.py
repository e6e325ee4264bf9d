"""Does an SAE belong to this model, read this way? Its reconstruction of a few tokens tells.

Beside the SAE as it was read, what users really get wrong: activations centred or not, values with or without their
biases, a scale that is missing, or folded into some of the weights only. Where one of these explains clearly more of
the variance, it is named. Where none explains much, the fingerprint of the model that it was trained on decides, if it
is recorded: on this one it is undertrained. Else what is left is the mean as a reconstruction, which explains 0: an SAE
that does no better is another model's or another site's, and of one in between nobody can tell which. Where features
fire on everything, a top-k SAE was read as ReLU.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from workbench.lab.directions.weights import JobWeights
from workbench.lab.loaded import Model
from workbench.lab.sae.explained import explained_variance
from workbench.lab.sae.placing import PlacedSae, centres_stream, value_biases
from workbench.lab.sae.sae import SAE
from workbench.lab.values import Values
from workbench.text import count, number

TOKENS = 256
"""of our own sample text that are encoded"""
LITTLE = 0.5
"""explained variance below which an SAE hardly belongs here: published ones explain .6 to .95"""
FEWER = 0.6
"""another reading is better where what it leaves unexplained is at most this part"""
CLEARLY = 0.95
"""of two readings the one that is named first is taken, unless the other leaves at most this part unexplained"""
DENSE = 0.2
"""share of the features that fire on a token of an SAE that is not sparse"""
SCALED = 0.05
"""how far a scale has to be from 1 to be another reading"""


@dataclass(frozen=True)
class Fit:
    """How the SAE does on the sample, and what is wrong with it."""

    explained: float
    l0: float
    """features that fire on a token, mean"""
    tokens: int
    scale: float
    """√d_in over the mean norm of the activations here: what `expected_average_only_in` multiplies with"""
    flags: list[str]
    """sentences that a user must see before the numbers are believed"""


def fit(model: Model, placed: PlacedSae, trained_on: str = "") -> Fit:
    """Encodes a few tokens of the fixed text, position 0 of its windows left out.

    `trained_on` is the fingerprint of the model of its training, where it is recorded.
    """
    values = Values(model, 0, False, JobWeights(model, {}))
    values.prepare([placed.site, placed.site_out])
    x, y = (values.sample(site)[:TOKENS] for site in (placed.site, placed.site_out))
    with torch.inference_mode():
        return _fit(model, placed, x, y, trained_on)


def _fit(model: Model, placed: PlacedSae, x: torch.Tensor, y: torch.Tensor, trained_on: str) -> Fit:
    sae, config = placed.sae, placed.sae.config
    activations = sae.encode(x)
    explained = explained_variance(y, sae.decode(activations, x))
    l0 = float((activations > 0).sum(-1).float().mean())
    scale = float(config.d_in**0.5 / sae.prepared(x).norm(dim=-1).mean())
    best, advice = explained, ""
    for other, sentence in _readings(model, placed, scale):
        value = explained_variance(y, other(x))
        if 1 - value < CLEARLY * (1 - best):
            best, advice = value, sentence
    flags = []
    if advice and 1 - best <= FEWER * (1 - explained):
        flags.append(f"it explains {_share(explained)} of the variance as it was read, and {_share(best)} {advice}")
    elif not explained >= LITTLE:
        flags.append(
            f"it explains {_share(explained)} of the variance of {placed.site_out} here: "
            f"{_why_little(explained, trained_on, model.info.fingerprint)}"
        )
    if config.kind != "topk" and l0 > DENSE * config.d_sae:
        flags.append(
            f"{count(l0)} of its {count(config.d_sae)} features fire on a token, so it is not sparse here: a top-k SAE "
            'whose cfg.json does not say so? (architecture "topk" and k)'
        )
    return Fit(explained, l0, len(x), scale, flags)


def _why_little(explained: float, trained_on: str, fingerprint: str) -> str:
    if trained_on and fingerprint:
        if trained_on == fingerprint:
            return "it was trained on this very model, so it is undertrained (sae check tells how good it is)"
        return "it was trained on another model, whose fingerprint is recorded with it"
    if not explained > 0:
        return (
            "no more than the mean alone would. It was probably trained on another model, reads another site, or its "
            "activations were prepared in a way that its folder does not say"
        )
    return (
        "more than the mean alone would, and less than published SAEs (.6 to .95). It is undertrained, or was trained "
        "on another model or site: this number can't tell which, and no model is recorded with it"
    )


def _share(explained: float) -> str:
    return number(explained) if explained >= 0 else f"{number(explained)} (less than nothing)"


def _readings(model: Model, placed: PlacedSae, scale: float) -> Iterator[tuple[SAE, str]]:
    """Other ways to read the same weights, and what to do if one is right."""
    sae, config = placed.sae, placed.sae.config
    if not config.is_transcoder and config.d_in == model.info.d_model and (sae.centred or centres_stream(model)):
        centred = copy.copy(sae)
        centred.centred = not sae.centred
        flag = "--no-centred" if sae.centred else "--centred"
        yield (
            centred,
            f"with activations {'as they are' if sae.centred else 'centred over d_model'}: add it with {flag}",
        )
    if config.flattens_heads:
        biases = value_biases(model, placed.site.layer)
        if biases is not None:
            shifted = copy.copy(sae)
            shifted.offset = biases if sae.offset is None else None
            how = "without the values' biases" if sae.offset is None else "with the values' biases"
            yield shifted, f"{how}: its cfg.json says fold_value_biases wrongly"
    if config.is_transcoder or abs(scale - 1) <= SCALED:
        return
    text = number(scale)
    yield (
        _scaled(sae, W_enc=scale, W_dec=1 / scale, b_dec=1 / scale),
        (f"with activations multiplied by {text}, which brings their mean norm to √d_in: add it with --scale {text}"),
    )
    yield (
        _scaled(sae, b_dec=1 / scale),
        (f"with b_dec divided by {text}: the activations' scale was folded into its weights and not into b_dec"),
    )
    yield (
        _scaled(sae, W_dec=1 / scale, b_dec=1 / scale),
        (f"with W_dec and b_dec divided by {text}: the activations' scale was folded into W_enc alone"),
    )


def _scaled(sae: SAE, **factors: float) -> SAE:
    tensors = {name: tensor * factors[name] if name in factors else tensor for name, tensor in sae.tensors.items()}
    other = type(sae)(sae.config, tensors)
    other.centred, other.offset, other.gain = sae.centred, sae.offset, sae.gain
    return other
