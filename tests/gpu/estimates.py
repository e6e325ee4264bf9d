"""The memory that is said to be taken, beside what is counted with tensors that hold no numbers. No GPU is needed.

    python -m tests.gpu.estimates [MODEL …]

Models of real shapes in bfloat16: what lies on the device once TransformerLens has wrapped them, and batches of full
size of each kind of work. Prints a table; exits with 1 where an estimate is off by more than a fifth.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.gpu.checks_memory import TOKENS, WORKS
from tests.gpu.meta import Meta, numbers_made_up
from tests.gpu.models import SHAPES, Subject, named_source, random_llama, random_prompt, tokenizer
from tests.lab.plain import Plain
from workbench.batch_memory import batch_bytes
from workbench.index.format import neurons_of
from workbench.index.memory import block_bytes, weights_bytes
from workbench.lab.batches import rows_at_once
from workbench.lab.effective import EffectiveWeights
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.indexing.accumulate import Accumulators
from workbench.lab.indexing.blocks import blocks
from workbench.lab.indexing.build import default_settings
from workbench.lab.indexing.sources import Neurons
from workbench.lab.indexing.weights import Neighbours, weights_arrays
from workbench.lab.loading import wrap
from workbench.lab.memory import estimate
from workbench.lab.model import Lab
from workbench.lab.passes import run_pass
from workbench.model_info import ModelInfo

LENGTH, LONG = 256, 4096
BLOCK, WEIGHTS_PART = "a block of an index", "the weights part of an index"
LONG_GRADIENTS = f"gradients, one row of {LONG:,} tokens"
TOLERANCE = 0.2
PYTHIA = {
    "vocab_size": 50432,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 16384,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
MODELS = {
    "Llama 1B": SHAPES["1B"],
    "Llama 8B": SHAPES["8B"],
    "Llama 70B": SHAPES["8B"]
    | {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
    "Pythia 6.9B": PYTHIA,
}
SAID: dict[str, str] = {
    "clean": "`predict` without edits",
    "stream": "`direction`",
    LONG_GRADIENTS: "the same",
    BLOCK: "`index`",
    "forward": "`predict`, `effect` of a set, `steer`",
    "last": "`sweep`, `why`, `patch`, `refusal`",
    "gradients": "the estimates of `why` and `sweep`",
    "generation": "`generate`, `arms`",
}


class EveryNeuron(Neurons):
    """Without a weights part, which is in a folder."""

    def __init__(self, info: ModelInfo) -> None:
        self.units = neurons_of(info)


@dataclass
class Row:
    model: str
    what: str
    estimate: int
    """bytes"""
    counted: int

    @property
    def ratio(self) -> float:
        """Of what is counted to the estimate."""
        return self.counted / self.estimate

    @property
    def close(self) -> bool:
        return abs(self.ratio - 1) <= TOLERANCE


def rows(model: str, layers: int | None = None) -> Iterator[Row]:
    """Weights, then each kind of work; of a model of fewer `layers`, where these are given."""
    shape = MODELS[model] if layers is None else {**MODELS[model], "num_hidden_layers": layers}
    with numbers_made_up(), tempfile.TemporaryDirectory() as folder:
        hf = _on_meta(shape)
        n_parameters = sum(parameter.numel() for parameter in hf.parameters())
        source = named_source(Path(folder) / "model", shape, "bfloat16")
        with Meta():
            lab = Lab(wrap(hf, tokenizer(shape["vocab_size"]), source))
        checkpoint = Checkpoint(
            folder=source.path,
            config=hf.config.to_dict(),
            weights=[],
            n_parameters=n_parameters,
            dtype="bfloat16",
            size=0,
        )
        yield Row(model, "weights", estimate(checkpoint, "cuda", "bfloat16").weights, _bytes(lab.model.bridge))
        prompt = random_prompt(shape["vocab_size"], LENGTH)
        subject = Subject(model, lab, Plain(hf), prompt, torch.empty(0))
        for work, run_work in WORKS.items():
            longest = LENGTH + (TOKENS if work == "generation" else 0)
            at_once = rows_at_once(lab.model, longest, work)
            lab.model.clean.clear()
            with Meta() as counting:
                run_work(subject, LENGTH, at_once)
            yield Row(model, work, batch_bytes(lab.info, at_once, longest, work), counting.peak)
        if layers is None:  # the first layer keeps nothing for gradients: of few layers too much of what is counted
            lab.model.clean.clear()
            with Meta() as counting:
                WORKS["gradients"](subject, LONG, 1)
            yield Row(model, LONG_GRADIENTS, batch_bytes(lab.info, 1, LONG, "gradients"), counting.peak)
        lab.model.clean.clear()
        with Meta() as counting:
            next(weights_arrays(lab.model))
            Neighbours(EffectiveWeights(lab.model).stacked("out")).add(0)
        yield Row(model, WEIGHTS_PART, weights_bytes(lab.info), counting.peak)
        yield _block(model, lab)


def _block(model: str, lab: Lab) -> Row:
    """Of an index: a full block, whose rows are all of it that a top list can hold."""
    info = lab.info
    settings, source = default_settings(info, LENGTH, 20, explain=False), EveryNeuron(info)
    documents = ((number, random_prompt(info.d_vocab, 2 * LENGTH, number).ids) for number in range(1000))
    _, block = next(blocks(documents, settings, None, lab.model.rotations.switches(1, LENGTH)))
    accumulators = Accumulators(source.units, settings, 0, torch.device("meta"))
    with Meta() as counting:
        tensors = accumulators.begin_block(block, [])

        def add(layer: int, activation: torch.Tensor) -> None:
            accumulators.layer(layer, activation, tensors, lambda *_: None)

        hooks = source.hooks(0, add, lambda part, activation: accumulators.keep_part(part, activation, tensors))
        run_pass(lab.model, torch.from_numpy(block.ids).to("meta"), head=None, watch=hooks)
        accumulators.end_block(lambda *_: None)
    return Row(model, BLOCK, block_bytes(source.units, settings, info, len(block.ids), 0), counting.peak)


def _on_meta(shape: dict[str, Any]) -> Any:
    """The Hugging Face model of a shape, without numbers."""
    import transformers

    if "num_key_value_heads" in shape:
        return random_llama(shape, torch.bfloat16, "meta")
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.GPTNeoXConfig(**shape), dtype=torch.bfloat16, attn_implementation="eager"
        )
    return model.eval()


def _bytes(module: Any) -> int:
    """Of all parameters and buffers, each memory once."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def main(arguments: Sequence[str]) -> int:
    unknown = [name for name in arguments if name not in MODELS]
    if unknown:
        print(f"there is no model {unknown[0]!r}: there are {', '.join(MODELS)}", file=sys.stderr)
        return 2
    print("| model, bfloat16 | what | said | counted | counted / said |\n|---|---|---|---|---|")
    close = True
    for name in arguments or MODELS:
        for row in rows(name):
            what = f"{row.what}: {SAID[row.what]}" if row.what in SAID else row.what
            said, counted = (f"{number / 2**30:,.1f} GiB" for number in (row.estimate, row.counted))
            print(f"| {name} | {what} | {said} | {counted} | {row.ratio:.2f} |", flush=True)
            close = close and row.close
    return 0 if close else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
