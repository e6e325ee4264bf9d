"""From a folder to a checked TransformerBridge with raw Hugging Face numerics."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.applying import PassLayout
from workbench.lab.batches import is_out_of_memory
from workbench.lab.complete import check_complete
from workbench.lab.contributions import measure_gains
from workbench.lab.finding.fingerprint import fingerprint_cached
from workbench.lab.finding.identity import Identity
from workbench.lab.finding.placement import place
from workbench.lab.finding.source import ModelSource
from workbench.lab.finding.tokenizer import read_tokenizer
from workbench.lab.finite import NotFinite
from workbench.lab.forward import run_forward
from workbench.lab.key_values import cache_problem, hand_cache_on
from workbench.lab.loaded import Model
from workbench.lab.passes import read_out, run_pass
from workbench.lab.progress import StageListener
from workbench.lab.prompts import Prompt, Tokenization
from workbench.lab.rotations import SHORTEST, Rotations, rotary_calls
from workbench.lab.sites import SiteMap
from workbench.lab.spread import device_map, layers_on, send_to_blocks
from workbench.lab.supported import check_layers, check_supported, embedded_tokens
from workbench.lab.tail import Tail
from workbench.lab.trace import restart_problem
from workbench.lab.wrappers import Wrappers
from workbench.model_info import LayersOn, ModelInfo
from workbench.units import Site

CHECKED_TEXT = "The quick brown fox jumps over the lazy dog."


def load_model(source: ModelSource, device: str, dtype: str, progress: StageListener) -> Model:
    """Load the checkpoint of `source`. Raises UserError where it can't be."""
    progress("importing", "importing the model libraries", None, None)
    with _quiet():
        import transformer_lens.model_bridge  # noqa: F401  slow, and part of this stage
        import transformers
        from accelerate.hooks import remove_hook_from_submodules

        placement = place(source, device, dtype)
        torch_dtype = getattr(torch, placement.dtype)
        progress("loading", f"loading {source.name}", None, None)
        torch.set_float32_matmul_precision("highest")  # no TF32, whatever the environment says
        with _trips_refused(source.name):  # before the tokenizer, which reads it too
            transformers.AutoConfig.from_pretrained(source.path, local_files_only=True)
        tokenizer = read_tokenizer(source)
        with _trips_refused(source.name):
            hf, loading_info = transformers.AutoModelForCausalLM.from_pretrained(
                source.path,
                dtype=torch_dtype,
                attn_implementation="eager",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are listed in loading_info and refused by name below
                # Straight to a GPU: the machine's memory need not hold it.
                device_map=device_map(source.path, placement),
            )
            remove_hook_from_submodules(hf)  # `spread.send_to_blocks` does what they do, for the bridge too
        remarks = check_complete(source.name, dict(hf.named_buffers()), loading_info)
    model = wrap(hf, tokenizer, source)
    model.remarks[:0] = [*filter(None, [placement.remark]), *remarks]
    return model


@contextmanager
def _trips_refused(name: str) -> Iterator[None]:
    """A config that is wrong can trip over anything. Raises UserError for it."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{name} can't be loaded: {_first_line(error)}") from error


def wrap(hf: Any, tokenizer: Any, source: ModelSource) -> Model:
    """A checked model of a Hugging Face model, in its own type and on its own device, and its tokenizer.

    `source` says what it is called. Raises UserError where it has no units of ours.
    """
    from transformer_lens.model_bridge import TransformerBridge

    n_parameters = sum(parameter.numel() for parameter in hf.parameters())
    hf = hf.eval().requires_grad_(False)
    with _quiet():
        try:
            bridge = TransformerBridge.boot_transformers(
                str(source.path), hf_model=hf, tokenizer=_dummy_tokenizer(), device=hf.device, dtype=hf.dtype
            )
        except Exception as error:
            raise UserError(_not_wrapped(source.name, hf, error)) from error
    check_layers(source.name, bridge, hf)
    for module in bridge.modules():
        # Without this, GPT-2's norms are computed step by step, and the last bits are not Hugging Face's.
        if hasattr(module, "use_native_layernorm_autograd"):
            module.use_native_layernorm_autograd = True
    hand_cache_on(bridge)
    sites = SiteMap(bridge)
    spread = layers_on(bridge, hf.device)
    if spread:
        sites.home = hf.device
        send_to_blocks(bridge, hf.device)
    check_supported(source.name, bridge, hf, sites)
    tokens = Tokenization(tokenizer, int(bridge.cfg.n_ctx), source.name, embedded_tokens(hf))
    model = Model(
        bridge,
        hf,
        tokens,
        sites,
        Tail(bridge, hf.config),
        _info(source, bridge, hf, sites, tokens, n_parameters, spread),
        _stop_ids(hf, tokenizer),
        Identity(source),
    )
    model.remarks += _check(model)
    model.rotations = _rotations(model)
    problem = cache_problem(model, torch.from_numpy(_checked_ids(model)))
    if problem:
        model.caches = False
        model.remarks.append(problem)
    problem = restart_problem(model, model.tokens.prompt(CHECKED_TEXT))
    if problem:
        model.restarts = False
        model.remarks.append(problem)
    model.wrappers = _wrappers(model)
    return model


def _checked_ids(model: Model) -> np.ndarray:
    """int64 [position]"""
    return model.tokens.prompt(CHECKED_TEXT).ids[: model.info.n_ctx]


def _wrappers(model: Model) -> Wrappers:
    """The bridge's, where passes without them give the same bits; none where they do not."""
    ids = torch.from_numpy(_checked_ids(model)).to(model.hf.device)[None]
    wrappers = Wrappers(model.bridge)

    def logits() -> list[torch.Tensor]:
        """Of a whole pass, and of one step behind a cache."""
        passes = [run_pass(model, ids, checked=False)]
        if model.caches and ids.shape[1] > 1:
            past = run_pass(model, ids[:, :-1], use_cache=True, checked=False).past
            layout = PassLayout((ids.shape[1] - 1,), model.info.n_heads, ids.shape[1] - 1)
            passes.append(run_pass(model, ids, layout=layout, use_cache=True, past=past, checked=False))
        return [passed.logits for passed in passes if passed.logits is not None]

    wrapped = logits()
    model.wrappers = wrappers
    try:
        same = all(map(torch.equal, wrapped, logits()))
    except Exception as error:  # whatever a module needs its wrapper for
        if is_out_of_memory(error):
            raise
        same = False
    return wrappers if same else Wrappers()


