"""The terminal interface: it paints Home first, then looks for the worker and the sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.worker import WorkerFailed

from workbench.errors import UserError
from workbench.text import safe, shorten
from workbench.tui import keys
from workbench.tui.context import Context
from workbench.tui.edit_stack import EditStack
from workbench.tui.feed import Feed, NothingYet
from workbench.tui.latest import FIRST_RETRY
from workbench.tui.link import Connect, Link, connect_worker
from workbench.tui.navigation import Navigation
from workbench.tui.page import Page
from workbench.tui.pages import page_of
from workbench.tui.theme import ink, use_theme
from workbench.tui.undo import Undo
from workbench.tui.worker_words import model_name, ready, worker_line

if TYPE_CHECKING:
    from workbench.edits import Edit
    from workbench.judging import JudgeCommand
    from workbench.model_info import ModelInfo
    from workbench.report import NextStep
    from workbench.session.records import StepRecord
    from workbench.settings import Settings
    from workbench.tui.screens.home import Home
    from workbench.tui.screens.run.runner import Runner
    from workbench.tui.screens.timeline import Timeline
    from workbench.tui.screens.why import Why
    from workbench.worker.client import WorkerSpec
    from workbench.worker.protocol import Message


_CANCELLING = "cancelling step"


def _not_our_step(step: int) -> str:
    return f"step {step} was not asked from here: Ctrl+C again cancels it, whoever waits for it"


class WorkbenchApp(Navigation):
    """Without `spec` it is a replay: one session, no worker, no model."""

    TITLE = "Workbench"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = None
    CSS = """
    * { scrollbar-size: 1 1; }
    Screen { background: $background; color: $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.APP)

    def __init__(
        self,
        spec: WorkerSpec | None,
        session: Path | None,
        settings: Settings,
        connect: Connect = connect_worker,
    ) -> None:
        if not os.environ.get("NO_COLOR"):
            os.environ.pop("NO_COLOR", None)  # an empty one is none (no-color.org); Textual takes it for one
        super().__init__()
        use_theme(self, settings.theme)
        self.animation_level = "none"
        self.left_by = 0
        self.settings = settings
        self.edits = EditStack()
        self.undo = Undo()
        self.begun = False
        """the first screen is painted: from now on there is time for the rest"""
        self.at_first_paint: Callable[[], object] = lambda: None
        """called once after the first paint; `run` freezes the garbage collector there, which no test should"""
        self.session_title = session.stem if session else ""
        self.model_info: ModelInfo | None = None
        self.running: StepRecord | None = None
        self.pins: list[str] = []
        self.directions: list[str] = []
        """`@name` of each that edits may name"""
        self.probes: list[str] = []
        self.prompt_sets: list[str] = []
        """names of those that the session has"""
        self.feed = Feed(self._session_changed)
        self.feed.path = session.absolute() if session else None
        self.link = Link(spec, self._worker_changed, self._hinted, connect) if spec else None
        self._losses_reported = 0
        self._submitted_steps: set[tuple[str, int]] = set()
        """the steps that this terminal submitted: session and number"""

    # --- start and end ---

    def get_default_screen(self) -> Page:
        page: Page = self.page("home" if self.link else "timeline")
        return page

    def on_mount(self) -> None:
        keys.check(self.settings.keys)
        self.set_keymap(self.settings.keys)
        self.call_after_refresh(self._begin)
        # A key that opens another screen at once takes the first one's callbacks with it.
        self.set_timer(0.3, self._begin)

    def _begin(self) -> None:
        """What follows the first paint; once."""
        if self.begun:
            return
        self.begun = True
        if self.left_by:
            self.exit(128 + self.left_by)
            return
        self.at_first_paint()
        self.run_worker(self.feed.watch(), group="feed")
        if self.link:
            self.run_worker(self.link.run(), group="link")
            self.run_worker(self.link.attach(self.feed.path), group="attach")
            self.set_interval(1.0, self._tick)
        self._session_changed()

    async def action_quit(self) -> None:
        self.exit(0)

    def _handle_exception(self, error: Exception) -> None:
        """Leave; `_run` says why, once the terminal is as it was. Textual would print its traceback there."""
        self._return_code = 1
        if self._exception is None:  # the first one: what follows from it says less
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    @property
    def defect(self) -> Exception | None:
        """The error of our own that ended the app."""
        error = self._exception
        return error.error if isinstance(error, WorkerFailed) and isinstance(error.error, Exception) else error

    async def on_unmount(self) -> None:
        if self.link:
            await self.link.close()
        await self.feed.close()

    def _tick(self) -> None:
        """Seconds left count down while something is under way."""
        if not ready(self.link) or self.running:
            self._update_page()

    # --- the worker ---

    def _worker_changed(self) -> None:
        if self.link and self.link.disconnections > self._losses_reported and self.is_running:
            self._losses_reported = self.link.disconnections
            self.page_now.say(
                "the worker is gone; another one is being started. What was finished is in the session, "
                "and a step that ran can be run again"
            )
        if self.link and self.link.status and self.link.status.info:
            self.model_info = self.link.status.info
        if self.is_running and self.begun:
            self._update_page()

    def _update_page(self) -> None:
        """The worker's state has changed. A page that is not mounted yet reads it when it is."""
        if self.page_now.is_mounted:
            self.page_now.worker_changed()
            self.page_now.refresh_frame()

    def _hinted(self, session: str, step: int) -> None:
        if self.feed.path and session == str(self.feed.path):
            self.feed.hint()

    async def request(self, message: Message) -> Any:
        """The worker's answer. Raises UserError, also in a replay."""
        if self.link is None:
            raise UserError("this is a replay, without worker or model: `workbench` alone opens one")
        return await self.link.request(message)

    async def submit(
        self,
        experiment: str,
        params: dict[str, Any],
        edits: Sequence[Edit] = (),
        *,
        seed: int = 0,
        expected: str = "",
        parent: int | None = None,
        again: bool = False,
        names: Mapping[str, str] | None = None,
        transfer: bool = False,
    ) -> int:
        """Asks for a step of the session; its number. Raises UserError, also in a replay.

        `again`: the parent is run again, with the directions that it recorded. `names`: of prompt sets, by parameter.
        `transfer`: directions of another model may be used.
        """
        from workbench.worker.protocol import Submit

        session = str(self.session_path())
        judge = None if again else await asyncio.to_thread(self._judge, experiment)
        submit = Submit(
            session=session, experiment=experiment, params=params, edits=list(edits), seed=seed, expected=expected,
            parent=parent, again=again, names=dict(names or {}), transfer=transfer, judge=judge, origin="tui",
        )  # fmt: skip
        answer = await self.request(submit)
        self._submitted_steps.add((session, answer.step))
        self.feed.hint()
        return int(answer.step)

    def _judge(self, experiment: str) -> JudgeCommand | None:
        """The settings' own, where the experiment takes one. Raises UserError."""
        from workbench.experiments import experiment as experiment_named
        from workbench.judging import read_command

        if not self.settings.judge or not experiment_named(experiment).takes_judge:
            return None
        return read_command(self.settings.judge, self.settings.judge_seconds)

    def worker_words(self) -> Text:
        """The lower line: what is the matter, what runs, or that all is well."""
        return worker_line(self.link, self.running, self._jobs(), ink(self))

    def subject(self, edits: bool = True, session: bool = True) -> Text:
        """The top line's right: session, edits, model."""
        colors = ink(self)
        text = Text()
        if edits and (words := self.edits.words()):
            text.append(f"{words} (e) · ", colors.second)
        title = safe(self.session_title) if self.feed.path else "new session"
        return text.append(" · ".join(filter(None, (title if session else "", model_name(self.link)))), colors.quiet)

    def _jobs(self) -> list[Any]:
        status = self.link.status if self.link else None
        return [job for job in status.jobs if job.session == str(self.feed.path)] if status else []

    async def action_cancel(self) -> None:
        """Ctrl+C: cancels what the page shows if that runs, else a step of this terminal, a running one first.

        A step of another terminal, or of this one before its connection broke, takes a second Ctrl+C.
        """
        page = self.page_now
        if page.cancel_page_work():
            return
        path = str(self.feed.path)
        jobs = sorted(
            self._jobs(), key=lambda job: ((path, job.step) not in self._submitted_steps, job.state != "running")
        )
        if not jobs:
            page.say("nothing is running here; q leaves" if self.link else "nothing runs in a replay; q leaves")
            return
        step = jobs[0].step
        if (path, step) in self._submitted_steps or page.notice_sentence() == _not_our_step(step):
            await self.cancel(step)
        else:
            page.say(_not_our_step(step))

    async def cancel(self, step: int) -> None:
        from workbench.worker.protocol import Cancel

        page = self.page_now
        page.say(f"{_CANCELLING} {step}; what it has found is kept")
        try:
            await self.request(Cancel(session=str(self.feed.path), step=step))
        except UserError as error:
            page.say(str(error), bad=True)

    # --- what a key removed ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The key that undoes is offered where there is something to bring back."""
        if action == "undo":
            return self.undo.next(self.feed.path) is not None
        return super().check_action(action, parameters)

    async def action_undo(self) -> None:
        """Brings back what a key removed last."""
        removal, page = self.undo.next(self.feed.path), self.page_now
        if removal is None:
            return
        try:
            restoring = removal.restore()
            if restoring is not None:
                await restoring
        except UserError as error:
            page.say(str(error), bad=True)
            return
        self.undo.done(removal)
        page.say(f"{removal.what} is back")
        page.refresh_frame()

    # --- the session ---

    def open_session(self, path: str | Path) -> None:
        """Look at this session; what is asked from now on goes into it."""
        path = Path(path).absolute()
        if path != self.feed.path:
            self._use_session(path)
        self.show("timeline")

    def new_session(self) -> None:
        self._use_session(None)

    def _use_session(self, path: Path | None) -> None:
        self.running = None
        self.session_title = path.stem if path else ""
        self.feed.open(path)
        if self.link:
            self.run_worker(self.link.attach(path), group="attach")
        for page in self._pages.values():
            page.session_swapped()
        self._session_changed()

    def session_path(self) -> Path:
        """Where steps go; a new file's name where there is none yet. Raises UserError if it can't be made."""
        if self.feed.path is None:
            from workbench.session.places import new_session_path

            self._use_session(new_session_path())
        assert self.feed.path is not None
        return self.feed.path

    def _session_changed(self) -> None:
        if not self.is_running or not self.begun:
            return
        self.run_worker(self._read_session(), group="session", exclusive=True)
        if self.page_now.is_mounted:
            self.page_now.check_session()

    async def _read_session(self) -> None:
        from workbench.tui.session_state import read_state

        running = next((job.step for job in self._jobs() if job.state == "running"), None)
        try:
            state = await self.feed.read(lambda reader: read_state(reader, running))
        except NothingYet:
            self.running = None
        except UserError:
            self.running = None  # the feed keeps the sentence, and the screens show it
            self.set_timer(FIRST_RETRY, self._read_again)
        else:
            self.session_title, self.pins = shorten(state.title, 40), state.pins
            self.directions, self.probes, self.prompt_sets = state.directions, state.probes, state.prompt_sets
            self.running = state.running if state.running and state.running.status == "running" else None
            if self.running is None and self.page_now.notice_sentence().startswith(_CANCELLING):
                self.page_now.say("")
            self.model_info = self.model_info or state.model
            if self.link and self.directions:
                self.page("home").use_direction(self.directions[0])
        self.page_now.refresh_frame()

    def _read_again(self) -> None:
        self.run_worker(self._read_session(), group="session", exclusive=True)

    def suggested_units(self) -> list[str]:
        """Units worth offering: pins, then what was edited, then directions."""
        edited = (entry.edit.units for entry in reversed(self.edits.entries))
        return list(dict.fromkeys([*self.pins, *edited, *self.directions]))

    # --- asking ---

    def ask(self, step: NextStep, parent: int | None = None) -> None:
        """Runs this on the screen that shows its answer."""
        page: Runner | Why = self.show(page_of(step.experiment))
        page.ask(step, parent)

    def remember_prompt(self, prompt: str) -> None:
        home: Home = self.page("home")
        home.use_prompt(prompt)

    def show_in_timeline(self, step: int) -> None:
        """To this step's place in the timeline."""
        timeline: Timeline = self.show("timeline")
        timeline.go_to(step)


if TYPE_CHECKING:
    _as_screens_see_it: type[Context] = WorkbenchApp
