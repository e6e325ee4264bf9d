"""What can be done from anywhere: the questions, then the commands, each with the key that does it too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import UserError
from workbench.questions import QUESTIONS
from workbench.tui.keeping import copy_command, copy_view, save_view
from workbench.tui.renaming import rename_session

if TYPE_CHECKING:
    from workbench.tui.context import Context
    from workbench.tui.page import Page


class Command(NamedTuple):
    words: str
    about: str
    key: str
    do: Callable[[], Any]
    synonyms: str = ""
    """other words by which one would look for it"""


def commands(app: Context, page: Page) -> list[Command]:
    """`page` is the screen that the palette was called from."""
    entries: list[Command] = []
    if app.link is not None:
        entries += _questions(app)
        entries += [
            Command("home", "questions and sessions", "Esc", lambda: app.show("home")),
            Command("prompt", "one text, one experiment", "", lambda: app.show("prompt")),
            Command("run", "experiments without a prompt: index, neuron, find-neuron", "", lambda: app.show("run")),
        ]
    entries += [
        Command("timeline", "the steps of this session", "t", lambda: app.show("timeline")),
        Command("neurons", "all of them, with a card for the one under the cursor", "n", lambda: app.show("neurons")),
        Command("why", "the units that make an answer, beside matched random ones", "W", lambda: app.show("why")),
        Command("directions", "those there are, and what adding one does", "D", lambda: app.show("directions")),
        Command("probes", "labelled sets, and the probes fitted on each", "L", lambda: app.show("probes")),
        Command("SAEs", "those there are, how good, and their features on a text", "F", lambda: app.show("sae")),
        Command("basket", "the pinned units, by set", "", lambda: app.show("basket")),
        Command("edits", "add, remove, switch on and off", "e", lambda: app.show("edits")),
        Command("help", "this screen and its keys", "F1", lambda: app.help_on(page)),
        Command("methods", "how each number is defined, and in which paper", "", lambda: app.show("methods")),
        Command("save the screen", "as SVG, or the view under the cursor", "x", lambda: save_view(app, page)),
        Command("copy the view", "the terminal's clipboard and a file", "y", lambda: copy_view(page)),
        Command("copy the command", "the shell line of the step that is shown", "", lambda: copy_command(page)),
    ]
    if app.link is not None:
        entries += [
            Command("new session", "what is asked next begins a new file", "", app.new_session),
            Command("rename the session", "its title; the file stays where it is", "", partial(_rename, app)),
            Command("cancel", "what runs in this session", "Ctrl+C", app.action_cancel),
            Command("try the worker again", "after a failure", "", app.link.restart),
        ]
    for name in ("dark", "light", "ansi"):
        about = "until you leave; the settings file keeps it"
        entries.append(Command(f"theme {name}", about, "", partial(app.use_setting, name)))
    entries.append(Command("quit", "the worker goes on with what it has to do", "q", app.action_quit))
    return entries


async def _rename(app: Context) -> None:
    if app.feed.exists():
        await rename_session(app.page_now, str(app.feed.path), app.session_title)
    else:
        app.page_now.say("this session begins with its first question: it can be renamed then")


def _questions(app: Context) -> list[Command]:
    values: dict[str, str] = app.page("home").values
    entries = []
    for question in QUESTIONS.values():

        def ask(question: Any = question) -> None:
            try:
                app.ask(question.ask(values))
            except UserError as error:
                app.page_now.say(str(error), bad=True)

        entries.append(
            Command(question.filled(values), question.about, "", ask, f"{question.group} {question.synonyms}")
        )
    return entries
