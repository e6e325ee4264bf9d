"""Folders to SAEs and back: SAELens' (`cfg.json`, `sae_weights.safetensors`) and Gemma Scope's (`params.npz`; of the
second, `config.json` and `params.safetensors`).

What can be folded into the weights exactly is: a scale of the activations, decoder norms that pre-activations are
multiplied with, and fine-tuned factors of the decoder. So an SAE has one formula for its kind, whoever saved it.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from workbench.artifacts.sae import (
    CONFIG,
    WEIGHTS,
    SaeConfig,
    hook_of,
    read_config,
    read_json,
    rescales_by_decoder_norm,
    scale_of,
    weight_shapes,
    written_config,
)
from workbench.errors import UserError
from workbench.lab.sae.gemma_scope import PARAMS, gemma_config, saelens_names
from workbench.lab.sae.gemma_scope_2 import CONFIG_2, PARAMS_2, gemma_config_2, saelens_names_2
from workbench.lab.sae.kinds import KINDS, make_sae
from workbench.lab.sae.sae import SAE
from workbench.text import count, number

FILES = (WEIGHTS, PARAMS, PARAMS_2)
"""weights that are read, each of one format"""
PICKLES = (".pt", ".pth", ".pkl", ".bin", ".ckpt")


@dataclass(frozen=True)
class Given:
    """What a user says of an SAE beside its folder; empty, the folder has the last word."""

    model: str = ""
    site: str = ""
    site_out: str = ""
    scale: float | None = None
    """what activations are multiplied with before they are encoded"""
    centred: bool | None = None


NOTHING = Given()


@dataclass(frozen=True)
class LoadedSae:
    sae: SAE
    remarks: list[str]
    """what a user must know, as sentences"""


def read_sae(folder: Path, given: Given = NOTHING, source: str = "") -> LoadedSae:
    """The SAE of a folder, float32 on the CPU; `source` is what the user calls it.

    Raises UserError: no SAE there, weights as pickle only, a missing tensor, a wrong shape, NaN, a kind or a
    normalisation that is not computed here.
    """
    source = source or str(folder)
    if not folder.is_dir():
        raise UserError(f"{source} is no folder: give the one that holds {CONFIG} and {WEIGHTS}, or {PARAMS}")
    if (folder / WEIGHTS).is_file():
        if not (folder / CONFIG).is_file():
            raise UserError(f"{source} has {WEIGHTS} and no {CONFIG}, which says what kind it is: copy that there too")
        raw = read_json(folder / CONFIG, source)
        tensors = _safetensors(folder / WEIGHTS, source)
    elif (folder / PARAMS).is_file():
        tensors = saelens_names(_arrays(folder / PARAMS, source))
        raw = gemma_config(source, folder, tensors, given.site)
    elif (folder / PARAMS_2).is_file():
        if not (folder / CONFIG_2).is_file():
            raise UserError(
                f"{source} has {PARAMS_2} and no {CONFIG_2}, which says where it reads: copy that there too"
            )
        tensors = saelens_names_2(_safetensors(folder / PARAMS_2, source))
        raw = gemma_config_2(read_json(folder / CONFIG_2, source), source, given.site, given.site_out)
    else:
        raise UserError(_nothing_here(folder, source))
    return assemble(_with_given(raw, given), tensors, source, given.scale)


def assemble(
    raw: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], source: str, scale: float | None = None
) -> LoadedSae:
    """An SAE of a configuration of any generation and its weights by SAELens' names. Raises UserError."""
    config = read_config(raw, source, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    kept = _checked(config, tensors, source)
    remarks = []
    if rescales_by_decoder_norm(raw):
        if "b_enc" not in kept:
            raise UserError(
                f"{source}: rescale_acts_by_decoder_norm is set, and the weights have no b_enc that it could be folded "
                "into: set it to false in cfg.json"
            )
        _fold_decoder_norms(kept)
    if _fold_finetuning(kept, tensors, raw, source):
        remarks.append("its fine-tuned factors are folded into the decoder: activations are those before them")
    factor = scale_of(raw) if scale is None else scale
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(f"{source}: activations can't be scaled by {factor:g}: a factor above 0 is needed")
    if factor != 1:
        _fold_scale(kept, factor, config)
        remarks.append(f"activations are multiplied with {number(factor)}, folded into W_enc, W_dec and b_dec")
    if scale is not None:
        config = msgspec.structs.replace(config, unscaled=False)
    if config.unscaled:
        remarks.append(
            "it was trained on activations scaled to a mean norm of √d_in, and its folder does not say the factor: "
            "unless that is folded into the weights already, give it with --scale (sae check measures it)"
        )
    sae = make_sae(config, kept)
    remarks.append(decoder_remark(sae))
    return LoadedSae(sae, remarks)


def write_sae(sae: SAE, folder: Path, source: str = "", training: Mapping[str, Any] | None = None) -> None:
    """SAELens' two files, into a folder that is there; `source` and `training` say where it comes from."""
    from safetensors.torch import save_file

    raw = written_config(sae.config)
    if source:
        raw["metadata"]["workbench_source"] = source
    if training:
        raw["metadata"]["workbench_training"] = dict(training)
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in sae.tensors.items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(raw, indent=1), encoding="utf-8")


