"""Where a direction comes from: two sets of prompts whose means differ by it, as its file may say.

What comes with a direction names them (`workbench.artifacts.direction`): the same prompts with shuffled labels then
give the direction's controls (METHODS, "Controls").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from workbench.errors import UserError
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.chat_template import DEFAULT_SYSTEM
from workbench.lab.forward import run_forward
from workbench.lab.loaded import Model
from workbench.model_info import ModelInfo
from workbench.statistics import balanced_shuffles
from workbench.units import Site, parse_unit


@dataclass(frozen=True)
class Contrast:
    """Two sets of prompts, and where they are compared."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    site: Site
    position: int = -1
    """from the end of each prompt"""
    chat: bool = False
    system: str = DEFAULT_SYSTEM
    """of the chat template: `default`, `none` or its text"""


def read_contrast(name: str, metadata: Mapping[str, str], info: ModelInfo) -> Contrast | None:
    """What came with the direction `@name`; None where it names no prompts. Raises UserError for half of it."""
    if not {"positive", "negative", "site"} & set(metadata):
        return None
    try:
        sets = [tuple(json.loads(metadata[key])) for key in ("positive", "negative")]
        site = parse_unit(metadata["site"], info)
        position = int(metadata.get("position", -1))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"@{name} names its prompts only in part ({error}): its file's metadata wants positive and negative, JSON "
            f"lists of prompts, and site, for example L14.resid_pre"
        ) from None
    if not isinstance(site, Site) or site.name not in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"):
        raise UserError(f"@{name}: {metadata['site']} is no site of the stream, for example L14.resid_pre")
    if min(map(len, sets)) < 2 or position >= 0 or not all(isinstance(text, str) for texts in sets for text in texts):
        raise UserError(f"@{name}: two or more prompts of each kind are wanted, and a position from the end (-1)")
    return Contrast(
        sets[0], sets[1], site, position, metadata.get("chat") == "true", metadata.get("system", DEFAULT_SYSTEM)
    )


def compared_states(model: Model, contrast: Contrast) -> torch.Tensor:
    """The site at the compared token of every prompt, positive ones first, float64 [prompt, d_model]."""
    prompts = [
        model.tokens.prompt(text, contrast.chat, contrast.system) for text in (*contrast.positive, *contrast.negative)
    ]
    short = next((prompt for prompt in prompts if len(prompt) < -contrast.position), None)
    if short is not None:
        raise UserError(f"the prompt {short.text!r} has no token {contrast.position} to compare")
    vectors = []
    for batch in batches(prompts, rows_at_once(model, max(map(len, prompts)), "forward"), model=model):
        with batch:
            passed = run_forward(model, batch.rows, capture=[contrast.site], keep=None)
            positions = torch.tensor([len(prompt) + contrast.position for prompt in batch.rows])
            vectors.append(passed.captured[contrast.site][torch.arange(len(positions)), positions].cpu().double())
    return torch.cat(vectors)


def mean_difference(states: torch.Tensor, positive: np.ndarray) -> torch.Tensor:
    """mean(positive) − mean(others) of states [prompt, d_model]; `positive` is bool [prompt]."""
    mask = torch.from_numpy(positive)
    return states[mask].mean(0) - states[~mask].mean(0)


def shuffled_differences(
    model: Model, contrast: Contrast, direction: np.ndarray, n: int, random: np.random.Generator
) -> list[torch.Tensor]:
    """`n` mean differences of the same prompts with shuffled labels, float32 [d_model] each.

    Raises UserError where the named prompts do not give the direction itself.
    """
    states = compared_states(model, contrast)
    labels = np.arange(len(states)) < len(contrast.positive)
    difference = mean_difference(states, labels).numpy()
    cosine = float(difference @ direction / (np.linalg.norm(difference) * np.linalg.norm(direction) + 1e-30))
    if cosine < 0.99:
        raise UserError(
            f"the prompts that came with the direction differ along another direction (cosine {cosine:.2f}): "
            f"there are no controls with shuffled labels"
        )
    shuffled = balanced_shuffles(labels, np.zeros(len(labels), np.int64), n, random)
    return [mean_difference(states, row).float() for row in shuffled]
