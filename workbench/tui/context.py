"""What a screen or a widget may ask of the program around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.text import Text

if TYPE_CHECKING:
    from workbench.edits import Edit
    from workbench.model_info import ModelInfo
    from workbench.report import NextStep
    from workbench.session.records import StepRecord
    from workbench.tui.edit_stack import EditStack
    from workbench.tui.feed import Feed
    from workbench.tui.link import Link
    from workbench.tui.undo import Undo
    from workbench.worker.protocol import Message


class Context(Protocol):
    """The application as screens see it; `workbench.tui.app.WorkbenchApp` is one."""

    link: Link | None
    """the worker; None in a replay"""
    feed: Feed
    """the session's file"""
    edits: EditStack
    undo: Undo
    """what keys have removed"""
    session_title: str
    model_info: ModelInfo | None
    directions: list[str]
    """`@name` of each that edits may name"""
    probes: list[str]
    """names of the session's"""
    prompt_sets: list[str]
    """names of those that the session has"""
    running: StepRecord | None
    begun: bool
    """the first screen is painted"""

    # --- the worker ---

    async def request(self, message: Message) -> Any:
        """The worker's answer. Raises UserError, also in a replay."""

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

    async def cancel(self, step: int) -> None:
        """Asks that a step be cancelled."""

    def worker_words(self) -> Text:
        """How the worker is, for the lower line."""

    # --- the session ---

    def session_path(self) -> Path:
        """Where steps go. Raises UserError if it can't be made."""

    def open_session(self, path: str | Path) -> None:
        """Look at this session; what is asked from now on goes into it."""

    def new_session(self) -> None:
        """What is asked next begins a new file."""

    # --- other screens ---

    @property
    def page_now(self) -> Any:
        """The screen that is seen."""

    def page(self, name: str) -> Any:
        """The screen of this name."""

    def show(self, name: str) -> Any:
        """Shows this screen; where it is below others in the stack, they are popped."""

    def pop_screen(self) -> Any:
        """Back to the screen below."""

    def ask(self, step: NextStep, parent: int | None = None) -> None:
        """Runs this on the screen that shows its answer."""

    def show_in_timeline(self, step: int) -> None:
        """To this step's place in the timeline."""

    def help_on(self, page: Any) -> None:
        """The help of this screen."""

    # --- what is known ---

    def remember_prompt(self, prompt: str) -> None:
        """Fills this prompt into every question from now on."""

    def suggested_units(self) -> list[str]:
        """Units worth offering: pins, then what was edited, then directions."""

    def subject(self, edits: bool = True, session: bool = True) -> Text:
        """The top line's right: session, edits, model."""

    def use_setting(self, theme: str) -> None:
        """Sets the theme by its name in the settings."""

    async def action_cancel(self) -> None:
        """What Ctrl+C does."""

    async def action_quit(self) -> None:
        """Leaves."""
