"""What a sparse autoencoder's `cfg.json` says, in whichever of SAELens' generations it was written. No torch.

Before SAELens 6 all keys lie flat, and some had other names (`hook_point`, `activation_fn_str`); from 6 on what belongs
to the language model is under `metadata`. What is written is the shape of 6, which SAELens reads back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from workbench.errors import UserError
from workbench.text import quoted
from workbench.units import HOOKS

SaeKind = Literal["standard", "gated", "topk", "batchtopk", "jumprelu", "matryoshka"]
Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]
WRITTEN_AS = "6.0.0"
"""the generation of SAELens' configuration that is written"""
ARCHITECTURES: dict[str, tuple[SaeKind, bool]] = {
    "standard": ("standard", False),
    "gated": ("gated", False),
    "topk": ("topk", False),
    "batchtopk": ("batchtopk", False),
    "jumprelu": ("jumprelu", False),
    "matryoshka_batchtopk": ("matryoshka", False),
    "transcoder": ("standard", True),
    "skip_transcoder": ("standard", True),
    "jumprelu_transcoder": ("jumprelu", True),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}
"""SAELens' names: the kind, and whether it is a transcoder"""
MLP_INPUTS = {"ln2.hook_normalized": "mlp_in_normalized", "mlp.hook_in": "mlp_in", "hook_mlp_in": "resid_mid"}
"""where transcoders read beside the sites of ours, by TransformerLens' name: the input of an MLP before its norm's
weight, after it, and before the norm"""
_RENAMED = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
    "model_kwargs": "model_from_pretrained_kwargs",
}
_HOOK = re.compile(r"blocks\.(\d+)\.(.+)")
CENTRED_SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""that have no mean over d_model where writing weights are centred"""


class SaeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a sparse autoencoder is, beside its weights."""

    kind: SaeKind
    d_in: int
    d_sae: int
    d_out: int
    k: float = 0
    """features that fire on a token: of top-k exactly, of batch-top-k and Matryoshka on average in training"""
    normalisation: Normalisation = "none"
    """of each activation before it is encoded; undone after decoding, by transcoders not"""
    unscaled: bool = False
    """trained on activations scaled to a mean norm of √d_in, by a factor that nothing in the folder says"""
    subtracts_b_dec: bool = False
    """the decoder's bias is taken off before encoding"""
    flattens_heads: bool = False
    """reads attention's `z` with all heads in one vector"""
    centred: bool = False
    """trained on a model whose writing weights were centred: what it reads or gives back has no mean over d_model"""
    folded_value_biases: bool = False
    """trained on a `z` without the values' biases: they are taken off, and put back"""
    model: str = ""
    """that it was trained on, as its folder calls it"""
    hook: str = ""
    """where it reads, TransformerLens' name"""
    hook_out: str = ""
    """of a transcoder: where it writes"""
    skip: bool = False
    """a transcoder with a linear map from input to output beside its features"""
    prepends_bos: bool | None = None
    context: int = 0
    """tokens of the windows it was trained on; 0 where nothing says"""
    generation: str = ""
    """version of SAELens that wrote it; empty before it said so"""

    @property
    def is_transcoder(self) -> bool:
        return bool(self.hook_out)

    @property
    def site(self) -> str:
        """`L10.resid_post`; empty for a place that this program has no name for."""
        return site_of(self.hook)

    @property
    def site_out(self) -> str:
        """Where what it decodes stands: its own site, or a transcoder's other."""
        return site_of(self.hook_out or self.hook)

    @property
    def words(self) -> str:
        """`top-k 32 SAE`, `JumpReLU skip transcoder`."""
        kind = {
            "standard": "ReLU",
            "gated": "gated",
            "topk": f"top-k {self.k:g}",
            "batchtopk": "batch-top-k",
            "jumprelu": "JumpReLU",
            "matryoshka": "Matryoshka",
        }[self.kind]
        return f"{kind} {'skip transcoder' if self.skip else 'transcoder' if self.is_transcoder else 'SAE'}"

    @property
    def describe(self) -> str:
        """`top-k 32 SAE at L10.resid_post, 2,304 features of 576 numbers`."""
        place = self.site or self.hook or "an unnamed site"
        to = f" to {self.site_out or self.hook_out}" if self.is_transcoder else ""
        return f"{self.words} at {place}{to}, {self.d_sae:,} features of {self.d_in:,} numbers"


def site_of(hook: str) -> str:
    """`L5.resid_post` of `blocks.5.hook_resid_post`; empty for what is no place in a block that we know."""
    match = _HOOK.fullmatch(hook)
    names = {path: name for name, path in HOOKS.items() if name != "pattern"} | MLP_INPUTS
    return f"L{int(match[1])}.{names[match[2]]}" if match and match[2] in names else ""


