"""The sessions there are, newest first: title, steps, last result, path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from workbench.text import ago, count, fit, safe, shorten, width
from workbench.tui.theme import ink
from workbench.tui.widgets.line_list import LineList

if TYPE_CHECKING:
    from workbench.session.records import SessionSummary


class SessionList(LineList):
    """`active` says whether Home's cursor is here."""

    DEFAULT_CSS = "SessionList { height: 1fr; min-height: 2; }"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sessions: list[SessionSummary] = []
        self.active = False
        self.shown: list[SessionSummary] = []

    def cursor_shown(self) -> bool:
        return self.active

    def fill(self, sessions: list[SessionSummary], words: str = "") -> None:
        """These sessions, narrowed to those whose title, path or last result holds every word."""
        chosen = self.shown[self.cursor].path if self.cursor < len(self.shown) else ""
        self.sessions, before = sessions, self.shown
        lowered = words.lower().split()
        self.shown = [
            session
            for session in sessions
            if all(word in f"{session.title} {session.path} {session.last}".lower() for word in lowered)
        ]
        places = {session.path: at for at, session in enumerate(self.shown)}
        if self.shown != before:
            self.set_count(len(self.shown), places.get(chosen, 0))

    def line(self, index: int, cells: int) -> Text:
        session, colors = self.shown[index], ink(self.app)
        title_cells = max(12, min(28, cells // 5))
        steps = f"{count(session.steps)} step{'' if session.steps == 1 else 's'}"
        path = short_path(session.path)
        text = Text(
            fit(safe(session.title), title_cells),
            colors.strong if self.active and index == self.cursor else colors.plain,
        )
        text.append(f"  {fit(steps, 11, right=True)}  ", colors.quiet)
        room = cells - width(text.plain)
        path_cells = min(width(path), max(16, room // 2)) if room >= 40 else 0
        when = ago(session.changed)
        middle = session.problem or (f"{when}: {session.last}" if session.last else when)
        style = colors.bad if session.problem else colors.quiet
        text.append(fit(safe(middle), max(0, room - path_cells - 3)), style)
        if path_cells:
            # The end of a path matters more than its beginning.
            tail = path if width(path) <= path_cells else "…" + path[-(path_cells - 1) :]
            text.append(f"  {fit(tail, path_cells, right=True)} ", colors.quiet)
        return Text(shorten(text.plain, cells)) if width(text.plain) > cells else text


def short_path(path: str) -> str:
    """A path as one would type it here: `./sessions/tour.db`, `~/…`."""
    working_folder, home = os.getcwd(), str(Path.home())
    if path.startswith(working_folder + os.sep):
        path = "." + path.removeprefix(working_folder)
    elif path.startswith(home + os.sep):
        path = "~" + path.removeprefix(home)
    return safe(path)
