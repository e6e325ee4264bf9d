"""A process that is forked off, does something, and says how far it came, so that it can be killed at any moment."""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections.abc import Callable

Say = Callable[[object], None]
"""tells the parent a line, at once"""


class Child:
    """Runs `work(say)`; a traceback of it fails whoever waits for it."""

    def __init__(self, work: Callable[[Say], None], user: int | None = None) -> None:
        self._pipe, writing = os.pipe()
        self._said = b""
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                work(lambda line: _write(writing, f"{line}\n"))
                code = 0
            except BaseException:
                _write(writing, "!" + traceback.format_exc())
            finally:
                os._exit(code)
        os.close(writing)

    def wait_for_a_line(self) -> None:
        select.select([self._pipe], [], [], 20)

    def kill(self, after: float) -> list[str]:
        """Kills it so many seconds from now; the lines that it said."""
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)
        return self.lines()

    def lines(self) -> list[str]:
        """All that it said, once it has ended. Raises AssertionError for a traceback."""
        said = b""
        while block := os.read(self._pipe, 1 << 16):
            said += block
        os.close(self._pipe)
        os.waitpid(self.pid, 0)
        text = said.decode()
        assert "!Traceback" not in text, text
        return text.splitlines()


def _write(descriptor: int, text: str) -> None:
    os.write(descriptor, text.encode())