def decoder_remark(sae: SAE) -> str:
    """Whether the decoder's norms are folded in, and what that means for activations."""
    if sae.has_unit_decoder:
        return "decoder rows have norm 1: an activation is the length of what its feature adds"
    norms = sae.decoder_norms()
    low, middle, high = (number(float(value)) for value in (norms.min(), norms.median(), norms.max()))
    return (
        f"decoder norms are not folded in ({low}–{high}, median {middle}): a dashboard whose SAE has them folded shows "
        "activations that many times larger"
    )


# --- files -----------------------------------------------------------------------------------------


def _safetensors(file: Path, source: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    weight_shapes(file, source)  # says what is wrong with the file before much of it is read
    tensors: dict[str, torch.Tensor] = load_file(file)
    return tensors


def _arrays(file: Path, source: str) -> dict[str, torch.Tensor]:
    """Of params.npz, with nothing in it executed."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            loaded = {name: np.asarray(arrays[name]) for name in arrays.files}
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in loaded.items()}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{source}: {file.name} can't be read as arrays of numbers: {error}") from None


def _nothing_here(folder: Path, source: str) -> str:
    names = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        return (
            f"{source} has its weights as pickle only ({pickles[0]}), which can run code when it is opened: convert it "
            f"to {WEIGHTS} (SAELens: sae.save_model)"
        )
    inner = sorted(str(file.parent.relative_to(folder)) for name in FILES for file in folder.rglob(name))
    if inner:
        more = f" and {count(len(inner) - 4)} more" if len(inner) > 4 else ""
        return f"{source} holds several SAEs: name one of {', '.join(inner[:4])}{more}"
    there = ", ".join(names[:6]) or "nothing"
    return (
        f"{source} holds no SAE: {CONFIG} with {WEIGHTS}, {CONFIG_2} with {PARAMS_2}, or {PARAMS} is needed, and there "
        f"is {there}"
    )


# --- weights ---------------------------------------------------------------------------------------


def _with_given(raw: Mapping[str, Any], given: Given) -> dict[str, Any]:
    """The configuration with what the user says in place of what it says."""
    merged = dict(raw)
    metadata = dict(raw["metadata"]) if isinstance(raw.get("metadata"), dict) else {}
    said: dict[str, Any] = {}
    if given.model:
        said["model_name"] = given.model
    if given.site:
        said["hook_name"] = hook_of(given.site)
    if given.site_out:
        said["hook_name_out"] = hook_of(given.site_out)
    if given.centred is not None:
        kwargs = metadata.get("model_from_pretrained_kwargs", raw.get("model_from_pretrained_kwargs"))
        said["model_from_pretrained_kwargs"] = {
            **(kwargs if isinstance(kwargs, dict) else {}),
            "center_writing_weights": given.centred,
        }
    for old in ("hook_point",) if "hook_name" in said else ():
        merged.pop(old, None)
    merged.pop("metadata", None)
    return {**merged, **said, "metadata": {**metadata, **said}}


def _checked(config: SaeConfig, tensors: Mapping[str, torch.Tensor], source: str) -> dict[str, torch.Tensor]:
    """The kind's tensors in float32. Raises UserError where one is missing, misshapen, or has no numbers in it."""
    shapes = {"W_enc": (config.d_in, config.d_sae), "W_dec": (config.d_sae, config.d_out), "b_dec": (config.d_out,)}
    shapes |= dict.fromkeys(KINDS[config.kind].own, (config.d_sae,))
    if config.skip:
        shapes["W_skip"] = (config.d_out, config.d_in)
    kept = {}
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if tensor is None and name == "threshold" and "topk_threshold" in tensors:
            tensor = tensors["topk_threshold"].reshape(-1)[:1].expand(shape)  # of a training that was interrupted
        if tensor is None:
            raise UserError(
                f"{source} is a {config.kind} SAE without {name}: it holds {', '.join(sorted(tensors))}"
                + (" (a top-k SAE's cfg.json says architecture topk and k)" if name == "threshold" else "")
            )
        if tuple(tensor.shape) != shape:
            raise UserError(f"{source}: {name} has shape {list(tensor.shape)}, and {list(shape)} is needed")
        if not tensor.dtype.is_floating_point:
            raise UserError(f"{source}: {name} holds {str(tensor.dtype).removeprefix('torch.')}: no real numbers")
        if not torch.isfinite(tensor).all():
            overflow = " (float16 ends at 65,504)" if tensor.dtype == torch.float16 else ""
            raise UserError(f"{source}: {name} has numbers that are NaN or infinite{overflow}: the file is no good")
        kept[name] = tensor.to(torch.float32, copy=True).contiguous()
        if not torch.isfinite(kept[name]).all():
            raise UserError(f"{source}: {name} has numbers that float32 can't hold")
    return kept


def _fold_decoder_norms(tensors: dict[str, torch.Tensor]) -> None:
    """Of SAEs whose pre-activations count times the norm of their decoder row: then all rows have norm 1."""
    norms = tensors["W_dec"].norm(dim=-1).clamp(min=1e-8)
    tensors["W_dec"] /= norms[:, None]
    tensors["W_enc"] *= norms
    tensors["b_enc"] *= norms


def _fold_finetuning(
    kept: dict[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], raw: Mapping[str, Any], source: str
) -> bool:
    """Factors [d_sae] that activations are multiplied with on the way back, into the decoder's rows.

    SAELens until 5 wrote them, often as ones that nothing uses.
    """
    names = [name for name in ("scaling_factor", "finetuning_scaling_factor") if name in tensors]
    if not names or torch.allclose(tensors[names[0]].float(), torch.ones(())):
        return False
    factor = tensors[names[0]].float()
    if factor.shape != (len(kept["W_dec"]),) or not torch.isfinite(factor).all():
        raise UserError(f"{source}: {names[0]} has shape {list(factor.shape)}: a finite factor a feature is needed")
    if not raw.get("finetuning_scaling_factor"):
        raise UserError(
            f"{source} has {names[0]}, and its cfg.json says finetuning_scaling_factor false: set it to true if the "
            "factors belong to it, or take them out"
        )
    kept["W_dec"] *= factor[:, None]
    return True


def _fold_scale(tensors: dict[str, torch.Tensor], factor: float, config: SaeConfig) -> None:
    """An SAE of factor · x that gives back x: pre-activations and thresholds stay what they are."""
    tensors["W_enc"] *= factor
    if config.is_transcoder:  # what it gives back is another site's, at that site's own scale
        return
    tensors["W_dec"] /= factor
    tensors["b_dec"] /= factor
