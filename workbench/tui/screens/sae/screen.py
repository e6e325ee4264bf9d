"""SAEs: left the ones there are and the steps on the chosen one, right what the step under the cursor found."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget

from workbench.errors import UserError
from workbench.text import safe
from workbench.tui import keys
from workbench.tui.glossary import SAES, Glossary
from workbench.tui.page import Page
from workbench.tui.screens.sae import lines
from workbench.tui.screens.sae.lists import SaeList, SaeSteps
from workbench.tui.screens.sae.state import SaeState
from workbench.tui.widgets.ask import Ask, InputRequest
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.result import ResultPane
from workbench.tui.widgets.words import Words

WIDE = 110
"""cells from which the lists stand beside the result"""
LOW = 30
"""lines below which the lists above the result are short"""
_ASKS = {"check": "sae-check", "errors": "sae-errors", "features": "features", "train": "sae-train"}
"""actions that ask the model, and the experiment that each asks"""


class Sae(Page):
    NAME = "SAEs"
    ABOUT = (
        "The sparse autoencoders that are registered, by site, with width, kind and the newest figures of this "
        "session: explained variance, cross-entropy recovered, features that fire on a token (L0), dead features. Of "
        "the one under the cursor whether site and width fit the model, and the steps with it, the newest first; "
        "beside them what the step under the cursor found, where Tab leads to and the arrows go from view to view. "
        "w asks for a text: what fires on it comes as the newest step; f opens the form for that."
    )
    CSS = """
    Sae { overflow: hidden; }
    Sae #sides { height: 1fr; layout: vertical; }
    Sae #lists { height: auto; }
    Sae #about { height: auto; padding: 0 2; }
    Sae ResultPane { height: 1fr; width: 1fr; }
    Sae.beside #sides { layout: horizontal; }
    Sae.beside #lists { width: 60; height: 1fr; margin-right: 1; }
    Sae.beside SaeList { max-height: 50%; }
    Sae.beside SaeSteps { max-height: 1fr; }
    Sae.low SaeList { max-height: 3; }
    Sae.low SaeSteps { max-height: 3; }
    Sae.none SaeList, Sae.none #about, Sae.unasked SaeSteps, Sae.unasked #steps-rule { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.SAES)

    def __init__(self) -> None:
        super().__init__()
        self.state = SaeState(self, self.show_all)

    # --- what is on it ---

    def glossary(self) -> Glossary:
        return SAES

    def body(self) -> ComposeResult:
        with Container(id="sides"):
            with Vertical(id="lists"):
                yield SaeList()
                yield Words(id="about")
                yield Rule("steps", id="steps-rule")
                yield SaeSteps()
            yield ResultPane()
        yield Ask()

    @property
    def asking(self) -> Ask:
        return self.query_one(Ask)

    @property
    def saes(self) -> SaeList:
        return self.query_one(SaeList)

    @property
    def steps(self) -> SaeSteps:
        return self.query_one(SaeSteps)

    @property
    def result(self) -> ResultPane:
        return self.query_one(ResultPane)

    def details(self) -> str:
        entry = self.state.entry
        return f" · {safe(entry.name)}" if entry is not None else ""

    def default_focus(self) -> Widget | None:
        return self.saes if self.state.entries else None

    # --- life ---

    def on_mount(self) -> None:
        self._arrange()
        self.set_class(True, "none", "unasked")
        self.state.reread()

    def on_screen_resume(self) -> None:
        """SAEs are added and removed elsewhere."""
        self.state.reread()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self.show_all)

    def _arrange(self) -> None:
        beside = self.size.width >= WIDE
        self.set_class(beside, "beside")
        self.set_class(not beside and self.size.height < LOW, "low")

    def worker_changed(self) -> None:
        if self.is_mounted:
            self.result.restate()
            self.show_all()

    def session_changed(self) -> None:
        if self.is_mounted:
            self.result.reread()
            self.state.reread()

    def session_swapped(self) -> None:
        if self.is_mounted:
            self.result.show(None)
            self.state.forget()

    # --- showing ---

    def show_all(self) -> None:
        """Draws what the state holds."""
        state, entry, record = self.state, self.state.entry, self.state.record
        if not self.is_mounted or not state.read_once:
            return
        info, replay = self.workbench.model_info, self.workbench.link is None
        self.set_class(entry is None, "none")
        self.set_class(record is None, "unasked")
        misfit = ""
        if entry is not None:
            figures, misfit = state.figures.get(entry.name, {}), entry.misfit(info)
            self.saes.fill(state.entries, state.figures, state.entries.index(entry))
            cells = (60 if self.has_class("beside") else self.size.width) - 4
            self.query_one("#about", Words).show(
                lambda colors: Text("\n").join(lines.about(entry, figures, info, cells, colors))
            )
        if record is None:
            self.result.show_message(lambda colors: lines.invitation(entry, misfit, replay, colors))
        else:
            self.steps.fill(state.records, [each.id for each in state.records].index(record.id))
            if self.result.step != record.id:
                self.result.show(record.id)
        if not self.asking.is_open and self.focused is not None and self.focused not in self._places():
            self.set_focus(self.default_focus())
        self.refresh_frame()

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        entry = self.state.entry
        if action in (*_ASKS, "write") and self.workbench.link is None:
            return False
        if action in ("check", "errors", "features", "write") and (
            entry is None or entry.config is None or entry.misfit(self.workbench.model_info)
        ):
            return False
        if action in ("copy", "save") and self.state.record is None:
            return False
        return super().check_action(action, parameters)

    def _places(self) -> list[Widget]:
        if self.state.entry is None:
            return []
        return [self.saes, self.steps, self.result] if self.state.record is not None else [self.saes]

    def action_place(self, by: int) -> None:
        places = self._places()
        if places:
            at = places.index(self.focused) if self.focused in places else -by
            self.set_focus(places[(at + by) % len(places)])

    def leave(self) -> bool:
        """From the result and the steps back to the SAEs."""
        if self.focused in self._places()[1:]:
            self.set_focus(self.saes)
            return True
        return False

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        self.say("")
        if isinstance(event.source, SaeList):
            self.state.choose_sae(event.index)
        else:
            self.state.choose_step(event.index)

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        if isinstance(event.source, SaeSteps):
            self.workbench.show_in_timeline(self.state.records[event.index].id)
        else:
            self.action_place(1)

    def action_check(self) -> None:
        self._offer("check", {})

    def action_errors(self) -> None:
        self._offer("errors", {})

    def action_features(self) -> None:
        """The form asks for the text."""
        self._offer("features", {})

    def action_write(self) -> None:
        """A text of one's own: what fires on it comes here, as the newest step of the SAE."""
        hint = "the text to show features on"
        self.asking.ask(InputRequest("your text", self._use_text, self.state.text, hint, select=True))

    def _use_text(self, text: str) -> None:
        """Raises UserError where there is nothing to read."""
        entry = self.state.entry
        if not text.strip():
            raise UserError("the text is empty: type some words, for example We met in June")
        if entry is None:
            return
        self.state.text = text
        self.run_worker(self._submit_features(entry.name, text))

    async def _submit_features(self, name: str, text: str) -> None:
        try:
            await self.workbench.submit("features", {"sae": name, "prompt": text})
        except UserError as error:
            self.say(str(error), bad=True)
            return
        self.state.follow()

    async def leave_field(self) -> None:
        self.asking.close()

    def action_train(self) -> None:
        """At the chosen SAE's site, where it has one of this model."""
        entry = self.state.entry
        fits = entry is not None and entry.config is not None and not entry.misfit(self.workbench.model_info)
        site = entry.config.site if fits and entry is not None and entry.config is not None else ""
        self._offer("train", {"site": site} if site else {}, with_sae=False)

    def _offer(self, action: str, params: dict[str, Any], with_sae: bool = True) -> None:
        from workbench.report import NextStep
        from workbench.tui.pages import page_of

        entry, experiment = self.state.entry, _ASKS[action]
        if with_sae and entry is not None:
            params = {"sae": entry.name, **params}
        step = NextStep(label="", experiment=experiment, params=params)
        self.workbench.show(page_of(experiment)).offer(step)

    # --- keeping ---

    def cancel_page_work(self) -> bool:
        step = self.state.running
        if step is not None:
            self.run_worker(self.workbench.cancel(step))
        return step is not None

    async def action_copy(self) -> None:
        await self.result.action_copy()

    def action_save(self) -> None:
        self.result.action_save()