def hook_of(site: str) -> str:
    """`blocks.5.hook_resid_post` of `L5.resid_post`. Raises UserError for what is no site."""
    match = re.fullmatch(r"L(\d+)\.(\w+)", site.strip())
    paths = {name: path for path, name in MLP_INPUTS.items() if name != "resid_mid"} | HOOKS
    if match is None or match[2] not in paths or match[2] == "pattern":
        names = ", ".join(name for name in paths if name != "pattern")
        raise UserError(f"{quoted(site)} is no site: give one like L10.resid_post ({names})")
    return f"blocks.{int(match[1])}.{paths[match[2]]}"


def read_config(raw: Any, source: str, shapes: Mapping[str, tuple[int, ...]]) -> SaeConfig:
    """Of the parsed `cfg.json` of `source`; `shapes` are those of its weights, which have the last word on widths.

    Raises UserError for a kind, a normalisation or an activation function that this program does not compute.
    """
    if not isinstance(raw, dict):
        raise UserError(f"{source}: cfg.json holds no object of settings: it is not SAELens' configuration")
    flat = _flat(raw)
    architecture = str(flat.get("architecture") or "standard")
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{source} is a {quoted(architecture)}: what can be read is {', '.join(ARCHITECTURES)} (SAELens' names)"
        )
    kind, is_transcoder = ARCHITECTURES[architecture]
    d_in, d_sae, d_out = _widths(shapes, source)
    for name, width in (("d_in", d_in), ("d_sae", d_sae), ("d_out", d_out)):
        if isinstance(flat.get(name), int) and flat[name] != width:
            raise UserError(f"{source}: cfg.json says {name} {flat[name]}, and the weights have {width}")
    activation = flat.get("activation_fn") or "relu"
    kwargs = flat.get("activation_fn_kwargs") or {}
    k = flat.get("k", kwargs.get("k") if isinstance(kwargs, dict) else None)
    if kind == "standard" and activation == "topk" and not is_transcoder:
        kind, activation = "topk", "relu"  # the shape of SAELens 4 and 5
    if kind != "topk" and activation != "relu":
        raise UserError(f"{source} uses the activation function {quoted(str(activation))}: only relu and topk are read")
    if kind == "topk" and (not isinstance(k, int | float) or k < 1 or k != int(k) or k > d_sae):
        raise UserError(
            f"{source} is a top-k SAE whose cfg.json says k = {k}: a whole number from 1 to {d_sae} is needed"
        )
    hook, hook_out = _hook(flat, "hook_name"), _hook(flat, "hook_name_out") if is_transcoder else ""
    if flat.get("hook_head_index") is not None:
        raise UserError(f"{source} reads head {flat['hook_head_index']} of {hook} alone: SAEs of one head are not read")
    normalisation, unscaled = _normalisation(flat.get("normalize_activations"), source)
    subtracts = bool(flat.get("apply_b_dec_to_input", not is_transcoder))
    if is_transcoder and subtracts:
        raise UserError(f"{source} is a transcoder with apply_b_dec_to_input: its b_dec belongs to the output")
    if not is_transcoder and d_in != d_out:
        raise UserError(f"{source} decodes {d_out} numbers and encodes {d_in}: an SAE's widths are the same")
    kept = flat.get("model_from_pretrained_kwargs")
    processing = kept if isinstance(kept, dict) else {}
    context = flat.get("context_size")
    bos = flat.get("prepend_bos")
    return SaeConfig(
        kind=kind,
        d_in=d_in,
        d_sae=d_sae,
        d_out=d_out,
        k=float(k) if isinstance(k, int | float) else 0,
        normalisation=normalisation,
        unscaled=unscaled,
        subtracts_b_dec=subtracts,
        flattens_heads=hook.endswith("hook_z") or flat.get("reshape_activations") == "hook_z",
        centred=bool(processing.get("center_writing_weights"))
        and any(_site_name(place) in CENTRED_SITES for place in (hook, hook_out)),
        folded_value_biases=bool(processing.get("fold_value_biases")) and hook.endswith("hook_z"),
        model=str(flat.get("model_name") or ""),
        hook=hook,
        hook_out=hook_out or (hook if is_transcoder else ""),
        skip="W_skip" in shapes,
        prepends_bos=bos if isinstance(bos, bool) else None,
        context=context if isinstance(context, int) else 0,
        generation=str(flat.get("sae_lens_version") or ""),
    )


