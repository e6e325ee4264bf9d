"""An SAE put to its place in a model: refused where it can't be for this model, adapted to how it was trained."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from workbench.artifacts.activations import site_width
from workbench.artifacts.sae import CENTRED_SITES, SaeConfig
from workbench.errors import UserError
from workbench.lab.loaded import Model
from workbench.lab.norms import norm_map
from workbench.lab.sae.sae import SAE
from workbench.lab.sites import MLP_IN
from workbench.text import quoted, safe
from workbench.units import Site


@dataclass(frozen=True)
class PlacedSae:
    """On the model's device, in float32."""

    sae: SAE
    site: Site
    """what it encodes"""
    site_out: Site
    """what it gives back: the same site, or a transcoder's other"""
    remarks: list[str]
    """what does not fit, or may not, as sentences"""


def place(model: Model, sae: SAE) -> PlacedSae:
    """`sae` at its site of the model. Raises UserError for another width, and a site or layer that is not there."""
    config, info = sae.config, model.info
    site, site_out = _site(model, config.site, config.hook), _site(model, config.site_out, config.hook_out)
    for place_, width, verb in ((site, config.d_in, "reads"), (site_out, config.d_out, "gives back")):
        there = site_width(info, place_.name)
        if width != there:
            raise UserError(
                f"this SAE {verb} {width:,} numbers, and {place_} of {info.name} has {there:,}: it was trained on "
                f"{safe(config.model) or 'another model'}" + (", or at another site" if config.model else "")
            )
    placed = sae.to(model.hf.device, torch.float32)
    remarks = _model_remarks(config, model)
    if config.site.endswith(".mlp_in_normalized"):
        norm = norm_map(model.bridge.blocks[site.layer].ln2.original_component, info.d_model, model.hf.device)
        placed.offset, placed.gain = norm.bias.float(), norm.gain.float()
    if config.centred and centres_stream(model):
        placed.centred = site.name in CENTRED_SITES
        remarks.append(_centred_remark(config, site_out))
    elif config.centred:
        remarks.append("it names centred writing weights, which a model with RMS norms has not: they are ignored")
    if config.folded_value_biases:
        placed.offset = value_biases(model, site.layer)
        remarks.append("it was trained without the values' biases: they are taken off before encoding, and put back")
    return PlacedSae(placed, site, site_out, remarks)


def _centred_remark(config: SaeConfig, site_out: Site) -> str:
    if not config.is_transcoder:
        return (
            "it was trained on a stream with centred writing weights: the mean over d_model is taken off before "
            "encoding and put back after decoding"
        )
    return (
        f"it was trained on a model with centred writing weights: what it gives back has no mean over d_model, and "
        f"{site_out} here has one, which counts as error. The logits do not depend on it"
    )


def centres_stream(model: Model) -> bool:
    """Whether the model's norms take the mean off, so that centred writing weights leave its logits what they are."""
    norm = getattr(model.bridge.blocks[0], "ln1", None)
    return norm is not None and norm_map(norm.original_component, model.info.d_model, model.hf.device).centred


def value_biases(model: Model, layer: int) -> torch.Tensor | None:
    """What the values' biases add to z, whatever is attended to, float32 [head · d_head]; None where there are none."""
    biases = model.optional_weight(layer, "attn.b_V")
    if biases is None:
        return None
    own = biases.float().reshape(-1, model.info.d_head)
    return own.repeat_interleave(model.info.n_heads // len(own), dim=0).flatten()


def _site(model: Model, address: str, hook: str) -> Site:
    """Raises UserError where the model has none."""
    match = re.fullmatch(r"L(\d+)\.(\w+)", address)
    if match is None:
        raise UserError(
            f"this SAE reads {quoted(hook or 'nothing that its folder names')}: say which site that is with "
            "workbench sae add … --site L10.resid_post"
        )
    layer, name = int(match[1]), match[2].replace("mlp_in_normalized", MLP_IN)
    if layer >= model.info.n_layers:
        raise UserError(
            f"this SAE is for layer {layer}, and {model.info.name} has layers 0 to {model.info.n_layers - 1}: it was "
            "trained on another model"
        )
    site = Site(layer, name)
    model.sites.point(site)
    return site


def _model_remarks(config: SaeConfig, model: Model) -> list[str]:
    info, remarks = model.info, []
    if config.model and not _same_name(config.model, info.name) and not _same_name(config.model, info.ref):
        remarks.append(f"it was trained on {safe(config.model)}, and the model here is {info.name}")
    if config.prepends_bos and info.bos_token is None:
        remarks.append("it was trained on text that begins with BOS, which this model's tokenizer does not add")
    return remarks


def _same_name(first: str, second: str) -> bool:
    """`google/gemma-2-2b` and `gemma-2-2b`; `gpt2-small` and `gpt2`. One that is tuned is another model."""
    bare = [
        re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower()).removesuffix("-small") for name in (first, second)
    ]
    return bare[0] == bare[1] or bare[0].removesuffix("-hf") == bare[1].removesuffix("-hf")
