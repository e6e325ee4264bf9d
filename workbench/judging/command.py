"""A judge of the user's: a command that reads JSONL and writes a label a line.

It comes from this command line or the user's settings, and travels with the run as a message: it is no parameter, so
that nothing that is stored in a session is ever executed. It runs without a shell, in a process group of its own that
is killed whole when it is over, cancelled or late, and when the process that started it is gone.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from workbench.errors import UserError
from workbench.text import safe, shorten

POLL_SECONDS = 0.05
MAX_OUTPUT = 1 << 24
"""bytes that a judge may write"""
_GUARD = Path(__file__).with_name("guard.py")
MAX_LABEL = 100
"""characters of a label"""


class JudgeCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What is run, where, and for how long."""

    argv: list[str]
    """the first is an absolute path"""
    folder: str
    """that its other words may be relative to"""
    seconds: float = 120.0

    @property
    def name(self) -> str:
        return Path(self.argv[0]).name

    def __str__(self) -> str:
        return shlex.join(self.argv)


def read_command(text: str, seconds: float) -> JudgeCommand:
    """A command as it is typed in this folder. Raises UserError where there is no such program."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--judge {text}: this is no command ({error}): close its quotes") from None
    if not words:
        raise UserError("--judge: the command is empty: give one, for example --judge 'my-judge --strict'")
    program = shutil.which(os.path.expanduser(words[0]))
    if program is None:
        raise UserError(f"--judge {text}: there is no program {words[0]!r} that can be run: give its path")
    return JudgeCommand(argv=[os.path.abspath(program), *words[1:]], folder=os.getcwd(), seconds=seconds)


class RunningJudge:
    """A judge at work, as a context: iterating waits for it, leaving it ends it.

    with RunningJudge(command, rows) as judge:
        for _ in report.track(judge, "checks", stage="judging"):
            pass
        labels = judge.labels()

    Raises UserError, with the judge's name, for all that it does wrong.
    """

    def __init__(self, command: JudgeCommand, rows: Sequence[Mapping[str, object]]) -> None:
        """`rows` become its input, a JSON object a line."""
        self._command = command
        self._n = len(rows)
        self._files: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed on exit
        given, self._output, self._complaint = self._files
        given.writelines(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for row in rows)
        given.seek(0)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningJudge:
        given, output, complaint = self._files
        reading, self._lifeline = os.pipe()
        try:
            # Files, not pipes: whatever it reads and writes in whatever order, nobody waits for the other.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(reading), *self._command.argv],
                stdin=given,
                stdout=output,
                stderr=complaint,
                cwd=self._command.folder,
                start_new_session=True,
                pass_fds=[reading],
            )
        except OSError as error:
            self._close()
            raise self._problem(f"can't be started: {error.strerror}") from None
        finally:
            os.close(reading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # it, or what it left behind
        except (ProcessLookupError, PermissionError):
            pass  # nothing is left
        self._process.wait()
        self._close()

    def __iter__(self) -> Iterator[None]:
        """Once in a while, until it is over. Raises UserError where that takes too long, or it writes too much."""
        assert self._process is not None
        end = time.monotonic() + self._command.seconds
        while self._process.poll() is None:
            if time.monotonic() > end:
                raise self._problem(
                    f"was not done in {self._command.seconds:g} s and was ended: the setting judge_seconds gives more"
                )
            self._check_size()
            yield
            time.sleep(POLL_SECONDS)
        self._check_size()

    def labels(self) -> list[str]:
        """A label for each row. Raises UserError where it failed, or wrote anything else."""
        assert self._process is not None
        code = self._process.returncode
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            self._complaint.seek(0)
            lines = self._complaint.read(MAX_OUTPUT).decode("utf-8", "replace").strip().splitlines()
            raise self._problem(f"{how}: {shorten(safe(lines[-1]), 200)}" if lines else how)
        self._output.seek(0)
        try:
            text = self._output.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._problem(f"wrote what is not UTF-8: byte {error.start} can't be read") from None
        lines = [line.strip() for line in text.removesuffix("\n").split("\n")] if text else []
        if len(lines) != self._n:
            raise self._problem(f"wrote {len(lines):,} lines for {self._n:,} completions: one label a line is expected")
        for at, line in enumerate(lines, 1):
            if not line or len(line) > MAX_LABEL:
                what = f"is longer than {MAX_LABEL} characters" if line else "is empty"
                raise self._problem(f"line {at} {what}: a label is expected there")
        return [safe(line) for line in lines]

    def _check_size(self) -> None:
        if any(os.fstat(file.fileno()).st_size > MAX_OUTPUT for file in (self._output, self._complaint)):
            raise self._problem(f"wrote more than {MAX_OUTPUT >> 20} MiB and was ended: labels are short")

    def _problem(self, what: str) -> UserError:
        return UserError(f"the judge {self._command.name} {what}")

    def _close(self) -> None:
        os.close(self._lifeline)
        for file in self._files:
            file.close()
