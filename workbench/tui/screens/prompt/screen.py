"""One text, one experiment: what it does with it, live, with what could be asked next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import TextArea

from workbench.datasets.conversation import Turn
from workbench.errors import UserError
from workbench.params import CONVERSATION, PROMPT, TEMPLATE, Field
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.screens.prompt.lens_preview import LensPreview
from workbench.tui.screens.prompt.prompt_area import PromptArea
from workbench.tui.screens.prompt.token_line import TokenLine
from workbench.tui.screens.prompt.turns import REPLIES, Turns, read_turns, turns_after
from workbench.tui.screens.run.parameters import fields_of
from workbench.tui.screens.run.runner import Runner
from workbench.tui.widgets.result import ResultPane

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import Snapshot

Question = tuple[str, tuple[Turn, ...]]
"""a prompt, and the turns before it"""


class Prompt(Runner):
    NAME = "Prompt"
    SCREEN = "prompt"
    FIRST = "predict"
    FIELDS = 4
    ABOUT = (
        "Prompt runs an experiment on a text. Enter runs it; the answer leads with its sentence and its main view, "
        "the other views are folded below. Every run is a step of the session, with the edits that are on (e). "
        "1, 2 and 3 take the next steps that a result suggests; the line after $ is what it stands for in a shell. "
        "With the chat template on (c), `generate` answers, and a goes on: its answer and what you write next are "
        "turns of one chat, each answer a step, the edits on all the while."
    )
    AUTO_FOCUS = "PromptArea"
    DEFAULT_CSS = """
    Prompt PromptArea { margin: 0 0 0 1; }
    Prompt.tall PromptArea { margin: 1 0 0 1; }
    Prompt TokenLine { margin: 0 0 0 1; }
    Prompt.tall TokenLine { margin: 0 0 1 1; }
    Prompt.low TokenLine { display: none; }
    Prompt #experiments { margin: 0 0 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.PROMPT)

    def __init__(self) -> None:
        super().__init__()
        self.chat = False
        self.turns: list[Turn] = []
        """the chat before the prompt"""
        self._base: tuple[Question, int] | None = None
        """the prompt that is being investigated, and the step that began with it: variations hang there"""
        self._answered: int | None = None
        """the step whose answer is the last of the turns: a new prompt hangs there"""
        self._lens_preview = LensPreview(self)

    def above(self) -> Iterable[Widget]:
        return (Turns(), PromptArea(id="prompt"), TokenLine())

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)

    def details(self) -> str:
        words = [f" · chat template {'on' if self.chat else 'off'}"]
        if self.turns:
            words.append(f"{len(self.turns)} turns before the prompt")
        snapshot = self.result.snapshot if self.is_mounted else None
        if snapshot is not None and (tokenized := tokenization(snapshot)):
            words.append(tokenized)
        return " · ".join(words)

    # --- the text and the template are the screen's own ---

    def in_form(self, fields: Sequence[Field]) -> list[Field]:
        text = _text_field(fields)
        return [field for field in fields if field is not text and field.kind not in (TEMPLATE, CONVERSATION)]

    def screen_values(self, fields: Sequence[Field], prompt_set: bool) -> dict[str, Any]:
        values: dict[str, Any] = {field.name: self.chat for field in fields if field.kind is TEMPLATE}
        values |= {field.name: self.turns for field in fields if field.kind is CONVERSATION}
        if not prompt_set:
            values[_text_field(fields).name] = self.area.text
        return values

    def take_screen_values(self, fields: Sequence[Field], params: dict[str, Any]) -> None:
        prompt = params.pop(_text_field(fields).name, "")
        self.area.set_text(prompt if isinstance(prompt, str) else "")
        self.chat, self.turns, self._answered = False, [], None
        for field in fields:
            if field.kind is TEMPLATE:
                self.chat = bool(params.pop(field.name, False))
            elif field.kind is CONVERSATION:
                self.turns = read_turns(params.pop(field.name, []))
        self._show_turns()

    # --- variations of one text hang under the step that began with it ---

    @property
    def _question(self) -> Question:
        return self.area.text, tuple(self.turns)

    def parent_of_run(self) -> int | None:
        return self._base[1] if self._base and self._base[0] == self._question else self._answered

    def submitted(self, step: int) -> None:
        if self._base is None or self._base[0] != self._question:
            self._base = (self._question, step)
        self.workbench.remember_prompt(self.area.text)

    def filled(self, step: int | None) -> None:
        self._base = (self._question, step) if step else None

    def session_swapped(self) -> None:
        self._base = self._answered = None
        super().session_swapped()

    # --- its keys ---

    def action_write(self) -> None:
        self.area.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "reply" and not turns_after(self.result.snapshot):
            return False
        if action == "new_chat" and not self.turns:
            return False
        return super().check_action(action, parameters)

    def action_chat(self) -> None:
        if self.turns:
            self.say("the turns above are read in the chat template: N begins a new chat without them")
            return
        self.chat = not self.chat
        self._follow()
        self.refresh_frame()

    def action_run(self) -> None:
        if self.turns and all(field.kind is not CONVERSATION for field in fields_of(self.experiment)):
            self.say(
                f"{self.experiment} reads one text, not a chat: [ ] take another experiment, N drops the turns", True
            )
            return
        super().action_run()

    def action_reply(self) -> None:
        """The shown answer becomes a turn, and the next one is written."""
        self.run_worker(self._reply(), group="take", exclusive=True)

    async def _reply(self) -> None:
        from workbench.report import NextStep

        snapshot = self.result.snapshot
        turns = turns_after(snapshot)
        if snapshot is None or not turns:
            return
        record = snapshot.record
        params = {**record.params, "prompt": "", "messages": turns}
        await self._load(NextStep(label="", experiment=REPLIES, params=params), None, False)
        self._answered = record.id
        edits = self.workbench.edits.words()
        self.say(f"write what you say next, Enter sends it{f' · {edits}' if edits else ''}")

    def action_new_chat(self) -> None:
        turns, answered = self.turns, self._answered

        def put_back() -> None:
            self.turns, self._answered = turns, answered
            self._show_turns()

        self.turns, self._answered = [], None
        self._show_turns()
        what = f"the chat's {len(turns)} turns"
        self.removed(f"a new chat, without {what}", what, put_back)

    def _show_turns(self) -> None:
        if self.is_mounted:
            self.query_one(Turns).show(self.turns)
        self._follow()

    @on(PromptArea.Submitted)
    def _entered_text(self) -> None:
        self.action_run()

    # --- what follows the text, and the result ---

    def on_resize(self) -> None:
        super().on_resize()
        self._follow()

    def worker_changed(self) -> None:
        self._follow()
        super().worker_changed()

    @on(TextArea.Changed)
    def _follow(self) -> None:
        """Updates the line of tokens to the text."""
        if self.is_mounted:
            text = "" if self.has_class("low") else self.area.text
            self.query_one(TokenLine).follow(text, self.chat, tuple(self.turns))
            self._mark_outdated()

    def _mark_outdated(self) -> None:
        """A result of another text than the one that stands here says so."""
        snapshot = self.result.snapshot
        if snapshot is None:
            return
        try:
            text_field = next((field for field in fields_of(snapshot.record.experiment) if field.kind is PROMPT), None)
        except UserError:
            text_field = None  # of an experiment that there is not any more
        prompt = snapshot.record.params.get(text_field.name) if text_field else None
        other = isinstance(prompt, str) and prompt not in ("", self.area.text)
        self.result.mark_outdated("of another text: Enter runs the one above" if other else "")

    def shown(self, event: ResultPane.Shown) -> None:
        self._mark_outdated()
        self._lens_preview.after(event.snapshot)


def _text_field(fields: Sequence[Field]) -> Field:
    """The parameter that the large field is for: the first prompt."""
    return next(field for field in fields if field.kind is PROMPT)


def tokenization(snapshot: Snapshot) -> str:
    """`6 tokens (no BOS)`, as a view of the prompt says it."""
    views = (shown.view for shown in snapshot.views)
    return safe(next((view.tokenization for view in views if view is not None and view.tokenization), ""))
