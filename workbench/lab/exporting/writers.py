"""Which tensors of a checkpoint write into the stream, and along which axis.

Nothing is known by its name: the embeddings are the modules that look up vectors as wide as the stream, and what
attention and the MLP of a layer write with is the parameter of its block that equals W_O or W_out, or its transpose.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from workbench.errors import UserError
from workbench.lab.added import writer
from workbench.lab.exporting.weight_edits import WeightEdits
from workbench.lab.loaded import Model
from workbench.lab.norms import norm_map
from workbench.units import Site

ROLES = {"z": "attention outputs", "mlp_post": "MLP outputs"}
_WRAPPER = "_original_component."
"""what TransformerLens puts into the names of modules that it wraps"""


@dataclass(frozen=True)
class StreamWriter:
    """A tensor that writes into the stream."""

    role: str
    """in words: `attention outputs`"""
    site: Site | None = None
    """z or mlp_post, whose entries its rows are of; None for embeddings and biases"""
    stream_first: bool = False
    """[d_model, …] as torch's Linear has it; else [… , d_model] (embeddings, GPT-2's Conv1D)"""
    norm: Any = None
    """the norm between it and the stream, None where there is none"""


def checkpoint_tensors(model: Model) -> dict[str, torch.Tensor]:
    """All tensors by the names that a checkpoint of the model's class has. Raises UserError where that is not known."""
    import transformers

    try:
        with torch.device("meta"):
            unwrapped = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(model.hf.config))
        expected = unwrapped.state_dict()
    except Exception as error:  # whatever an architecture's code trips over without weights
        raise UserError(f"{model.info.architecture} can't be written: its names are not known ({error})") from error
    tensors = {name.replace(_WRAPPER, ""): tensor for name, tensor in model.hf.state_dict(keep_vars=True).items()}
    for name, tensor in expected.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise UserError(f"{model.info.architecture} can't be written: TransformerLens here changes {name}")
    return {name: tensors[name] for name in expected}


def stream_writers(model: Model, tensors: dict[str, torch.Tensor]) -> dict[str, StreamWriter]:
    """Those of `tensors` that write into the stream, by name. Raises UserError where a layer's is no one matrix."""
    writers: dict[str, StreamWriter] = {}
    in_blocks = {id(parameter) for block in model.bridge.blocks for parameter in block.parameters()}
    token_embedding = model.hf.get_input_embeddings().weight.data_ptr()
    head = head_name(model, tensors)
    for module in model.hf.modules():
        if not isinstance(module, torch.nn.Embedding) or module.embedding_dim != model.info.d_model:
            continue
        weight = module.weight
        if id(weight) in in_blocks:
            continue
        role = "token embedding" if weight.data_ptr() == token_embedding else "position embedding"
        for name, tensor in tensors.items():
            if tensor.data_ptr() == weight.data_ptr() and name != head:
                writers[name] = StreamWriter(role)
    for layer, block in enumerate(model.bridge.blocks):
        ids = {id(parameter) for parameter in block.parameters()}
        own = {name: tensor.detach() for name, tensor in tensors.items() if id(tensor) in ids}
        for site_name, role in ROLES.items():
            site = Site(layer, site_name)
            weight, bias, norm = writer(model, site)
            weight_name, stream_first = _find(own, weight)
            if weight_name is None:
                raise UserError(
                    f"what the {role} of layer {layer} are written with is no one matrix of {model.info.name} "
                    f"({model.info.architecture}): edits of it can't be written as weights"
                )
            writers[weight_name] = StreamWriter(role, site, stream_first, norm)
            bias_name = None if bias is None or not bias.any() else _find(own, bias.detach())[0]
            if bias_name is not None:
                writers[bias_name] = StreamWriter(f"biases of {role}", norm=norm)
    return writers


def _find(tensors: dict[str, torch.Tensor], values: torch.Tensor) -> tuple[str | None, bool]:
    """The name of the tensor that equals `values`, and whether it is transposed; none where there is none."""
    for name, tensor in tensors.items():
        if tensor.shape == values.shape and torch.equal(tensor, values):
            return name, False
        if tensor.ndim == 2 and tensor.T.shape == values.shape and torch.equal(tensor.T, values):
            return name, True
    return None, False


def head_name(model: Model, tensors: dict[str, torch.Tensor]) -> str | None:
    """The unembedding's name where it is one tensor with the token embedding; None where it is not."""
    embedding, unembedding = model.hf.get_input_embeddings().weight, model.hf.get_output_embeddings().weight
    if embedding.data_ptr() != unembedding.data_ptr():
        return None
    modules = {module: name for name, module in model.hf.named_modules(remove_duplicate=False)}
    name = f"{modules[model.hf.get_output_embeddings()]}.weight".replace(_WRAPPER, "")
    return name if name in tensors else None


def changed(
    tensor: torch.Tensor, into_stream: StreamWriter, edits: WeightEdits, d_head: int, d_model: int
) -> torch.Tensor:
    """A writer's tensor under the edits, in its own type; computed in float32.

    Heads and neurons are rows of what is written with. A direction is projected out of what reaches the stream: with
    a norm of gain γ on the way, of what is along γ ⊙ r̂ (METHODS, "Refusal").
    """
    work = tensor.detach().to(torch.float32, copy=True)
    rows = work.T if into_stream.stream_first else work  # [… , d_model], and a view
    for index, factor in edits.factors.get(into_stream.site, {}).items() if into_stream.site else ():
        width = d_head if into_stream.site is not None and into_stream.site.name == "z" else 1
        rows[index * width : (index + 1) * width] *= factor
    if edits.directions:
        directions = edits.matrix.to(work.device)
        if into_stream.norm is not None:
            directions = norm_map(into_stream.norm, d_model, work.device).pull_back(directions).float()
        for direction in torch.linalg.qr(directions.T.cpu().double()).Q.T.float().to(work.device):
            component = rows @ direction
            if rows.ndim == 1:
                rows -= component * direction
            else:
                rows.addr_(component, direction, alpha=-1)
    return work.to(tensor.dtype)
