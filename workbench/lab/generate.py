"""Generation token by token, greedy or sampled, with the key-value cache, under edits, many rows at once.

Each step is one pass with its hooks, so edits act on the prompt and on every generated position. Prompts of a batch are
padded on the left: every row's last token is in the last column, positions count from each row's own first token, and
what is padding no token sees. A row that ends leaves the batch. A step waits for the device once, for all that it has
to know of it. Where rotations depend on a row's length, rows that
would be rotated differently at some step go in batches of their own, and the model itself says whether its generation
keeps the cache where they change. What chance adds to a choice is drawn on the processor from a generator of each
row's own, while the device is at the pass: the same seed gives the same tokens in every batch and on every device with
equal logits.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.lab import metrics
from workbench.lab.applying import PassLayout
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.continuation import Continuation, Generated, Row
from workbench.lab.editing import AnyEdit
from workbench.lab.finite import valid_rows
from workbench.lab.loaded import Model
from workbench.lab.model import Lab
from workbench.lab.passes import keeps_cache, not_finite_row, run_pass
from workbench.lab.prompts import Prompt
from workbench.lab.sending import sent


def generate(
    lab: Lab,
    prompt: Prompt,
    edits: Sequence[AnyEdit] = (),
    *,
    temperature: float = 0,
    top_k: int = 0,
    use_cache: bool = True,
) -> Iterator[Generated]:
    """Tokens that follow, one by one, greedy at temperature 0, else drawn with the job's seed."""
    rows = [Row(prompt, lab.plan(edits, chat=prompt.template))]
    choice = Choice(temperature, top_k, lab.seed)
    for (token,) in run_generation(lab.model, rows, choice, lab.info.n_ctx, use_cache):
        assert token is not None, "a row that has ended is not continued"
        yield token


def continue_all(
    lab: Lab,
    rows: Sequence[Row],
    continuations: Sequence[Continuation],
    tokens: int,
    *,
    temperature: float = 0,
    top_k: int = 0,
    size: int = 0,
    group: int = 1,
) -> Iterator[int]:
    """Grows `continuations`, one a row, by up to `tokens` tokens; each time says how many tokens came.

    Rows go in batches of `size` (0: as many as suit this device), which halve when memory runs out: the rows of
    that batch begin anew. Every `group` neighbours, which are compared with each other, stay in one batch while memory
    allows: sums depend on a batch's shape. Progress of the job's report counts `tokens` for every row that is over.
    """
    longest = max((len(row.prompt) for row in rows), default=1) + tokens
    size = size or rows_at_once(lab.model, longest, "generation")
    size = max(group, size - size % group)
    pairs = list(zip(rows, continuations, strict=True))
    choice = Choice(temperature, top_k, lab.seed)
    for batch in batches(pairs, size, lab.report, lab.model, progress_per_row=tokens):
        with batch:
            for _, continuation in batch.rows:
                continuation.clear()
            for step in run_generation(lab.model, [row for row, _ in batch.rows], choice, tokens):
                generated = [
                    (continuation, token) for (_, continuation), token in zip(batch.rows, step, strict=True) if token
                ]
                for continuation, token in generated:
                    continuation.add(token)
                yield len(generated)


@dataclass(frozen=True)
class Choice:
    """How the next token is chosen."""

    temperature: float = 0
    """0 is greedy"""
    top_k: int = 0
    """0 draws from the whole vocabulary"""
    seed: int = 0


def run_generation(
    model: Model, rows: Sequence[Row], choice: Choice, tokens: int, use_cache: bool = True
) -> Iterator[list[Generated | None]]:
    """The next token of every row, up to `tokens` times or until all have ended; None for a row that has.

    Raises NotFinite.
    """
    groups = model.rotations.alike([len(row.prompt) for row in rows], growth=tokens)
    generations = [_grow_together(model, [rows[index] for index in group], choice, use_cache) for group in groups]
    for _ in range(tokens):
        step: list[Generated | None] = [None] * len(rows)
        for group, generation in zip(groups, generations, strict=True):
            for index, token in zip(group, next(generation, ()), strict=False):
                step[index] = token
        if not any(step):
            return
        yield step


