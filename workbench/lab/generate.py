"""Generation token by token, greedy or sampled, with the key-value cache, under edits.

Each step is one pass with its hooks, so edits act on the prompt and on every generated position. Sampling draws on
the processor from a generator of its own: the same seed gives the same tokens on every device with equal logits.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from workbench.lab import metrics
from workbench.lab.applying import Pass, edit_hooks
from workbench.lab.editing import Plan
from workbench.lab.forward import hooked
from workbench.lab.prompts import Prompt, Tokenization
from workbench.lab.sites import SiteMap


@dataclass(frozen=True)
class Generated:
    """One generated token."""

    id: int
    token: str
    text: str
    """all that was generated so far, as text; a character that is not whole yet is left out"""
    log_prob: float
    """nats, under the model's own distribution (temperature 1), given all before it"""
    end: str
    """why this is the last token: `the model ended` or `the context is full`; empty where it is not"""


def run_generation(
    hf: Any,
    sites: SiteMap,
    tokens: Tokenization,
    prompt: Prompt,
    plan: Plan,
    *,
    n_heads: int,
    n_ctx: int,
    stop_ids: frozenset[int],
    temperature: float,
    top_k: int,
    seed: int,
    use_cache: bool,
    check: Callable[[], None] | None,
) -> Iterator[Generated]:
    """Tokens that follow `prompt`, without end: the caller stops, or the model does.

    temperature 0 is greedy; top_k 0 samples from the whole vocabulary.
    """
    random = torch.Generator().manual_seed(seed)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
    ids = torch.from_numpy(prompt.ids).to(hf.device)[None]
    cache: Any = None
    start, text = 0, ""
    while True:
        if check is not None:
            check()
        hooks = edit_hooks([plan], Pass((len(prompt),), n_heads, start))
        with torch.inference_mode(), hooked(sites, hooks, check=check):
            if use_cache:
                step = hf(input_ids=ids[:, start:], past_key_values=cache, use_cache=True)
                cache, start = step.past_key_values, ids.shape[1]
            else:
                step = hf(input_ids=ids, use_cache=False)
            logp = metrics.log_probs(step.logits[0, -1])
            chosen = _choose(logp, temperature, top_k, random)
            log_prob = float(logp[chosen])
        text += decoder.decode(b"" if chosen in stop_ids else tokens.piece(chosen))
        end = "the model ended" if chosen in stop_ids else "the context is full" if ids.shape[1] + 1 >= n_ctx else ""
        yield Generated(chosen, tokens.token(chosen), text, log_prob, end)
        if end:
            return
        ids = torch.cat([ids, torch.tensor([[chosen]], device=ids.device)], dim=1)


def _choose(logp: torch.Tensor, temperature: float, top_k: int, random: torch.Generator) -> int:
    if temperature == 0:
        return int(logp.argmax())
    scaled = logp.cpu() / temperature
    if 0 < top_k < len(scaled):
        scaled[scaled < scaled.topk(top_k).values[-1]] = -torch.inf
    return int(torch.multinomial(torch.softmax(scaled, dim=-1), 1, generator=random))
