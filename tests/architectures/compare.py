"""One architecture: made, opened, compared, whatever goes wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers

from tests.architectures.checks import CHECKS, DifferenceError
from tests.architectures.configs import ARCHITECTURES
from tests.architectures.pair import Pair
from tests.architectures.reference import Reference
from tests.lab.labs import source_of
from tests.tiny import tiny_tokenizer
from workbench.errors import UserError
from workbench.lab.model import load_lab


@dataclass
class Result:
    name: str
    model_class: str = ""
    refused: str = ""
    """the sentence at load"""
    remarks: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    """what each comparison found, in the order of the table"""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def verdict(self) -> str:
        return "WRONG" if self.wrong else "refused" if self.refused else "right"


def make(name: str, folder: Path, seed: int = 0) -> str:
    """Write a checkpoint of random weights; the name of its class.

    Matrices get std .2, embeddings .5; what has one axis (norms, biases) is moved from where it begins, so that neither
    ones nor zeros hide that it is used.
    """
    architecture = ARCHITECTURES[name]
    config = getattr(transformers, f"{architecture.kind}Config")(**architecture.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    embeddings = {id(embedding.weight) for embedding in model.modules() if isinstance(embedding, torch.nn.Embedding)}
    embeddings.add(id(model.get_output_embeddings().weight))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
            if parameter.ndim < 2:
                parameter.add_(0.3 * noise)
            else:
                parameter.copy_((0.5 if id(parameter) in embeddings else 0.2) * noise)
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):  # Gemma 4 multiplies the stream with it
                buffer.fill_(0.8)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return type(model).__name__


def compare(name: str, folder: Path) -> Result:
    """Build, open and compare one architecture in an empty folder. Whatever goes wrong is in the result."""
    result = Result(name)
    began = time.monotonic()
    try:
        result.model_class = make(name, folder)
        lab = load_lab(source_of(folder), "cpu", "float32")
    except UserError as sentence:
        result.refused = str(sentence)
    except Exception as error:
        result.wrong.append(f"can't be opened: {_described(error)}")
    else:
        result.remarks = list(lab.remarks)
        try:
            pair = Pair(lab, Reference(folder, ARCHITECTURES[name]))
        except AttributeError as error:
            result.wrong.append(f"it opens, and the reference does not know its modules: {error}")
        else:
            _run_checks(pair, result)
    result.seconds = time.monotonic() - began
    return result


def _run_checks(pair: Pair, result: Result) -> None:
    for check, run in CHECKS.items():
        try:
            result.figures[check] = run(pair)
        except DifferenceError as difference:
            result.wrong.append(f"{check}: {difference}")
        except UserError as sentence:
            result.figures[check] = "refused"
            result.remarks.append(f"no {check}: {sentence}")
        except Exception as error:  # one that fails never stops the others
            result.wrong.append(f"{check}: {_described(error)}")
    result.remarks += pair.remarks


def _described(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def as_data(result: Result) -> dict[str, Any]:
    """For JSON."""
    return {"verdict": result.verdict, **msgspec.to_builtins(result)}
