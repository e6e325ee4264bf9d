"""What a direction does to the first token of replies, whatever the behaviour: bypass, induce, KL (METHODS, "Refusal").

Many directions at once: every row of a batch has a direction of its own. What is added at a block's input changes
nothing below it, so these rows begin there, on the streams of the unedited pass. Prompts are padded on the right, where
causal attention lets nothing reach a real token, and logits are made at the last ones alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.edits import Positions
from workbench.lab.applying import PassLayout
from workbench.lab.batches import Batch, batches, rows_at_once
from workbench.lab.changes import AddVectorByRow, ProjectOutByRow
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.kinds.direction import WRITTEN_AT
from workbench.lab.loaded import Model
from workbench.lab.metrics import as_float64
from workbench.lab.parts import Whole
from workbench.lab.passes import BlockStart, Entry, read_out, run_pass
from workbench.lab.prompts import Prompt
from workbench.report import Report
from workbench.units import Site

IN_SCORE = 1e-8
"""added to both probabilities of the score"""
IN_KL = 1e-6
"""added inside both logarithms of the KL"""


def behaviour_scores(logits: torch.Tensor, targets: Sequence[int]) -> np.ndarray:
    """log(p + 1e-8) − log(1 − p + 1e-8), p the probability of the tokens `targets` together: float64 [row].

    `logits` [row, vocabulary]. nan where these are not finite.
    """
    p = torch.softmax(as_float64(logits), dim=-1)[:, list(targets)].sum(-1).clamp(max=1.0)
    return np.asarray((torch.log(p + IN_SCORE) - torch.log(1 - p + IN_SCORE)).cpu().numpy())


def padded_kl(base: torch.Tensor, edited: torch.Tensor) -> np.ndarray:
    """Σ p · (log(p + 1e-6) − log(q + 1e-6)), p of `base`, q of `edited`, [row, vocabulary] each: float64 [row]."""
    p, q = (torch.softmax(as_float64(logits), dim=-1) for logits in (base, edited))
    return np.asarray((p * (torch.log(p + IN_KL) - torch.log(q + IN_KL))).sum(-1).cpu().numpy())


@dataclass
class Speed:
    """Tokens that went through whole models, and the seconds they took."""

    tokens: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second; nan before any."""
        return self.tokens / self.seconds if self.seconds else float("nan")


