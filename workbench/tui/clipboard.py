"""Copying: OSC 52 to the terminal, and a file, since nobody can know whether the first one arrived."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from textual.app import App

from workbench import paths
from workbench.errors import UserError

LIMIT = 74_994
"""bytes of text that terminals take at most by OSC 52 (100,000 after encoding)"""


def copy(app: App[Any], text: str) -> str:
    """Sends and keeps `text`; a sentence that claims no more. Raises UserError if the file can't be kept."""
    data = text.encode(errors="replace")
    kept = _keep(data)
    if len(data) > LIMIT:
        return f"too long for a terminal's clipboard ({len(data):,} bytes): it is in {kept}"
    for sequence in sequences(data, bool(os.environ.get("TMUX"))):
        if app._driver is not None:
            app._driver.write(sequence)
    hint = "; tmux passes it on with `set -s set-clipboard on`" if os.environ.get("TMUX") else ""
    return f"sent to the terminal's clipboard, if it takes it{hint}; also in {kept}"


def sequences(data: bytes, tmux: bool) -> list[str]:
    """OSC 52 as a terminal wants it; inside tmux also wrapped, for those who let sequences through."""
    plain = f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
    return [plain, "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"] if tmux else [plain]


def _keep(data: bytes) -> Path:
    path = paths.data_dir() / "clipboard.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"what is copied can't be kept in {path}: {error.strerror}") from None
    return path
