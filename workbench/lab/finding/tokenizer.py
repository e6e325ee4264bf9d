"""A model's tokenizer and context without the model: labels are aligned and shown with them. No torch of ours."""

from __future__ import annotations

from typing import Any

from workbench.errors import UserError
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.source import ModelSource, resolve
from workbench.lab.progress import StageListener, silent
from workbench.lab.prompts import Tokenization

_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")


def load_tokenization(ref: str, progress: StageListener = silent) -> tuple[Tokenization, int]:
    """Of what `--model` takes, and how many tokens the model reads. Raises UserError where it can't be read."""
    source = resolve(ref, progress)
    config = read_checkpoint(source.path).config
    text_config = config.get("text_config")
    numbers = [
        part[name]
        for part in (config, text_config if isinstance(text_config, dict) else {})
        for name in _CONTEXT
        if isinstance(part.get(name), int)
    ]
    tokenizer = read_tokenizer(source)
    context = numbers[0] if numbers else int(tokenizer.model_max_length)
    return Tokenization(tokenizer, context, source.name), context


def read_tokenizer(source: ModelSource) -> Any:
    """The tokenizer of `source`, of transformers. Raises UserError where its files are wrong."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source.path, local_files_only=True)
    except Exception as error:  # a tokenizer that is wrong can trip over anything
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise UserError(f"the tokenizer of {source.name} can't be loaded: {reason}") from error
