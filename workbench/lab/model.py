"""`Lab`: what experiments call. Arguments and results are plain data and numpy."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np

from workbench.artifacts.direction import Direction
from workbench.edits import Edit
from workbench.errors import UserError
from workbench.lab.batches import Batch, batches
from workbench.lab.cache import Cache
from workbench.lab.continuation import Continuation, Generated, Row
from workbench.lab.controls import Controls, direction_controls, make_controls, off_controls
from workbench.lab.directions import JobWeights
from workbench.lab.editing import (
    CLEAN,
    ITSELF,
    AnyEdit,
    Instead,
    Plan,
    PythonEdit,
    check_edits,
    compile_plan,
    sites_to_sample,
)
from workbench.lab.finding.source import ModelSource
from workbench.lab.forward import Forward, Keep, run_forward
from workbench.lab.generate import Choice, run_generation
from workbench.lab.lens import Lens, lens_sites
from workbench.lab.loading import Model, load_model
from workbench.lab.progress import Progress, silent
from workbench.lab.prompts import AnswerToken, Prompt
from workbench.lab.reading import Reading, read_units, sites_of
from workbench.lab.strength import sample_prompts
from workbench.lab.study import Study
from workbench.lab.values import Values
from workbench.model_info import ModelInfo
from workbench.report import Report
from workbench.units import Head, Neuron, Site, Unit, parse_units

T = TypeVar("T")
TIMED = 64
"""tokens of the pass that is timed"""
CPU_ROWS = 16
"""rows that are generated together on a CPU"""
GENERATED_AT_ONCE, MOST_ROWS = 16384, 256
"""on other devices: tokens whose keys and values are held at once, and rows at most"""


def load_lab(source: ModelSource, device: str = "auto", dtype: str = "auto", progress: Progress | None = None) -> Lab:
    """The model of `source`, loaded and checked. Raises UserError where it can't be loaded.

    device: auto, cpu, cuda, cuda:N or mps. dtype: auto, float32, bfloat16 or float16.
    """
    return Lab(load_model(source, device, dtype, progress or silent))


class Lab:
    """A model, seen by one job: its edits, seed and report are this view's own, all else is shared."""

    def __init__(
        self,
        model: Model,
        edits: Sequence[AnyEdit] = (),
        seed: int = 0,
        report: Report | None = None,
        directions: Mapping[str, Direction] | None = None,
    ) -> None:
        self._model = model
        self._weights = JobWeights(model, directions or {})
        self.edits = tuple(edits)
        """the stack that is on, in order"""
        self.seed = seed
        self.report = report
        self._chat = False

    def job(
        self,
        edits: Sequence[AnyEdit] = (),
        seed: int = 0,
        report: Report | None = None,
        directions: Mapping[str, Direction] | None = None,
    ) -> Lab:
        """The same model for another job, with the named `directions` that its edits and units may mean.

        Raises UserError where an edit does not fit the model, or another edit.
        """
        job = Lab(self._model, edits, seed, report, directions)
        check_edits(edits, self.info, Values(self._model, seed, False, job._weights))
        return job

    @property
    def plain_edits(self) -> list[Edit]:
        """The stack as data: Python edits without their functions."""
        return [edit.edit if isinstance(edit, PythonEdit) else edit for edit in self.edits]

    # --- what the model is ----------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    def set_fingerprint(self, fingerprint: str) -> None:
        """Known once the weights have been hashed, after loading."""
        self._model.info = msgspec.structs.replace(self._model.info, fingerprint=fingerprint)

    @property
    def remarks(self) -> list[str]:
        """What the check at load found to differ from what our numbers mean, as sentences."""
        return self._model.remarks

    @property
    def cancel_check(self) -> Callable[[], None] | None:
        """Called at every block of every pass; raises Cancelled to stop it. Shared by all jobs."""
        return self._model.cancel_check

    @cancel_check.setter
    def cancel_check(self, check: Callable[[], None] | None) -> None:
        self._model.cancel_check = check

    def hooks_installed(self) -> int:
        """How many hooks are on the model: 0 outside of a pass."""
        return self._model.sites.hooks_installed()

    # --- text -------------------------------------------------------------------------------------

    def prompt(self, text: str, chat: bool = False) -> Prompt:
        """Text as tokens. Raises UserError where it is empty or too long.

        Prompts that patches are taken from are read in the same way.
        """
        self._chat = chat
        return self._model.tokens.prompt(text, chat)

    def token(self, index: int) -> str:
        """A token as a reader sees it: ` Paris`."""
        return self._model.tokens.token(index)

    def answer_token(self, text: str) -> AnswerToken:
        """The token an answer begins with, spaces as typed."""
        return self._model.tokens.answer(text)

    # --- passes -----------------------------------------------------------------------------------

    def forward(
        self,
        prompts: Prompt | Sequence[Prompt],
        edits: Sequence[AnyEdit] | Plan = (),
        sites: Sequence[Site] = (),
        logits: Keep = "all",
    ) -> Forward:
        """One pass over a batch under `edits`; clean passes are kept and come at once the second time."""
        rows = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
        plan = edits if isinstance(edits, Plan) else self.plan(edits)
        if plan.changes:
            return self._run(rows, [plan], sites, logits)
        key = (tuple(row.ids.tobytes() for row in rows), tuple(sites), logits)
        found = self._model.clean.get(key)
        if found is None:
            found = self._run(rows, [CLEAN], sites, logits)
            self._model.clean.put(key, found)
        return found

    def timed_pass(self) -> tuple[int, float]:
        """Tokens and seconds of a clean pass over text of our own; the first of two warms up."""
        sample = sample_prompts(self._model)[0]
        prompt = dataclasses.replace(sample, ids=sample.ids[:TIMED])
        for _ in range(2):
            began = time.perf_counter()
            self._run([prompt], [CLEAN], (), "last")
            found = time.perf_counter() - began
        return len(prompt), found

    def plan(self, edits: Sequence[AnyEdit], skip_first: bool = False) -> Plan:
        """A stack compiled once for many passes; with `skip_first` position 0 stays as it is."""
        return self._compiler(edits)(skip_first=skip_first)

    def batch_rows(self, prompts: Sequence[Prompt]) -> int:
        """How many of these prompts make a batch of about a second or less on this device."""
        tokens = 256 if self.info.device == "cpu" else 16384  # small batches are nearly free on a CPU
        return max(1, tokens // max(map(len, prompts), default=1))

    def batches(self, rows: Sequence[T], size: int) -> Iterator[Batch[T]]:
        """Batches that halve when memory runs out; see `workbench.lab.batches` for the loop to write."""
        return batches(rows, size, self.report)

    def cache(self, prompts: Sequence[str] | str, sites: Sequence[str] | str, chat: bool = False) -> Cache:
        """Activations at sites (`L5.resid_post`, `L*.mlp_post`) under this job's edits. Raises UserError."""
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        if not texts:
            raise UserError("there is no prompt: give at least one")
        named = ", ".join([sites] if isinstance(sites, str) else sites)
        wanted: list[Site] = []
        for unit in parse_units(named, self.info):
            if not isinstance(unit, Site):
                raise UserError(f"{unit} is no site: a cache holds sites, for example L5.resid_post or L5.mlp_post")
            wanted.append(unit)
        rows = [self.prompt(text, chat) for text in texts]
        found = self.forward(rows, self.edits, wanted, logits=None)
        ids = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
        for row, prompt in zip(ids, rows, strict=True):
            row[: len(prompt)] = prompt.ids
        arrays = {}
        for site in wanted:
            array = found.site(site)
            for row, prompt in zip(array, rows, strict=True):
                if site.name == "pattern":
                    row[:, len(prompt) :] = np.nan
                    row[:, :, len(prompt) :] = np.nan
                else:
                    row[len(prompt) :] = np.nan
            arrays[str(site)] = array
        return Cache(arrays, ids, [prompt.tokens for prompt in rows])

    # --- questions --------------------------------------------------------------------------------

    def generate(
        self,
        prompt: Prompt,
        edits: Sequence[AnyEdit] = (),
        *,
        temperature: float = 0,
        top_k: int = 0,
        use_cache: bool = True,
    ) -> Iterator[Generated]:
        """Tokens that follow, one by one, greedy at temperature 0, else drawn with this job's seed."""
        rows = [Row(prompt, self.plan(edits))]
        for (one,) in run_generation(self._model, rows, Choice(temperature, top_k, self.seed), use_cache):
            assert one is not None, "a row that has ended is not continued"
            yield one

    def continue_all(
        self,
        rows: Sequence[Row],
        into: Sequence[Continuation],
        tokens: int,
        *,
        temperature: float = 0,
        top_k: int = 0,
        size: int = 0,
    ) -> Iterator[int]:
        """Grows `into`, one a row, by up to `tokens` tokens; each time says how many tokens came.

        Rows go in batches of `size` (0: as many as suit this device), which halve when memory runs out: the rows of
        that batch begin anew. Progress of this job's report counts `tokens` for every row that is over.
        """
        size = size or self._generation_rows(rows, tokens)
        pairs = list(zip(rows, into, strict=True))
        for batch in batches(pairs, size, self.report, each=tokens):
            with batch:
                for _, said in batch.rows:
                    said.clear()
                chosen = [row for row, _ in batch.rows]
                for found in islice(run_generation(self._model, chosen, Choice(temperature, top_k, self.seed)), tokens):
                    came = [(said, one) for (_, said), one in zip(batch.rows, found, strict=True) if one is not None]
                    for said, one in came:
                        said.add(one)
                    yield len(came)

    def _generation_rows(self, rows: Sequence[Row], tokens: int) -> int:
        """How many rows grow together: what a step reads of the weights is read once for all of them."""
        if self.info.device == "cpu":
            return CPU_ROWS
        longest = max((len(row.prompt) for row in rows), default=1) + tokens
        return max(1, min(MOST_ROWS, GENERATED_AT_ONCE // longest))

    def lens(self, prompt: Prompt, edits: Sequence[AnyEdit] = (), positions: int = 0) -> Lens:
        """The logit lens of one prompt, row by row, at its last `positions` tokens (0: all)."""
        sites = lens_sites(self.info.n_layers)
        return Lens(self.forward(prompt, edits, sites, logits="last"), self._model.tail, sites, positions)

    def read(self, units: Sequence[Unit], prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> list[Reading]:
        """What units do over one prompt."""
        found = self.forward(prompt, edits, sites_of(units, self.info), logits=None)
        return read_units(units, found, self.info, self._weights)

    def study(self, prompt: Prompt, edits: Sequence[AnyEdit] = ()) -> Study:
        """One prompt traced: attribution, edits from their own layer on, patches."""
        return Study(self._model, prompt, self.plan(edits), self.report)

    def controls(self, edits: Sequence[AnyEdit], n: int) -> Controls:
        """Up to `n` matched random controls of a stack, drawn with this job's seed."""
        model = self._model
        return make_controls(edits, self.plan(edits), self._compiler(edits), model, self._weights, n, self.seed)

    def direction_controls(self, edits: Sequence[AnyEdit], n: int) -> list[Controls]:
        """Further kinds of controls of a stack that is directions alone, each to be shown by itself."""
        compiled = self._compiler(edits)
        return direction_controls(edits, self.plan(edits), compiled, self._model, self._weights, n, self.seed)

    def switched_off_controls(self, units: Sequence[Neuron | Head], first: int, n: int) -> Controls:
        """Up to `n` random sets in the places of these units, switched off from position `first` on."""
        return off_controls(units, self._model, first, n, self.seed)

    def same_distance(self, study: Study, plan: Plan, n: int) -> Controls:
        """Random directions that move the stream as far as a plan of neurons or heads does."""
        return Controls(
            tuple(study.same_distance(plan, n, self.seed)), "random directions that move the stream as far", ""
        )

    def control_kl(self, prompt: Prompt, plans: Sequence[Plan]) -> np.ndarray:
        """KL of the next token for each plan, nats, float64 [plan]: one pass, with a clean row to compare with."""
        found = self._run([prompt] * (len(plans) + 1), [CLEAN, *plans], (), "last")
        return found.last_kl_from(found.row(0))[1:]

    def _compiler(self, edits: Sequence[AnyEdit]) -> Callable[..., Plan]:
        """Plans of a stack, for itself and for its controls."""
        values = Values(self._model, self.seed, self._chat, self._weights)

        def compiled(skip_first: bool = False, instead: Instead = ITSELF) -> Plan:
            sites = sites_to_sample(edits, self.info, instead)
            if sites:
                values.prepare(sites)
                if self.report is not None:
                    self.report.note(values.remark)
            return compile_plan(edits, self.info, values, skip_first=skip_first, instead=instead)

        return compiled

    def _run(self, rows: Sequence[Prompt], plans: Sequence[Plan], sites: Sequence[Site], keep: Keep) -> Forward:
        model = self._model
        return run_forward(
            model.hf,
            model.sites,
            rows,
            plans,
            capture=sites,
            keep=keep,
            n_heads=self.info.n_heads,
            check=model.cancel_check,
        )