def _grow_together(
    model: Model, rows: Sequence[Row], choice: Choice, use_cache: bool
) -> Iterator[list[Generated | None]]:
    """The same, in one batch of rows that are rotated alike at every step."""
    growing = [_GrowingRow(row, model, choice) for row in rows]
    plans = list(dict.fromkeys(id(row.plan) for row in rows))
    # Rows of one plan side by side: they are edited at once.
    active = sorted(range(len(rows)), key=lambda index: plans.index(id(rows[index].plan)))
    ids, padding = _left_padded([rows[index].prompt.ids for index in active])
    ids = ids.to(model.hf.device)
    first_columns = sent(padding, ids.device)[:, None]
    use_cache = use_cache and model.caches
    past: Any = None
    start = 0
    while active:
        length = ids.shape[1] - padding[0]
        if past is not None and model.rotations.switches(length - 1, length) and not keeps_cache(model, ids, past):
            past, start = None, 0
        prompts = tuple(len(rows[index].prompt) for index in active)
        layout = PassLayout(prompts, model.info.n_heads, start, padding if any(padding) else ())
        padding_args = _padding_args(first_columns, start, ids.shape[1]) if any(padding) else {}
        plans_of_rows = [rows[index].plan for index in active]
        passed = run_pass(
            model, ids, plans_of_rows, layout, use_cache=use_cache, past=past, padding_args=padding_args, checked=False
        )
        logits, past = passed.last, passed.past
        assert logits is not None
        with torch.inference_mode():
            logp = metrics.log_probs(logits)
            chosen = _choose(logp, [growing[index] for index in active], choice)
            log_probs = logp.gather(-1, chosen[:, None])[:, 0]
            # float32 holds every token's number.
            outcome = torch.stack([chosen.to(logp.dtype), log_probs, valid_rows(logits).to(logp.dtype)])
        tokens, log_probs_of_rows, valid = outcome.tolist()
        if not all(valid):
            raise not_finite_row(model, ids, plans_of_rows, layout, valid.index(0), ids.shape[1])
        if use_cache:
            start = ids.shape[1]
        step: list[Generated | None] = [None] * len(rows)
        for index, token, log_prob in zip(active, tokens, log_probs_of_rows, strict=True):
            step[index] = growing[index].append(int(token), log_prob)
        yield step
        remaining = [row for row, index in enumerate(active) if not growing[index].ended]
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        if len(remaining) < len(active):
            active, padding = [active[row] for row in remaining], tuple(padding[row] for row in remaining)
            kept_rows = sent(torch.tensor(remaining, dtype=torch.int64), ids.device)
            ids, first_columns = ids[kept_rows], first_columns[kept_rows]
            if past is not None and remaining:
                # A cache on several devices takes its rows by an index from the host.
                past.batch_select_indices(kept_rows.cpu() if model.info.spread else kept_rows)


class _GrowingRow:
    """A row as it grows."""

    def __init__(self, row: Row, model: Model, choice: Choice) -> None:
        self._model = model
        self._length = len(row.prompt)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._text = ""
        self.random = torch.Generator().manual_seed(_row_seed(choice.seed, row.number))
        self.ended = False

    def append(self, token: int, log_prob: float) -> Generated:
        tokens, ends = self._model.tokens, token in self._model.stop_ids
        self._length += 1
        self._text += self._decoder.decode(b"" if ends else tokens.piece(token))
        full = self._length >= self._model.info.n_ctx
        end = "the model ended" if ends else "the context is full" if full else ""
        self.ended = bool(end)
        return Generated(token, tokens.token(token), self._text, log_prob, end)


def _row_seed(seed: int, number: int) -> int:
    """Row 0 draws by the seed itself, others by a seed of their own."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1) if number else seed


def _left_padded(rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, tuple[int, ...]]:
    """int64 [row, column], 0 where padding is; and how many columns of it stand before each row."""
    width = max(map(len, rows))
    padded = np.zeros((len(rows), width), dtype=np.int64)
    for row, ids in zip(padded, rows, strict=True):
        row[width - len(ids) :] = ids
    return torch.from_numpy(padded), tuple(width - len(ids) for ids in rows)


def _padding_args(first: torch.Tensor, start: int, columns: int) -> dict[str, torch.Tensor]:
    """The mask [row, column] and the positions [row, column from start]; the rows begin at columns `first` [row, 1]."""
    column = torch.arange(columns, device=first.device)
    return {"attention_mask": (column >= first).long(), "position_ids": (column - first).clamp(min=0)[:, start:]}


def _choose(logp: torch.Tensor, rows: Sequence[_GrowingRow], choice: Choice) -> torch.Tensor:
    """Of log-probabilities [row, vocabulary]: int64 [row]."""
    if choice.temperature == 0:
        return logp.argmax(dim=-1)
    noise = [torch.empty(logp.shape[1], dtype=logp.dtype).exponential_(generator=growing.random) for growing in rows]
    scaled = logp / choice.temperature
    if 0 < choice.top_k < scaled.shape[-1]:
        least = scaled.topk(choice.top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    # As torch.multinomial draws one: the largest p / E with E exponential.
    return (torch.softmax(scaled, dim=-1) / sent(torch.stack(noise), logp.device)).argmax(dim=-1)
