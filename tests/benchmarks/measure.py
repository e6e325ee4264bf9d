"""What the benchmarks share: a program in a pty, its bytes with their times, and the table of results."""

from __future__ import annotations

import fcntl
import os
import platform
import pty
import select
import signal
import statistics
import struct
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

SILENCE = 0.080
"""seconds without a byte after which a repaint is over"""


class Pty:
    """A program in a terminal of its own, as a screen (pyte) and as timed bytes."""

    def __init__(self, command: Sequence[str], width: int = 120, height: int = 40, env: dict[str, str] | None = None):
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", **(env or {})})
            os.execvp(command[0], list(command))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.closed = False
        self.read_at = self.started
        """when the last bytes came, before they were drawn here (which takes longer than reading them)"""

    def _read(self, timeout: float, draw: bool = True) -> bytes:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, timeout))
        if not ready:
            return b""
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            data = b""
        if not data:
            self.closed = True
        else:
            self.read_at = time.perf_counter()
        if draw:
            self._stream.feed(data)
        return data

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait_for(self, expected: str | Callable[[str], bool], seconds: float = 60) -> float:
        """Seconds from the start of the program until the screen shows it."""
        shows = expected if callable(expected) else lambda text: expected in text
        end = time.perf_counter() + seconds
        while not self.closed and time.perf_counter() < end:
            if self._read(0.5) and shows(self.text()):
                return time.perf_counter() - self.started
        raise AssertionError(f"the screen never showed {expected!r}:\n{self.text()}")

    def settle(self, silence: float = SILENCE, seconds: float = 10) -> None:
        """Read until nothing has come for `silence` seconds."""
        end = time.perf_counter() + seconds
        while self._read(silence) and time.perf_counter() < end:
            pass

    def send(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def repaint(self, keys: str, silence: float = SILENCE, seconds: float = 3) -> tuple[float, int]:
        """Types `keys`; (seconds from the write to the last byte before silence, bytes). nan where nothing came."""
        start = last = time.perf_counter()
        self.send(keys)
        received = 0
        # Drawing waits until the end: the terminal's buffer holds 4 KB, and a slow reader would slow the program down.
        pieces = []
        while time.perf_counter() - start < seconds:
            data = self._read(silence if received else seconds, draw=False)
            if not data:
                break
            last = self.read_at
            received += len(data)
            pieces.append(data)
        self._stream.feed(b"".join(pieces))
        return (last - start if received else float("nan")), received

    def private_memory(self) -> int:
        """Bytes that are this process's alone (Linux)."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return 1024 * sum(
            int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty"))
        )

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(self.pid, number)
                end = time.perf_counter() + 3
                while time.perf_counter() < end:
                    self._read(0.05)
                    if os.waitpid(self.pid, os.WNOHANG)[0]:
                        os.close(self.fd)
                        return
            except (ProcessLookupError, ChildProcessError):
                return


def percentile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(q / 100 * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


class Results:
    """Lines of goal, measured, passed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, bool]] = []

    def add(self, what: str, goal: str, measured: str, passed: bool) -> None:
        self.rows.append((what, goal, measured, passed))
        print(f"{'pass' if passed else 'MISS'}  {what}: goal {goal}, measured {measured}", flush=True)

    def markdown(self) -> str:
        lines = ["| what | goal | measured | |", "|---|---|---|---|"]
        lines += [f"| {what} | {goal} | {got} | {'yes' if ok else '**no**'} |" for what, goal, got, ok in self.rows]
        return "\n".join(lines)


def machine() -> str:
    """The machine in a line, for the head of every table."""
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.machine()}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"
