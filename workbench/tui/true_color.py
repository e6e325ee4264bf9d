"""Whether the terminal shows 24-bit colours, where the environment doesn't say: ssh does not pass $COLORTERM on."""

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

_SECONDS = 0.3
"""how long an answer may take; every terminal answers at least what it is"""
# A colour is set, the terminal is asked for its colours (DECRQSS) and then, since all answer that, what it is (DA1).
_QUESTION = "\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m\x1b[c"
_COLOURS = re.compile(r"\x1bP1\$r[\d;:]*48[;:]2[;:]{1,2}1[;:]2[;:]3[\d;:]*m\x1b\\")
_ANSWERS = re.compile(r"\x1bP[01]\$r[^\x1b]*\x1b\\|\x1b\[\?[\d;]*c")
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_DEVICE = re.compile(r"\x1b\[\?[\d;]*c")


def find_true_color() -> str:
    """Sets COLORTERM where the terminal can show 24-bit colours and only the environment doesn't know.

    Returns what was typed while it was asked.
    """
    term = os.environ.get("TERM", "")
    if os.environ.get("COLORTERM") or os.environ.get("NO_COLOR") or "256color" not in term:
        return ""
    if os.environ.get("TMUX"):
        if "RGB" in tmux_features():
            os.environ["COLORTERM"] = "truecolor"
        return ""
    answer = _ask()
    if _COLOURS.search(answer):
        os.environ["COLORTERM"] = "truecolor"
    return _ANSWERS.sub("", answer)


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


def _ask() -> str:
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
        sys.stdout.write(_QUESTION)
        sys.stdout.flush()
        end = time.monotonic() + _SECONDS
        while (left := end - time.monotonic()) > 0 and not _DEVICE.search(answer.decode("utf-8", "replace")):
            if select.select([descriptor], [], [], left)[0]:
                answer += os.read(descriptor, 1024)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    return answer.decode("utf-8", "replace")
