"""What the terminal says of itself when asked, before the first paint: how many colours it shows, how light it is.

The environment seldom says either: ssh does not pass $COLORTERM on, and few terminals set $COLORFGBG.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
import tty
from typing import NamedTuple

_SECONDS = 0.3
"""how long an answer may take; every terminal answers at least what it is"""
_LATE_SECONDS = 10.0
"""how long after that an answer is still taken for one, and not for keys"""
# The terminal is asked for its background (OSC 11). A colour is set, it is asked for its colours (DECRQSS). Then, since
# all answer that, what it is (DA1).
_BACKGROUND = "\x1b]11;?\x1b\\"
_COLOURS = "\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"
_DEVICE = "\x1b[c"
_IS_BACKGROUND = re.compile(r"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)[^\x07\x1b]*(?:\x07|\x1b\\)")
_IS_TRUE_COLOUR = re.compile(r"\x1bP1\$r[\d;:]*48[;:]2[;:]{1,2}1[;:]2[;:]3[\d;:]*m\x1b\\")
_IS_DEVICE = re.compile(r"\x1b\[\?[\d;]*c")
_ANSWERS = re.compile(rf"\x1bP[01]\$r[^\x1b]*\x1b\\|\x1b\]11;[^\x07\x1b]*(?:\x07|\x1b\\)|{_IS_DEVICE.pattern}")
_BEGUN = re.compile(r"\x1b(?:P[^\x1b]*|\][^\x07\x1b]*|\[\?[\d;]*)\x1b?$")
"""an answer whose end is not read yet"""
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Answers(NamedTuple):
    """What came back."""

    is_light: bool | None
    """its background is; None where it doesn't say"""
    typed: str
    """what was typed while it was asked"""


def ask_terminal(background: bool) -> Answers:
    """Asks for 24-bit colours where only the environment doesn't know, and for its `background`.

    Sets COLORTERM where it can show such colours.
    """
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR") or not ("256color" in term or os.environ.get("COLORTERM")):
        return Answers(None, "")  # the sixteen colours are the terminal's own, on its own background
    question = _BACKGROUND if background else ""
    if not os.environ.get("COLORTERM"):
        if not os.environ.get("TMUX"):
            question += _COLOURS
        elif "RGB" in tmux_features():
            os.environ["COLORTERM"] = "truecolor"
    if not question:
        return Answers(None, "")
    answer = _ask(question + _DEVICE)
    if _IS_TRUE_COLOUR.search(answer):
        os.environ["COLORTERM"] = "truecolor"
    shade = _IS_BACKGROUND.search(answer)
    return Answers(_is_light(*shade.groups()) if shade else None, _ANSWERS.sub("", answer))


def _is_light(*channels: str) -> bool:
    """Of red, green and blue as X11 writes them: one to four hexadecimal digits each."""
    red, green, blue = (int(channel, 16) / float(16 ** len(channel) - 1) for channel in channels)
    return 0.299 * red + 0.587 * green + 0.114 * blue > 0.5


def tmux_features() -> str:
    """What tmux takes the terminal around it to be capable of: `256,RGB,title`; empty where it doesn't say."""
    try:
        process = subprocess.run(
            ["tmux", "display-message", "-p", "#{client_termfeatures}"],
            capture_output=True, text=True, timeout=2, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip()


class LateAnswers:
    """Takes answers out of what is read after they were waited for: a slow line's are no keys."""

    def __init__(self) -> None:
        self._until = 0.0
        self._begun = ""

    def expect(self, begun: str) -> None:
        """The terminal has not said yet what it is; `begun` was read of an answer."""
        self._until, self._begun = time.monotonic() + _LATE_SECONDS, begun

    def cut(self, data: str) -> str:
        """What is left of `data`; an answer's beginning waits for its end."""
        if time.monotonic() > self._until:
            begun, self._begun = self._begun, ""
            return begun + data
        data = self._begun + data
        if _IS_DEVICE.search(data):
            self._until = 0.0  # the last of them
        data = _ANSWERS.sub("", data)
        unfinished = _BEGUN.search(data) if self._until else None
        self._begun = unfinished.group() if unfinished else ""
        return data.removesuffix(self._begun)


late_answers = LateAnswers()


def _ask(question: str) -> str:
    """Everything that comes back until the terminal has said what it is, or for as long as an answer may take."""
    descriptor = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error:
        return ""
    if select.select([descriptor], [], [], 0)[0]:
        return ""  # somebody types already: that is for the workbench to read
    answer = b""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # whoever ends us now does so once the terminal is as it was
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        sys.stdout.write(question)
        sys.stdout.flush()
        end = time.monotonic() + _SECONDS
        while (left := end - time.monotonic()) > 0 and not _IS_DEVICE.search(answer.decode("utf-8", "replace")):
            if select.select([descriptor], [], [], left)[0]:
                answer += os.read(descriptor, 1024)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    text = answer.decode("utf-8", "replace")
    if not _IS_DEVICE.search(text):
        match = _BEGUN.search(text)
        begun = match.group() if match else ""
        late_answers.expect(begun)
        text = text.removesuffix(begun)
    return text
