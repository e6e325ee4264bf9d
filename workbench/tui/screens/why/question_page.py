"""The question of the Why screen: where it comes from (its fields, another screen, a step), and how it is asked."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from textual import on

from workbench.errors import UserError
from workbench.tui.page import Page
from workbench.tui.screens.why.fields import EXAMPLE, QuestionFields
from workbench.tui.screens.why.foil import foil_request
from workbench.tui.screens.why.invite import REPLAY
from workbench.tui.screens.why.panes import Panes
from workbench.tui.screens.why.state import WhyState
from workbench.tui.widgets.ask import Ask

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.session.records import StepRecord


class QuestionPage(Page):
    """A screen with QuestionFields, Panes and Ask.

    It has the CSS class `asking` while the fields are shown, `empty` while there is no finding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = WhyState(self, self.show_finding, self.question_submitted)
        self._branch_of: int | None = None
        """the step that the next question is a branch of"""
        self._deferred: tuple[dict[str, Any], int | None, bool] | None = None
        """what another screen asked for before this one is mounted: parameters, parent, whether to ask at once"""

    @abstractmethod
    def show_finding(self) -> None:
        """Draws the finding, or the invitation where there is none."""

    @property
    def panes(self) -> Panes:
        return self.query_one(Panes)

    @property
    def fields(self) -> QuestionFields:
        return self.query_one(QuestionFields)

    @property
    def asking(self) -> Ask:
        return self.query_one(Ask)

    def _offer_example(self) -> None:
        """The fields of a first question: what was asked last elsewhere, else an example that has an answer."""
        if self.workbench.link is None:
            self.remove_class("asking")
            return
        prompt = self.workbench.page("home").values.get("prompt", "") or EXAMPLE["prompt"]
        self.fields.fill({"prompt": prompt, "answer": EXAMPLE["answer"] if prompt == EXAMPLE["prompt"] else ""})
        self.fields.focus_first()

    # --- from other screens ---

    def ask(self, step: NextStep, parent: int | None) -> None:
        """This question, at once."""
        if step.edits is not None:
            from workbench.edits import parse_edits

            try:
                self.workbench.edits.use(parse_edits(step.edits, self.workbench.model_info))
            except UserError as error:
                self.say(str(error), bad=True)
                return
        self._load_when_mounted(step.params, parent, True)

    def fill(self, record: StepRecord) -> None:
        """A question as it was in this step, which is shown; what is asked next is a branch of it."""
        self._load_when_mounted(record.params, record.id, False)

    def show_step(self, step: int) -> None:
        """A step of the session, to look at."""
        self._load_when_mounted({}, step, False)

    def _load_when_mounted(self, params: dict[str, Any], parent: int | None, ask: bool) -> None:
        if self.is_mounted:
            self._load(params, parent, ask)
        else:
            self._deferred = (params, parent, ask)

    def _load(self, params: dict[str, Any], parent: int | None, ask: bool) -> None:
        self._deferred = None
        if params:
            self.fields.fill(params)
        if ask:
            self.set_class(self.state.finding is None, "empty")
            self.remove_class("asking")
            self.state.ask({**params}, self.workbench.edits.on(), parent)
            self.show_finding()
            return
        self.remove_class("empty")
        self.state.show(parent)
        self._branch_of = parent if params else None
        if params and self.workbench.link is not None:
            self.add_class("asking")
            self.say(f"as in step {parent}: change what you like, Enter asks it as a branch of that step")
            self.fields.focus_first()
        else:
            self.remove_class("asking")
            self._leave_fields()

    # --- focus ---

    def question_submitted(self) -> None:
        """The question is in the session."""
        self._branch_of = None
        self.remove_class("asking", "empty")
        self.call_after_refresh(self._to_neurons)

    def _leave_fields(self) -> None:
        if not self.has_class("asking"):
            self.set_focus(self.default_focus())

    def _to_neurons(self) -> None:
        """The fields are hidden and the panes are there: Textual has given the keys to whichever lay nearest."""
        if not self.has_class("asking"):
            self.set_focus(self.panes.list_of("neurons"))

    # --- keys ---

    def action_write(self) -> None:
        if self.workbench.link is None:
            self.say(REPLAY, bad=True)
            return
        self.add_class("asking")
        if self.state.finding is not None:
            self.fields.fill(self.state.finding.params)
        self.fields.focus_first()

    @on(QuestionFields.Submitted)
    def action_enter(self) -> None:
        if self.has_class("asking"):
            base = self.workbench.edits.on()
            self.state.ask(self.fields.values(), base, self._branch_of)
            self.show_finding()

    def action_again(self) -> None:
        self.state.again()

    def action_foil(self) -> None:
        finding = self.state.finding
        if finding is not None and not self.has_class("asking"):
            self.asking.ask(foil_request(finding, self._use_foil))

    def _use_foil(self, foil: str) -> None:
        finding = self.state.finding
        if finding is not None:
            self.state.ask({**finding.params, "foil": foil}, finding.base(), finding.record.id, finding.record.seed)
