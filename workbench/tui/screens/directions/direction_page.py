"""What can be done with the direction under the cursor: its keys, but for the dial's."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui.page import Page
from workbench.tui.screens.directions.catalogue import MAKER, Entry
from workbench.tui.screens.directions.dial import Dial
from workbench.tui.screens.directions.state import DirectionsState
from workbench.tui.widgets.ask import Ask, InputRequest

if TYPE_CHECKING:
    from workbench.report import NextStep

_OF_ONE = frozenset({"export", "ablate", "add", "steer", "project", "turn", "write", "rename"})
"""actions that need a direction"""
_OF_WORKER = frozenset({"rename", "steer", "project", "make"})
"""actions that a replay has not"""


class DirectionPage(Page):
    """A screen with a Dial and an Ask."""

    def __init__(self) -> None:
        super().__init__()
        self.state = DirectionsState(self, lambda: self.dial.question, self.show_all)
        self._removing: Entry | None = None
        """asked about once: the same key again removes it"""

    @abstractmethod
    def show_all(self) -> None:
        """Draws what the state holds."""

    @property
    def dial(self) -> Dial:
        return self.query_one(Dial)

    @property
    def asking(self) -> Ask:
        return self.query_one(Ask)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        entry, replay = self.state.entry, self.workbench.link is None
        if action in _OF_ONE and (entry is None or not entry.hash):
            return False
        if action == "origin" and entry is None:
            return False
        if action in _OF_WORKER and replay:
            return False
        if action == "rename" and entry is not None and entry.file:
            return False
        if action == "remove" and (entry is None or entry.status or (replay and not entry.file)):
            return False
        return super().check_action(action, parameters)

    def action_rename(self) -> None:
        if entry := self.state.entry:
            request = InputRequest(
                f"@{safe(entry.name)} is called", lambda name: self.state.rename(entry, name), entry.name,
                "letters, digits, _ . -", select=True,
            )  # fmt: skip
            self.asking.ask(request)

    def action_export(self) -> None:
        if entry := self.state.entry:
            request = InputRequest(
                f"write @{safe(entry.name)} to", lambda file: self.state.export(entry, file),
                f"{entry.name}.safetensors", "a .safetensors file",
            )  # fmt: skip
            self.asking.ask(request)

    def action_remove(self) -> None:
        entry = self.state.entry
        if entry is None:
            return
        if self._removing != entry:
            self._removing = entry
            lost = f"deletes {entry.file}" if entry.file else "takes the name off it; steps that used it keep it"
            self.say(f"Delete again {lost}")
        else:
            self._removing = None
            self.state.remove(entry)

    def action_ablate(self) -> None:
        if entry := self.state.entry:
            self._add_edit(f"@{entry.name}=0")

    def action_add(self) -> None:
        """What the dial adds, into the edit stack."""
        entry = self.state.entry
        if entry is None:
            return
        try:
            question, strength = self.dial.dialled()
            sign = "+" if strength > 0 else "-"
            if strength == 0:
                raise UserError("strength 0 adds nothing: + turns the dial")
            self._add_edit(f"{question.site}{sign}={abs(strength):g}*@{entry.name}")
        except UserError as error:
            self.say(str(error), bad=True)

    def _add_edit(self, text: str) -> None:
        try:
            self.workbench.edits.add(text, self.workbench.model_info)
        except UserError as error:
            self.say(str(error), bad=True)
            return
        self.refresh_frame()
        self.say(f"{text} is on for every experiment: e shows the edits")

    def action_steer(self) -> None:
        """The form of `steer`, with the dial's text and place."""
        if params := self._about_text():
            self._offer("steer", params)

    def action_project(self) -> None:
        if params := self._about_text():
            self.workbench.ask(self._step("project", params))

    def _about_text(self) -> dict[str, Any]:
        """The direction under the cursor and the dial's text, as parameters; empty where there is none."""
        entry, question = self.state.entry, self.dial.question
        if entry is None:
            return {}
        chat = {"chat": True} if question.chat else {}
        return {"direction": f"@{entry.name}", "prompt": question.text, **chat}

    def action_make(self) -> None:
        self._offer(MAKER, {"name": "harmful", "positive": "@harmful", "negative": "@harmless"})

    def _offer(self, experiment: str, params: dict[str, Any]) -> None:
        from workbench.tui.pages import page_of

        self.workbench.show(page_of(experiment)).offer(self._step(experiment, params))

    def _step(self, experiment: str, params: dict[str, Any]) -> NextStep:
        from workbench.report import NextStep

        return NextStep(label="", experiment=experiment, params=params)
