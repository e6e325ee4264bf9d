"""`Lab`: what one job sees of a model. A capability beyond that is a function that takes a lab, in its own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from workbench.artifacts.direction import Direction
from workbench.datasets.conversation import Turn
from workbench.edits import Edit, ParsedEdit
from workbench.judging import JudgeCommand
from workbench.lab.chat_template import DEFAULT_SYSTEM
from workbench.lab.compiling import check_edits, compile_plan, read_stack, sites_to_sample
from workbench.lab.directions.weights import JobWeights
from workbench.lab.editing import UNREPLACED, AnyEdit, Plan, Replacement
from workbench.lab.finding.source import ModelSource
from workbench.lab.forward import Forward, Keep, run_forward
from workbench.lab.loaded import Model
from workbench.lab.loading import load_model
from workbench.lab.progress import StageListener, silent
from workbench.lab.prompts import AnswerToken, Prompt
from workbench.lab.values import Values
from workbench.model_info import ModelInfo
from workbench.report import Report
from workbench.units import Site


def load_lab(
    source: ModelSource, device: str = "auto", dtype: str = "auto", progress: StageListener | None = None
) -> Lab:
    """The model of `source`, loaded and checked. Raises UserError where it can't be loaded.

    device: auto, cpu, cuda, cuda:N or mps. dtype: auto, float32, bfloat16 or float16.
    """
    return Lab(load_model(source, device, dtype, progress or silent))


class Lab:
    """A model, seen by one job: its edits, seed and report are this view's own, all else is shared."""

    def __init__(
        self,
        model: Model,
        edits: Sequence[ParsedEdit] = (),
        seed: int = 0,
        report: Report | None = None,
        weights: JobWeights | None = None,
        judge: JudgeCommand | None = None,
    ) -> None:
        self.model = model
        self.weights = weights or JobWeights(model, {})
        """with the named directions of this job"""
        self.edits = tuple(edits)
        """the stack that is on, in order"""
        self.seed = seed
        self.report = report
        self.judge = judge
        """a command that came with this job, to judge what it generates"""

    def job(
        self,
        edits: Sequence[AnyEdit] = (),
        seed: int = 0,
        report: Report | None = None,
        directions: Mapping[str, Direction] | None = None,
        judge: JudgeCommand | None = None,
    ) -> Lab:
        """The same model for another job, with the named `directions` that its edits and units may mean.

        Raises UserError where an edit does not fit the model, or another edit.
        """
        stack = read_stack(edits, self.info)
        weights = JobWeights(self.model, directions or {})
        check_edits(stack, Values(self.model, seed, False, weights))
        return Lab(self.model, stack, seed, report, weights, judge)

    @property
    def plain_edits(self) -> list[Edit]:
        """The stack as data: Python edits without their functions."""
        return [edit.edit for edit in self.edits]

    # --- what the model is ----------------------------------------------------------------------

    @property
    def info(self) -> ModelInfo:
        return self.model.info

    def set_fingerprint(self, fingerprint: str) -> None:
        """Known once the weights have been hashed, after loading."""
        self.model.info = msgspec.structs.replace(self.model.info, fingerprint=fingerprint)

    @property
    def remarks(self) -> list[str]:
        """What the check at load found to differ from what our numbers mean, as sentences."""
        return self.model.remarks

    @property
    def cancel_check(self) -> Callable[[], None] | None:
        """Called at every block of every pass; raises Cancelled to stop it. Shared by all jobs."""
        return self.model.cancel_check

    @cancel_check.setter
    def cancel_check(self, check: Callable[[], None] | None) -> None:
        self.model.cancel_check = check

    def hooks_installed(self) -> int:
        """How many hooks are on the model: 0 outside of a pass."""
        return self.model.sites.hooks_installed()

    # --- text -------------------------------------------------------------------------------------

    def prompt(
        self,
        text: str,
        chat: bool = False,
        system: str = DEFAULT_SYSTEM,
        earlier: Sequence[Turn] = (),
        *,
        answering: bool = False,
    ) -> Prompt:
        """Text as tokens, with `chat` in the model's chat template, its system turn `default`, `none` or a text.

        `earlier` are a conversation's turns before the text, oldest first; they need `chat`.
        `answering`: of a model that reasons with its empty think block, so that the answer is next.

        Raises UserError where it is empty or too long.
        """
        return self.model.tokens.prompt(text, chat, system, earlier, answering=answering)

    def token(self, index: int) -> str:
        """A token as a reader sees it: ` Paris`."""
        return self.model.tokens.token(index)

    def answer_token(self, text: str) -> AnswerToken:
        """The token an answer begins with, spaces as typed."""
        return self.model.tokens.answer(text)

    # --- passes -----------------------------------------------------------------------------------

    def forward(
        self,
        prompts: Prompt | Sequence[Prompt],
        edits: Sequence[AnyEdit] | Plan = (),
        sites: Sequence[Site] = (),
        logits: Keep = "all",
    ) -> Forward:
        """One pass over a batch under `edits`; clean passes are kept and come at once the second time.

        Other prompts that edits patch from are read as these are: in the chat template or not.
        """
        rows = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
        plan = edits if isinstance(edits, Plan) else self.plan(edits, chat=rows[0].template)
        if plan.changes:
            return run_forward(self.model, rows, [plan], capture=sites, keep=logits)
        key = (tuple(row.ids.tobytes() for row in rows), tuple(sites), logits)
        clean: Forward | None = self.model.clean.get(key)
        if clean is None:
            clean = run_forward(self.model, rows, capture=sites, keep=logits)
            self.model.clean.put(key, clean)
        return clean

    def plan(self, edits: Sequence[AnyEdit], skip_first: bool = False, chat: bool = False) -> Plan:
        """A stack compiled once for many passes; with `skip_first` position 0 stays as it is.

        With `chat`, the other prompts that patches are taken from are put into the model's chat template.
        """
        return self.compiler(edits, chat)(skip_first=skip_first)

    def compiler(self, edits: Sequence[AnyEdit], chat: bool = False) -> Callable[..., Plan]:
        """Plans of a stack, for itself and for its controls: `compiled(skip_first=…, replacement=…)`."""
        values = Values(self.model, self.seed, chat, self.weights)
        stack = read_stack(edits, self.info)

        def compiled(skip_first: bool = False, replacement: Replacement = UNREPLACED) -> Plan:
            sites = sites_to_sample(stack, self.info, values, replacement)
            if sites:
                values.prepare(sites)
                if self.report is not None:
                    self.report.note(values.remark)
            return compile_plan(stack, self.info, values, skip_first=skip_first, replacement=replacement)

        return compiled