def _rotations(model: Model) -> Rotations:
    ids = torch.from_numpy(_checked_ids(model)).to(model.hf.device)
    with rotary_calls(model.hf) as calls:
        run_pass(model, ids[None, :SHORTEST], checked=False)
    return Rotations(calls, model.info.n_ctx)


def _not_wrapped(name: str, hf: Any, error: Exception) -> str:
    if "supported architecture" in str(error):  # its message lists two hundred others
        return (
            f"TransformerLens here does not know {name}'s architecture, {type(hf).__name__}: a newer one may, "
            f"else open another model"
        )
    return f"TransformerLens can't wrap {name} ({type(hf).__name__}): {_first_line(error)}"


def _dummy_tokenizer() -> Any:
    """A tokenizer of one word for the bridge, which would load the real one again with another BOS, and change it."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))


def _info(
    source: ModelSource,
    bridge: Any,
    hf: Any,
    sites: SiteMap,
    tokens: Tokenization,
    n_parameters: int,
    spread: tuple[LayersOn, ...],
) -> ModelInfo:
    config, n_layers = bridge.cfg, len(bridge.blocks)
    return ModelInfo(
        name=source.name,
        ref=source.ref,
        fingerprint=fingerprint_cached(source) or "",
        architecture=type(hf).__name__,
        device=str(hf.device),
        spread=spread,
        dtype=str(hf.dtype).removeprefix("torch."),
        n_layers=n_layers,
        n_heads=int(config.n_heads),
        n_kv_heads=int(getattr(config, "n_key_value_heads", None) or config.n_heads),
        d_model=int(config.d_model),
        d_head=int(config.d_head),
        d_mlp=int(bridge.blocks[0].mlp.W_out.shape[0]),
        d_vocab=int(hf.get_output_embeddings().weight.shape[0]),
        n_ctx=int(config.n_ctx),
        n_parameters=n_parameters,
        gated_mlp=Site(0, "mlp_pre_linear") in sites,
        parallel_blocks=Site(0, "resid_mid") not in sites,
        post_norm=hasattr(bridge.blocks[0], "ln1_post"),
        chat_template=tokens.chat.exists,
        bos_token=tokens.bos_token,
    )


def _stop_ids(hf: Any, tokenizer: Any) -> frozenset[int]:
    ids: set[int] = set()
    for value in (hf.generation_config.eos_token_id, hf.config.eos_token_id, tokenizer.eos_token_id):
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return frozenset(ids)


def _check(model: Model) -> list[str]:
    """What a short text shows of the bridge: each sentence is something that does not hold for this model."""
    ids = _checked_ids(model)
    prompt = Prompt(CHECKED_TEXT, ids, [""] * len(ids), None, False)
    names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    captured_sites = [Site(layer, name) for layer in range(model.info.n_layers) for name in names]
    missing = [site for site in captured_sites if site not in model.sites]
    if missing:
        return [f"this model has no {missing[0]}: what its blocks add to the stream was not checked"]
    try:
        remarks = measure_gains(model, torch.from_numpy(ids))
        clean = run_forward(model, [prompt], capture=captured_sites)
    except NotFinite as error:
        return [f"on the text of the check at load {error}"]
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        model_name = f"{model.info.name} ({model.info.architecture})"
        raise UserError(f"TransformerLens can't run {model_name}: {_first_line(error)}") from error
    tolerance = 1e-4 if model.hf.dtype == torch.float32 else 5e-2
    for layer in range(model.info.n_layers):
        pre, attn, mlp, post = (clean.captured[Site(layer, name)].float() for name in names)
        gap = float(((pre + attn + mlp) - post).norm() / post.norm())
        if not gap <= tolerance:
            remarks.append(
                f"layer {layer}: resid_pre + attn_out + mlp_out is not resid_post (off by {gap:.1%} of its norm): "
                f"attn_out and mlp_out are not all that this model adds to the stream, so dla, head norms and controls "
                f"of the same distance miss a part"
            )
            break
    assert clean.logits is not None
    stream, logits = clean.captured[Site(model.info.n_layers - 1, "resid_post")], clean.logits.float()
    with torch.inference_mode():
        linear = model.tail(stream)
    if not torch.allclose(read_out(model, stream).float(), logits, rtol=tolerance, atol=tolerance):
        remarks.append("the logit lens' last row is not this model's logits: something stands between them")
    if not torch.allclose(linear.float(), logits, rtol=tolerance, atol=tolerance):
        model.ends_in_unembedding = False
        remarks.append(
            "this model's logits are not one matrix times the final norm of the stream: what dla sums is no logit"
        )
    return remarks


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries' own progress bars and warnings are not for our users' terminals."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"its files name {error}, which transformers does not know"
    first, *rest = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
