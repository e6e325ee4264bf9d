"""What every screen has: the frame, a sentence in place, and calls when the worker or the session changes."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.keys import key_to_character
from textual.screen import Screen
from textual.widget import Widget

from workbench.errors import UserError
from workbench.tui import keys
from workbench.tui.glossary import Glossary
from workbench.tui.theme import ink
from workbench.tui.undo import Removal, Restore
from workbench.tui.widgets.frame import BottomLine, FrameLine, Notice, TopLine, key_word

if TYPE_CHECKING:
    from workbench.tui.context import Context
    from workbench.tui.widgets.result.next_steps import NextSteps
    from workbench.tui.widgets.result.snapshot import ShownView


class Page(Screen[None]):
    """One question per screen. Pages are kept: leaving one and coming back finds it as it was."""

    NAME: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""
    """what this screen is, for the help"""
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = list(keys.PAGE)

    DEFAULT_CSS = """
    Page { layers: base; layout: vertical; background: $background; color: $foreground; }
    """

    @property
    def workbench(self) -> Context:
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        yield TopLine()
        yield BottomLine()
        yield Notice()
        yield from self.body()

    def __init__(self) -> None:
        super().__init__()
        self._troubles: dict[object, str] = {}
        """what can't be read just now, by who reads it"""
        self.next_steps: list[NextSteps] = []
        """where the screen shows what could follow its result"""

    # --- what a screen says for itself ---

    def body(self) -> ComposeResult:
        """Everything between the frame's lines."""
        raise NotImplementedError

    def heading(self) -> tuple[Text, Text]:
        """The top line's left and right."""
        colors = ink(self.app)
        left = Text.assemble((self.NAME, colors.strong), (self.details(), colors.quiet))
        return left, self.workbench.subject()

    def details(self) -> str:
        """What follows the screen's name in the top line."""
        return ""

    def glossary(self) -> Glossary:
        """What the words and columns on it mean, for the help."""
        return Glossary()

    def default_focus(self) -> Widget | None:
        """Where the focus goes when a field is left."""
        return None

    def worker_changed(self) -> None:
        """The worker's state has changed."""

    def session_changed(self) -> None:
        """The session file has something new, or is another one."""

    def view_under_cursor(self) -> tuple[str, ShownView | None] | None:
        """A name for a file and the view under the cursor, on screens without a result's pane."""
        return None

    def command_words(self) -> Sequence[str]:
        """Of the command that stands for the step on screens without a result's pane."""
        return ()

    def session_swapped(self) -> None:
        """Another session was opened: drop what was kept of the old one."""

    def cancel_page_work(self) -> bool:
        """Ctrl+C: True if the screen had something of its own to cancel."""
        return False

    async def leave_field(self) -> None:
        """Esc inside of a field."""
        place = self.default_focus()
        if place is not None:
            place.focus()

    def close_ask(self) -> bool:
        """Esc in the line that asks for something: True if one was open."""
        for ask in self.query("Ask.open"):
            ask.close()  # type: ignore[attr-defined]
            return True
        return False

    def leave(self) -> bool:
        """Esc outside of a field: True if the screen had something of its own to step back from."""
        return False

    # --- what all screens do ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that would do nothing here and now is neither offered nor listed in the help."""
        if action == "next_step":
            return any(int(str(parameters[0])) <= len(line.steps) for line in self.next_steps)
        return action != "next_focus" or len(self.focus_chain) > 1

    def action_next_step(self, number: int) -> None:
        """What could follow the result, by its number there."""
        for line in self.next_steps:
            line.take(number)

    def action_next_focus(self, by: int) -> None:
        """To the next place that takes keys, or the one before."""
        if by > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def say(self, sentence: str, bad: bool = False) -> None:
        """Shows a sentence above the lower line; an empty one removes it."""
        for notice in self.query(Notice):
            notice.say(sentence, bad)

    def run_reporting(self, work: Coroutine[Any, Any, object], group: str) -> None:
        """Runs `work`, which needs the worker; its UserError is shown on the screen."""

        async def guarded() -> None:
            try:
                await work
            except UserError as error:
                self.say(str(error), bad=True)

        self.run_worker(guarded(), group=group)

    def removed(self, sentence: str, what: str, restore: Restore, session: Path | None = None) -> None:
        """Says what a key removed, and which key brings it back; `session` is the file that it was removed from."""
        self.workbench.undo.add(Removal(what, restore, session))
        self.refresh_frame()
        _, of_app = self._binding_chain[-1]  # also while a field has the focus, whose own undo has the same key
        key = next(key for key, bound in of_app.key_to_bindings.items() if any(one.id == "undo" for one in bound))
        self.say(f"{sentence} · {key_word(key)} brings it back")

    def notice_sentence(self) -> str:
        """The sentence that `say` shows now, or nothing."""
        return next((notice.sentence for notice in self.query(Notice)), "")

    def trouble(self, reader: object, sentence: str) -> None:
        """Shows why `reader` can't read what it should; an empty sentence, that it can again, removes that.

        Each sentence is shown once: where Esc removes it, it stays away until there is another one.
        """
        before = self._troubles.pop(reader, "")
        if sentence:
            self._troubles[reader] = sentence
            if sentence != before:
                self.say(sentence, bad=True)
        elif before and self.notice_sentence() == before:
            remaining = next(iter(self._troubles.values()), "")
            self.say(remaining, bad=bool(remaining))

    def check_session(self) -> None:
        """The session file has something new, is another one, can't be read, or can be again."""
        self.trouble(self.workbench.feed, self.workbench.feed.problem)
        self.session_changed()

    @property
    def typing(self) -> bool:
        """A field has the focus: printable keys are its own."""
        return self.focused is not None and self.focused.check_consume_key("a", "a")

    def refresh_frame(self) -> None:
        if self.is_mounted:  # before that there are no lines to refresh
            for line in self.query(FrameLine):
                line.restate()
            if self.focused is None:  # the widget that takes keys may have been shown only now
                self.call_after_refresh(self._take_keys)

    def _take_keys(self) -> None:
        """Where nothing has the focus, `default_focus` gets it, so that keys work without a Tab first."""
        place = self.default_focus()
        if self.focused is None and place is not None and place.focusable:
            self.set_focus(place)
            self.refresh_frame()

    def state_words(self) -> Text:
        """The lower line's left: how the worker is."""
        return self.workbench.worker_words()

    def keys_now(self) -> list[tuple[str, str]]:
        """Keys that work here and now, the focused pane's first, the way to all of them last."""
        typing = self.typing
        key_of_label: dict[str, str] = {label: key for key, label in self.field_keys()} if typing else {}
        help_key: list[tuple[str, str]] = []
        for key, active in self.active_bindings.items():  # the focused widget's first, the app's last
            label = active.binding.description
            if not (active.binding.show and active.enabled and label) or (typing and prints(key)):
                continue
            if active.binding.id == "help":
                help_key = help_key or [(key_word(key), label)]
            else:
                key_of_label.setdefault(label, key_word(key))
        return [(key, label) for label, key in key_of_label.items()] + help_key

    def field_keys(self) -> list[tuple[str, str]]:
        """The keys to name first while a field has the focus."""
        return [("Esc", "leave the field")]

    def on_descendant_focus(self) -> None:
        self.refresh_frame()

    def on_descendant_blur(self) -> None:
        self.refresh_frame()

    def on_screen_resume(self) -> None:
        self.worker_changed()
        self.check_session()
        self.refresh_frame()


def prints(key: str) -> bool:
    """The key types a character into a field."""
    character = "/" if key == "slash" else key_to_character(key)  # Textual's table has no way back to the slash
    return character is not None and character.isprintable()