@dataclass
class Replies:
    """Prompts whose next token is scored, and their unedited passes."""

    model: Model
    prompts: Sequence[Prompt]
    targets: Sequence[int]
    logits: torch.Tensor
    """unedited, [prompt, vocabulary]"""
    groups: list[list[int]]
    """prompts that may share a pass"""
    starts: list[tuple[BlockStart, ...]]
    """[group][layer], the streams of the unedited passes, [row of the group, position, d_model]; may be empty"""
    clean: Speed = field(default_factory=Speed)
    edited: Speed = field(default_factory=Speed)

    @property
    def scores(self) -> np.ndarray:
        """Unedited, float64 [prompt]."""
        return behaviour_scores(self.logits, self.targets)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.prompts))

    # --- edited -----------------------------------------------------------------------------------

    def ablated(self, vectors: np.ndarray, report: Report) -> Iterator[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
        """Each of `vectors` [vector, d_model] projected out wherever the stream is written, at all positions.

        Yields in batches the index of the vector and of the prompt, int64 [row], and logits [row, vocabulary].
        """
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=np.isfinite(norms) & (norms > 0))
        sites = [Site(layer, name) for layer in range(self.model.info.n_layers) for name in WRITTEN_AT]

        def plan(values: torch.Tensor) -> Plan:
            return Plan({site: (ProjectOutByRow(site, Whole(), Positions(), values),) for site in sites})

        return self._edited(units, plan, 0, report)

    def added(
        self, layer: int, vectors: np.ndarray, report: Report
    ) -> Iterator[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
        """Each of `vectors` [vector, d_model] added as it is at the layer's input, at all positions."""
        site = Site(layer, "resid_pre")

        def plan(values: torch.Tensor) -> Plan:
            return Plan({site: (AddVectorByRow(site, Whole(), Positions(), values),)})

        return self._edited(vectors, plan, layer, report)

    def _edited(
        self, vectors: np.ndarray, plan: Callable[[torch.Tensor], Plan], layer: int, report: Report
    ) -> Iterator[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
        n_layers = self.model.info.n_layers
        device = self.model.hf.device
        values = torch.from_numpy(np.asarray(vectors, np.float32)).to(device)
        for number, group in enumerate(self.groups):
            places = {prompt: row for row, prompt in enumerate(group)}
            # Of like length together: all vectors of a prompt, then those of the next longer one.
            rows = [(vector, prompt) for prompt in group for vector in range(len(vectors))]
            longest = max(len(self.prompts[prompt]) for prompt in group)
            size = rows_at_once(self.model, longest, "last")
            for batch in batches(rows, size, report, self.model, progress_per_row=0):
                logits = None
                with batch:
                    began = time.perf_counter()
                    vector, prompt = (np.asarray(side, np.int64) for side in zip(*batch.rows, strict=True))
                    prompts = [self.prompts[index] for index in prompt]
                    entry = None
                    if layer and self.starts and self.model.restarts:
                        width = max(map(len, prompts))
                        at = torch.tensor([places[index] for index in prompt], device=device)
                        starts = self.starts[number]
                        entry = Entry(starts, layer, starts[layer].stream[at, :width])
                    logits, _ = _last_logits(self.model, prompts, plan(values[torch.from_numpy(vector)]), entry=entry)
                    _finish(logits)
                    share = (n_layers - layer) / n_layers if entry else 1.0
                    self.edited.seconds += time.perf_counter() - began
                    self.edited.tokens += share * sum(map(len, prompts))
                if logits is not None:
                    yield vector, prompt, logits


def replies(model: Model, prompts: Sequence[Prompt], targets: Sequence[int], report: Report, keep: bool) -> Replies:
    """The prompts' unedited passes; with `keep`, the streams at every block's input too, where additions begin.

    `targets` are token ids. Raises NotFinite.
    """
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    alike = model.rotations.alike([len(prompts[at]) for at in order])
    groups = [[order[at] for at in group] for group in alike]
    unedited: list[torch.Tensor] = [torch.empty(0)] * len(prompts)
    streams: list[tuple[BlockStart, ...]] = []
    speed = Speed()
    for group, batch in report.track(
        _batches(model, prompts, groups, report), "prompts", len(prompts), stage="unedited replies"
    ):
        logits = None
        with batch:
            began = time.perf_counter()
            members = [prompts[at] for at in batch.rows]
            logits, starts = _last_logits(model, members, CLEAN, keep=keep, checked=True)
            _finish(logits)
            speed.seconds += time.perf_counter() - began
        if logits is None:
            continue
        speed.tokens += sum(map(len, members))
        for at, row in zip(batch.rows, logits, strict=True):
            unedited[at] = row
        if keep:
            if batch.start == 0:
                streams.append(_room(starts, len(groups[group]), max(len(prompts[at]) for at in groups[group])))
            for room, start in zip(streams[-1], starts, strict=True):
                rows, width = start.stream.shape[:2]
                room.stream[batch.start : batch.start + rows, :width] = start.stream
        report.progress.done += len(batch.rows) - 1  # track counts the batch itself
    return Replies(model, prompts, targets, torch.stack(unedited), groups, streams, speed)


def _batches(
    model: Model, prompts: Sequence[Prompt], groups: Sequence[Sequence[int]], report: Report
) -> Iterator[tuple[int, Batch[int]]]:
    """Batches of the indices of prompts, with the number of their group."""
    for number, group in enumerate(groups):
        size = rows_at_once(model, max(len(prompts[at]) for at in group), "last")
        for batch in batches(group, size, report, model, progress_per_row=0):
            yield number, batch


def _room(starts: Sequence[BlockStart], rows: int, width: int) -> tuple[BlockStart, ...]:
    """Zeros for the streams of a whole group, [rows, width, d_model] a block."""
    return tuple(
        BlockStart(start.stream.new_zeros(rows, width, start.stream.shape[2]), start.extra_outputs) for start in starts
    )


def _last_logits(
    model: Model,
    prompts: Sequence[Prompt],
    plan: Plan,
    *,
    entry: Entry | None = None,
    keep: bool = False,
    checked: bool = False,
) -> tuple[torch.Tensor, tuple[BlockStart, ...]]:
    """Logits at each prompt's last token, [row, vocabulary]; with `keep` what every block was given."""
    lengths = [len(prompt) for prompt in prompts]
    padded = np.zeros((len(prompts), max(lengths)), np.int64)
    for row, prompt in zip(padded, prompts, strict=True):
        row[: len(prompt)] = prompt.ids
    ids = torch.from_numpy(padded).to(model.hf.device)
    last = Site(model.info.n_layers - 1, "resid_post")
    ends = [length - 1 for length in lengths]
    layout = PassLayout(tuple(lengths), model.info.n_heads)
    passed = run_pass(
        model, ids, [plan], layout, head=None, ends=ends, capture=[last], entry=entry, keep_starts=keep, checked=checked
    )
    stream = passed.captured[last][torch.arange(len(prompts)), torch.tensor(ends)]
    return read_out(model, stream[:, None])[:, 0], passed.starts


def _finish(logits: torch.Tensor) -> None:
    """Waits for the device, so that what is timed is done."""
    if logits.is_cuda:
        torch.cuda.synchronize(logits.device)


# --- the three scores -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Of vectors, prompt by prompt; nan where what comes out is not finite."""

    bypass: np.ndarray
    """score of the prompts that have the behaviour, with the vector projected out, float64 [vector, prompt]"""
    kl: np.ndarray
    """KL(unedited ‖ projected out) of the prompts that don't have it, float64 [vector, prompt]"""
    induce: np.ndarray
    """their score with the vector added at its layer's input, float64 [vector, prompt]"""
    away: np.ndarray
    """their score with the vector projected out, float64 [vector, prompt]"""


def scores(
    harmful: Replies, harmless: Replies, layer: int, vectors: np.ndarray, report: Report
) -> Iterator[int | Scores]:
    """Of `vectors` [vector, d_model], all of one layer. Yields the tokens of each batch, and the scores at last."""
    n = len(vectors)
    bypass = np.full((n, len(harmful.prompts)), np.nan)
    kl, induce, away = (np.full((n, len(harmless.prompts)), np.nan) for _ in range(3))
    for vector, prompt, logits in harmful.ablated(vectors, report):
        bypass[vector, prompt] = behaviour_scores(logits, harmful.targets)
        yield int(sum(len(harmful.prompts[at]) for at in prompt))
    for vector, prompt, logits in harmless.ablated(vectors, report):
        kl[vector, prompt] = padded_kl(harmless.logits[torch.from_numpy(prompt)], logits)
        away[vector, prompt] = behaviour_scores(logits, harmless.targets)
        yield int(sum(len(harmless.prompts[at]) for at in prompt))
    for vector, prompt, logits in harmless.added(layer, vectors, report):
        induce[vector, prompt] = behaviour_scores(logits, harmless.targets)
        yield int(sum(len(harmless.prompts[at]) for at in prompt))
    yield Scores(bypass, kl, induce, away)
