"""SIGTERM and SIGHUP leave through the app, so that the terminal is as it was; one that has gone is not waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

_BACK = b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?2004l\x1b[<u"
"""out of the alternate screen; cursor, mouse, focus, pasting and keys as they were"""
EXIT_TIMEOUT = 5.0
"""seconds that leaving may take: a terminal that stopped reading must not hold the process"""


class Leaves(Protocol):
    """An app that may be asked to leave before it has begun."""

    left_by: int
    """the signal that asked; 0 while none has"""
    begun: bool
    """its first screen is painted; before, leaving trips over what is half made: then it looks at `left_by` itself"""

    def exit(self, result: Any = None) -> None: ...


@contextmanager
def leaving_on_signals(app: Leaves) -> Iterator[None]:
    """From before the app takes the terminal to after it has given it back."""
    terminal = _attributes()

    def leave(number: int, frame: FrameType | None) -> None:
        if _terminal_is_gone():
            _redirect_to_null()
        app.left_by = number
        watchdog = threading.Timer(EXIT_TIMEOUT, _force_out, (number, terminal))
        watchdog.daemon = True
        watchdog.start()
        if app.begun:
            asyncio.get_running_loop().call_soon_threadsafe(app.exit, 128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _attributes() -> list[Any] | None:
    try:
        return termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
    except (termios.error, OSError, ValueError):
        return None


def _force_out(number: int, terminal: list[Any] | None) -> None:
    """Ends the process of an app that does not leave by itself; the terminal is put back by hand."""
    try:
        os.set_blocking(1, False)
        os.write(1, _BACK)
        if terminal is not None:
            termios.tcsetattr(0, termios.TCSANOW, terminal)
    except (termios.error, OSError):
        pass  # it does not take anything any more
    os._exit(128 + number)


def _terminal_is_gone() -> bool:
    """The other end of the terminal was closed."""
    try:
        termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
    except termios.error as error:
        import errno

        return bool(error.args[0] == errno.EIO)
    except (OSError, ValueError):
        return False
    return False


def _redirect_to_null() -> None:
    """Textual's writing thread dies of the first failed write, and those who write to it then wait for ever."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)
