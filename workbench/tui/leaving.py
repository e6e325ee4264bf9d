"""SIGTERM and SIGHUP leave through the app, so that the terminal is as it was; one that has gone is not waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from textual.app import App

EXIT_TIMEOUT = 5.0
"""seconds that leaving may take: a terminal that stopped reading must not hold the process"""


def leave_on_signals(app: App[Any]) -> Callable[[], None]:
    """Call from within the app's event loop; what it returns puts the signals back as they were."""
    loop = asyncio.get_running_loop()

    def leave(number: int, frame: FrameType | None) -> None:
        if _terminal_is_gone():
            _redirect_to_null()
        watchdog = threading.Timer(EXIT_TIMEOUT, os._exit, (128 + number,))
        watchdog.daemon = True
        watchdog.start()
        loop.call_soon_threadsafe(app.exit, 128 + number)

    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


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
