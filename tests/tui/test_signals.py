"""In a real terminal: signals, and defects of our own, leave through the app, and the terminal is as it was."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

_REPLAY = "import sys; from pathlib import Path; from workbench.tui.entry import run_replay; "
_REPLAY += "sys.exit(run_replay(Path(sys.argv[1])))"


class Program:
    """A child on a pseudo-terminal of 100 by 30."""

    def __init__(self, *arguments: str, code: str = _REPLAY) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.said = b""

    def wait_for(self, words: bytes, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while words not in self.said:
            assert time.monotonic() < end, self.said[-2000:]
            self._read(0.1)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.said += data
        return bool(data)

    def status(self, seconds: float = 30) -> int:
        """The exit status, once it has left."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0.05) and select.select([self.terminal], [], [], 0.05)[0]:
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"it did not leave; it said {self.said[-2000:]!r}")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_through_the_app_and_restores_the_terminal(tour, name):
    program = Program(str(tour))
    program.wait_for(b"Timeline")
    os.kill(program.pid, getattr(signal, name))
    assert program.status() == 128 + getattr(signal, name)
    assert b"\x1b[?1049l" in program.said  # back from the alternate screen
    assert b"\x1b[?25h" in program.said  # the cursor is seen again
    assert b"Traceback" not in program.said


_AT_ONCE = """
import os, signal, sys, time
from pathlib import Path
from textual.drivers.linux_driver import LinuxDriver
from workbench.tui import entry, leaving
start = LinuxDriver.start_application_mode
def start_and_be_told(self):
    if {when!r} == "before": os.kill(os.getpid(), signal.{name})
    start(self)
    if {when!r} != "before": os.kill(os.getpid(), signal.{name})
    if {when!r} == "stuck": time.sleep(30)
LinuxDriver.start_application_mode = start_and_be_told
if {when!r} == "stuck": leaving.EXIT_TIMEOUT = .3
sys.exit(entry.run_replay(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("when", ["before", "after", "stuck"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_as_the_app_takes_the_terminal_gives_it_back(tour, name, when):
    """The very moments around it, in which the app has not begun to listen; also one that does not leave by itself."""
    program = Program(str(tour), code=_AT_ONCE.format(name=name, when=when))
    assert program.status() == 128 + getattr(signal, name)
    taken, back = program.said.rfind(b"\x1b[?1049h"), program.said.rfind(b"\x1b[?1049l")
    assert back > taken >= 0
    assert program.said.rfind(b"\x1b[?25h") > taken
    assert b"Traceback" not in program.said


def test_control_c_stays_and_q_leaves(tour):
    program = Program(str(tour))
    program.wait_for(b"Timeline")
    os.write(program.terminal, b"\x03")
    program.wait_for(b"nothing runs in a replay")
    os.write(program.terminal, b"q")
    assert program.status() == 0
    assert b"\x1b[?1049l" in program.said


def test_a_terminal_that_goes_away_takes_the_app_with_it(tour):
    program = Program(str(tour))
    program.wait_for(b"Timeline")
    os.close(program.terminal)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if os.waitpid(program.pid, os.WNOHANG)[0]:
            return
        time.sleep(0.05)
    os.kill(program.pid, signal.SIGKILL)
    os.waitpid(program.pid, 0)
    raise AssertionError("it stayed behind without a terminal")


_BROKEN = """
import sys
from workbench.cli import main
from workbench.tui.screens.help.screen import Help
{how}
sys.argv[1:] = ["replay", sys.argv[1]]
main()
"""
_DRAWING = "def broken(self, *given): raise RuntimeError('the lamp fell over')\nHelp.heading = broken"
_WORKER = """
async def fall(): raise RuntimeError('the lamp fell over')
Help.describe = lambda self, page: page.run_worker(fall())
"""


@pytest.mark.parametrize("how", [_DRAWING, _WORKER], ids=["while drawing", "in a task"])
def test_a_defect_is_a_sentence_with_the_file_that_has_the_traceback(tour, how):
    program = Program(str(tour), code=_BROKEN.format(how=how))
    program.wait_for(b"Timeline")
    os.write(program.terminal, b"?")
    assert program.status() == 1
    after = program.said.rsplit(b"\x1b[?1049l", 1)[1]  # back from the alternate screen
    assert b"Traceback" not in program.said
    said = " ".join(re.sub(r"\x1b\[[^a-z]*[a-z]", "", after.decode()).split())
    assert "an error of our own (RuntimeError: the lamp fell over)" in said
    assert "what was finished is in the session file, and the worker goes on" in said
    file = Path(re.search(r"written in (\S+)", said)[1])
    assert "the lamp fell over" in file.read_text() and "Traceback" in file.read_text()