def written_config(config: SaeConfig) -> dict[str, Any]:
    """`cfg.json` in SAELens' shape, of weights whose scale and decoder norms are folded as reading folds them."""
    base = {kind: name for name, (kind, transcoder) in ARCHITECTURES.items() if not transcoder}[config.kind]
    if config.kind in ("batchtopk", "matryoshka"):
        base = "jumprelu"  # as which SAELens keeps them, each feature with the one threshold
    if config.is_transcoder:
        base = ("jumprelu_" if base == "jumprelu" else "") + ("skip_" if config.skip else "") + "transcoder"
    processing = {"center_writing_weights": True} if config.centred else {}
    processing |= {"fold_value_biases": True} if config.folded_value_biases else {}
    metadata = {
        "sae_lens_version": WRITTEN_AS,
        "sae_lens_training_version": config.generation or None,
        "model_name": config.model,
        "hook_name": config.hook,
        "hook_name_out": config.hook_out or None,
        "model_from_pretrained_kwargs": processing,
        "prepend_bos": config.prepends_bos,
        "context_size": config.context or None,
        "workbench_kind": config.kind,
        "workbench_k": config.k,
    }
    written = {
        "architecture": base,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": config.subtracts_b_dec,
        "normalize_activations": "expected_average_only_in" if config.unscaled else config.normalisation,
        "reshape_activations": "hook_z" if config.flattens_heads else "none",
        "metadata": {name: value for name, value in metadata.items() if value not in (None, "")},
    }
    if base == "topk":
        written |= {"k": int(config.k), "rescale_acts_by_decoder_norm": False}
    return written | ({"d_out": config.d_out} if config.is_transcoder else {})


def scale_of(raw: Mapping[str, Any]) -> float:
    """The factor that cfg.json gives for its activations; 1 where it gives none."""
    if raw.get("normalize_activations") != "constant_scalar_rescale":
        return 1.0
    factor = raw.get("activation_normalization_factor", 1.0)
    return float(factor) if isinstance(factor, int | float) else float("nan")


def rescales_by_decoder_norm(raw: Mapping[str, Any]) -> bool:
    """Pre-activations count times the norm of their decoder row; what SAELens keeps for inference has it folded in."""
    return bool(raw.get("rescale_acts_by_decoder_norm"))


def _flat(raw: Mapping[str, Any]) -> dict[str, Any]:
    """All keys in one, by their newest names; ours win where a folder was written by this program."""
    metadata = raw.get("metadata")
    both = {**(metadata if isinstance(metadata, dict) else {}), **{k: v for k, v in raw.items() if k != "metadata"}}
    flat = {_RENAMED.get(name, name): value for name, value in both.items()}
    kind = flat.get("workbench_kind")
    if kind in ("batchtopk", "matryoshka") and flat.get("architecture") == "jumprelu":
        flat["architecture"] = "matryoshka_batchtopk" if kind == "matryoshka" else kind
    if "k" not in flat and "workbench_k" in flat:
        flat["k"] = flat["workbench_k"]
    return flat


def _hook(flat: Mapping[str, Any], name: str) -> str:
    """Early configurations leave the layer open: `blocks.{layer}.hook_resid_pre`."""
    return str(flat.get(name) or "").replace("{layer}", str(flat.get("hook_layer", "{layer}")))


def _site_name(hook: str) -> str:
    return site_of(hook).rpartition(".")[2]


def _widths(shapes: Mapping[str, tuple[int, ...]], source: str) -> tuple[int, int, int]:
    """d_in, d_sae and d_out of W_enc [d_in, d_sae] and W_dec [d_sae, d_out]. Raises UserError."""
    for name in ("W_enc", "W_dec"):
        if name not in shapes:
            there = ", ".join(sorted(shapes)) or "nothing"
            raise UserError(f"{source} has no {name}: it holds {there}")
        if len(shapes[name]) != 2 or 0 in shapes[name]:
            raise UserError(f"{source}: {name} has shape {list(shapes[name])}, a matrix is needed")
    d_in, d_sae = shapes["W_enc"]
    rows, d_out = shapes["W_dec"]
    if rows != d_sae:
        raise UserError(
            f"{source}: W_enc is {d_in} × {d_sae} and W_dec {rows} × {d_out}: W_enc [d_in, d_sae] and "
            f"W_dec [d_sae, d_in] are needed (one of them is transposed, or from another SAE)"
        )
    return d_in, d_sae, d_out


def _normalisation(said: Any, source: str) -> tuple[Normalisation, bool]:
    """How activations are normalised, and whether by a factor that is not known. Early configurations say on or off."""
    if said in (None, False, "none", "constant_scalar_rescale"):
        return "none", False
    if said in (True, "expected_average_only_in"):
        return "none", True
    if said in get_args(Normalisation):
        normalisation: Normalisation = said
        return normalisation, False
    raise UserError(
        f"{source} normalises activations by {quoted(str(said))}: what is read is none, layer_norm, "
        f"constant_norm_rescale, constant_scalar_rescale and expected_average_only_in; fold it into the weights first"
    )
