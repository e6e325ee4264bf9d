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
from workbench.lab.batches import Work, rows_at_once, token_bytes
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.loading import wrap
from workbench.lab.memory import estimate
from workbench.lab.model import Lab

LENGTH = 256
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
SAID: dict[Work, str] = {
    "forward": "`predict`, `effect` of a set, `steer`",
    "last": "`sweep`, `why`, `patch`, `refusal`",
    "gradients": "the estimates of `why` and `sweep`",
    "generation": "`generate`, `arms`",
}


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
            yield Row(model, work, at_once * longest * token_bytes(lab.model, longest, work), counting.peak)


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
