"""One text, one experiment: what it does with it, live, with what could be asked next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import TextArea

from workbench.params import PROMPT, TEMPLATE, Field
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.screens.prompt.lens_preview import LensPreview
from workbench.tui.screens.prompt.prompt_area import PromptArea
from workbench.tui.screens.prompt.token_line import TokenLine
from workbench.tui.screens.run.runner import Runner
from workbench.tui.widgets.result import ResultPane

if TYPE_CHECKING:
    from workbench.tui.widgets.result.snapshot import Snapshot


class Prompt(Runner):
    NAME = "Prompt"
    SCREEN = "prompt"
    FIRST = "predict"
    FIELDS = 4
    ABOUT = (
        "Prompt runs an experiment on a text. Enter runs it; the answer leads with its sentence and its main view, "
        "the other views are folded below. Every run is a step of the session, with the edits that are on (e). "
        "1, 2 and 3 take the next steps that a result suggests; the line after $ is what it stands for in a shell."
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
        self._base: tuple[str, int] | None = None
        """the prompt that is being investigated, and the step that began with it: variations hang there"""
        self._lens_preview = LensPreview(self)

    def above(self) -> Iterable[Widget]:
        return (PromptArea(id="prompt"), TokenLine())

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)

    def details(self) -> str:
        words = [f" · chat template {'on' if self.chat else 'off'}"]
        snapshot = self.result.snapshot if self.is_mounted else None
        if snapshot is not None and (tokenized := tokenization(snapshot)):
            words.append(tokenized)
        return " · ".join(words)

    # --- the text and the template are the screen's own ---

    def in_form(self, fields: Sequence[Field]) -> list[Field]:
        text = _text_field(fields)
        return [field for field in fields if field is not text and field.kind is not TEMPLATE]

    def screen_values(self, fields: Sequence[Field], prompt_set: bool) -> dict[str, Any]:
        values: dict[str, Any] = {field.name: self.chat for field in fields if field.kind is TEMPLATE}
        if not prompt_set:
            values[_text_field(fields).name] = self.area.text
        return values

    def take_screen_values(self, fields: Sequence[Field], params: dict[str, Any]) -> None:
        prompt = params.pop(_text_field(fields).name, "")
        self.area.set_text(prompt if isinstance(prompt, str) else "")
        self.chat = False
        for field in fields:
            if field.kind is TEMPLATE:
                self.chat = bool(params.pop(field.name, False))
        self._follow()

    # --- variations of one text hang under the step that began with it ---

    def parent_of_run(self) -> int | None:
        return self._base[1] if self._base and self._base[0] == self.area.text else None

    def submitted(self, step: int) -> None:
        prompt = self.area.text
        if self._base is None or self._base[0] != prompt:
            self._base = (prompt, step)
        self.workbench.remember_prompt(prompt)

    def filled(self, step: int | None) -> None:
        self._base = (self.area.text, step) if step else None

    def session_swapped(self) -> None:
        self._base = None
        super().session_swapped()

    # --- its keys ---

    def action_write(self) -> None:
        self.area.focus()

    def action_chat(self) -> None:
        self.chat = not self.chat
        self._follow()
        self.refresh_frame()

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
            self.query_one(TokenLine).follow("" if self.has_class("low") else self.area.text, self.chat)

    def shown(self, event: ResultPane.Shown) -> None:
        self._lens_preview.after(event.snapshot)


def _text_field(fields: Sequence[Field]) -> Field:
    """The parameter that the large field is for: the first prompt."""
    return next(field for field in fields if field.kind is PROMPT)


def tokenization(snapshot: Snapshot) -> str:
    """`6 tokens (no BOS)`, as a view of the prompt says it."""
    views = (shown.view for shown in snapshot.views)
    return safe(next((view.tokenization for view in views if view is not None and view.tokenization), ""))
