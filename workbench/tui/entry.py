"""The terminal interface from its first byte to its exit status."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.events import Key

from workbench.settings import light_by_environment, load
from workbench.tui import keys
from workbench.tui.app import WorkbenchApp
from workbench.tui.leaving import leaving_on_signals
from workbench.tui.pasting import take_pastes_whole
from workbench.tui.terminal_answers import ask_terminal

if TYPE_CHECKING:
    from workbench.settings import Settings
    from workbench.worker.client import WorkerSpec


def run(spec: WorkerSpec, session: Path | None, settings: Settings) -> int:
    """The workbench in this terminal; the exit status."""
    settings, typed = suited(settings)
    return _run(WorkbenchApp(spec, session, settings), settings, typed)


def run_replay(path: Path) -> int:
    """A session's timeline without worker or model; the exit status. Raises UserError for what is no session."""
    from workbench.session.reader import SessionReader

    SessionReader(path).close()
    settings, typed = suited(load())
    return _run(WorkbenchApp(None, path, settings), settings, typed)


def suited(settings: Settings) -> tuple[Settings, str]:
    """With the theme that suits the terminal's background, where none was chosen; and what was typed meanwhile."""
    answers = ask_terminal(background=settings.theme == "auto")
    if settings.theme == "auto":
        is_light = light_by_environment() if answers.is_light is None else answers.is_light
        settings = msgspec.structs.replace(settings, theme="light" if is_light else "dark")
    return settings, answers.typed


def _run(app: WorkbenchApp, settings: Settings, typed: str) -> int:
    """`typed` are characters that came before the terminal was the app's."""
    keys.check(settings.keys)
    take_pastes_whole()

    def at_first_paint() -> None:
        gc.freeze()  # what there is stays: no full collection walks through it while a key waits
        for character in typed:
            if character.isprintable() or character in "\r\n":
                app.post_message(Key("enter" if character in "\r\n" else character, character))

    app.at_first_paint = at_first_paint
    with leaving_on_signals(app):
        code = app.run(mouse=settings.mouse) or 0
    if app.defect is not None:
        app.defect.add_note(
            "what was finished is in the session file, and the worker goes on with what it has to do: "
            "`workbench` opens both again"
        )
        raise app.defect
    return code
