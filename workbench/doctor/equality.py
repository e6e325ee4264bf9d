"""Whether our forward pass is the Hugging Face model's, measured: clean, and under edits, on one device and dtype.

Run as a process of its own (`python -m workbench.doctor.equality MODEL DEVICE DTYPE`); prints one line of JSON. The
other side of each comparison is written with plain PyTorch hooks on a model that nothing of ours has touched.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from workbench.errors import UserError

TEXT = "The capital of France is Paris, and the capital of Germany is"
NEURON_VALUE = 3.0
HEAD_FACTOR = 2.0


class Equality(msgspec.Struct, frozen=True, kw_only=True):
    """Largest absolute differences of the logits over all positions; none where they could not be measured."""

    model: str
    device: str
    dtype: str
    clean: float | None = None
    """our clean pass against `model(input_ids).logits`"""
    neuron: float | None = None
    """a neuron set, ours against a hook before the MLP's output matrix"""
    head: float | None = None
    """a head scaled, ours against a hook before the attention's output matrix"""
    floor: float | None = None
    """that model alone against itself as one row of two: what kernels for other shapes change"""
    effect: float | None = None
    """how much the neuron edit changes the logits at all: an edit that does nothing would be equal too"""
    edits: list[str] = []
    problem: str = ""

    @property
    def fine(self) -> bool:
        """Clean is exact; edits agree to 1e-5 in float32, to rounding (1 %) below.

        On a GPU, where a product may be computed by another kernel than the plain model's, to twice the floor.
        """
        if self.clean is None or self.neuron is None or self.head is None or not self.effect:
            return False
        rounding = 0.0 if self.device == "cpu" else 2 * (self.floor or 0.0)
        limit = 1e-5 if self.dtype == "float32" else 1e-2 * max(1.0, self.effect)
        return self.clean <= rounding and max(self.neuron, self.head) <= max(limit, rounding)


def measure(model: str, device: str, dtype: str) -> Equality:
    """Loads the model twice, one after the other. Raises UserError where it can't be loaded."""
    import torch

    from workbench.edits import parse_edit
    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab

    source = resolve(model)
    lab = load_lab(source, device, dtype)
    info = lab.info
    layer = info.n_layers // 2
    neuron, head = info.d_mlp // 3, info.n_heads // 2
    texts = [f"L{layer}.N{neuron}={NEURON_VALUE:g}", f"L{layer}.H{head}*={HEAD_FACTOR:g}"]
    prompt = lab.prompt(TEXT)
    ours = [_logits(lab.forward(prompt, edits)) for edits in ([], *([parse_edit(text, info)] for text in texts))]
    ids = torch.as_tensor(prompt.ids)[None]
    info = lab.info
    del lab
    gc.collect()
    hf = _hf_model(source.path, info.device, info.dtype)
    mlp_matrix = _output_matrix(hf, layer, info.n_layers, info.d_mlp, info.d_model, "mlp")
    attention_matrix = _output_matrix(hf, layer, info.n_layers, info.n_heads * info.d_head, info.d_model, "att")
    columns = slice(head * info.d_head, (head + 1) * info.d_head)

    def set_neuron(x: Any) -> None:
        x[..., neuron] = NEURON_VALUE

    def scale_head(x: Any) -> None:
        x[..., columns] *= HEAD_FACTOR

    twice = _run(hf, ids.expand(2, -1))
    theirs = [_run(hf, ids), _run(hf, ids, mlp_matrix, set_neuron), _run(hf, ids, attention_matrix, scale_head)]
    differences = [
        float((our_logits - plain_logits).abs().max()) for our_logits, plain_logits in zip(ours, theirs, strict=True)
    ]
    return Equality(
        model=info.name,
        device=info.device,
        dtype=info.dtype,
        clean=differences[0],
        neuron=differences[1],
        head=differences[2],
        floor=float((theirs[0] - twice).abs().max()),
        effect=float((theirs[1] - theirs[0]).abs().max()),
        edits=texts,
    )


def _logits(forward: Any) -> Any:
    """float32 [position, vocabulary] on the CPU."""
    return forward.logits[0].float().cpu()


def _hf_model(path: Any, device: str, dtype: str) -> Any:
    import torch
    import transformers

    hf = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=getattr(torch, dtype), attn_implementation="eager", use_safetensors=True, local_files_only=True
    )
    return hf.to(device).eval()


def _output_matrix(hf: Any, layer: int, n_layers: int, n_in: int, n_out: int, part: str) -> Any:
    """The module of block `layer` that maps `n_in` to `n_out` within `part` (mlp, att)."""
    import torch

    blocks = next(
        module for module in hf.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers
    )
    candidates = []
    for name, module in blocks[layer].named_modules():
        weight = getattr(module, "weight", None)
        if weight is None or weight.ndim != 2 or part not in name.lower():
            continue
        rows, columns = weight.shape
        shape = (columns, rows) if isinstance(module, torch.nn.Linear) else (rows, columns)  # GPT-2's is [in, out]
        if shape == (n_in, n_out):
            candidates.append((name, module))
    # query, key and value matrices may have the same shape: the output matrix comes last
    if not candidates:
        raise UserError(f"no matrix of {n_in} × {n_out} was found in block {layer}: edits cannot be compared here")
    return candidates[-1][1]


def _run(hf: Any, ids: Any, module: Any = None, change: Callable[[Any], None] | None = None) -> Any:
    """Logits, float32 [position, vocabulary] on the CPU; `change` acts on a copy of the module's input."""
    import torch

    def hook(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x = inputs[0].clone()
        assert change is not None
        change(x)
        return (x, *inputs[1:])

    handle = module.register_forward_pre_hook(hook) if module is not None else None
    try:
        with torch.inference_mode():
            return hf(input_ids=ids.to(hf.device), use_cache=False).logits[0].float().cpu()
    finally:
        if handle:
            handle.remove()


def main(model: str, device: str, dtype: str) -> None:
    try:
        equality = measure(model, device, dtype)
    except UserError as error:
        equality = Equality(model=model, device=device, dtype=dtype, problem=str(error))
    print(msgspec.json.encode(equality).decode())  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:4])
