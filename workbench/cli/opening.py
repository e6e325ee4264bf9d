"""`workbench` alone: the terminal interface, or the short investigation where there is no terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.cli.options import worker_spec
from workbench.errors import UserError
from workbench.settings import load


def open_workbench(model: str | None, device: str | None, dtype: str | None, session: Path | None) -> int:
    """The exit status. Raises UserError for settings or flags that are wrong."""
    settings = load()
    spec = worker_spec(settings, model, device, dtype)
    if session is not None:
        if session.is_dir():
            raise UserError(f"{session} is a folder: a session is one file, for example {session / 'capitals.db'}")
        session = session.absolute()
    if sys.stdin.isatty() and sys.stdout.isatty():
        from workbench.tui.entry import run

        return run(spec, session, settings)
    from workbench.cli.tour import run_tour

    return run_tour(spec, session, settings)
