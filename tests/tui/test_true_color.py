"""24-bit colours over ssh: the terminal is asked, by a pretend one that answers in several ways."""

import contextlib
import os
import pty
import threading

import pytest

from workbench.tui.true_color import find_true_color

QUESTION = b"\x1bP$qm\x1b\\"
DEVICE = b"\x1b[?64;1;22c"


@contextlib.contextmanager
def pretend_terminal(monkeypatch, answer: bytes, typed_first: bytes = b""):
    """stdin and stdout are a terminal that gives this answer once it has been asked. Yields what it was sent."""
    terminal, ours = pty.openpty()
    sent = bytearray()

    def run():
        with contextlib.suppress(OSError):
            while QUESTION not in sent:
                sent.extend(os.read(terminal, 1024))
            os.write(terminal, answer)
            while True:
                sent.extend(os.read(terminal, 1024))

    if typed_first:
        os.write(terminal, typed_first)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with os.fdopen(os.dup(ours), "r") as stdin, os.fdopen(ours, "w") as stdout:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stdout", stdout)
        try:
            yield sent
        finally:
            monkeypatch.undo()
    os.close(terminal)
    thread.join(5)


@pytest.fixture(autouse=True)
def over_ssh(monkeypatch):
    for name in ("COLORTERM", "NO_COLOR", "TMUX"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(
    ("answer", "color_term", "typed"),
    [
        (b"\x1bP1$r0;48:2::1:2:3m\x1b\\" + DEVICE, "truecolor", ""),  # xterm, kitty
        (b"\x1bP1$r0;48;2;1;2;3m\x1b\\" + DEVICE, "truecolor", ""),
        (b"\x1bP1$r0;48:5:16m\x1b\\" + DEVICE, "", ""),  # rounded to one of 256
        (b"\x1bP0$r\x1b\\" + DEVICE, "", ""),  # does not know the question
        (DEVICE, "", ""),
        (b"wh" + b"\x1bP1$r48:2:1:2:3m\x1b\\" + b"y" + DEVICE, "truecolor", "why"),
        (b"", "", ""),
    ],
)
def test_the_terminal_is_asked_and_what_was_typed_meanwhile_is_kept(monkeypatch, answer, color_term, typed):
    with pretend_terminal(monkeypatch, answer):
        assert find_true_color() == typed
        assert os.environ["COLORTERM"] == color_term


def test_who_types_already_is_not_interrupted(monkeypatch):
    with pretend_terminal(monkeypatch, DEVICE, b"why\n") as sent:
        assert find_true_color() == ""
        assert QUESTION not in sent


@pytest.mark.parametrize(("name", "value"), [("COLORTERM", "24bit"), ("NO_COLOR", "1"), ("TERM", "linux")])
def test_it_asks_nothing_where_it_is_known(monkeypatch, name, value):
    with pretend_terminal(monkeypatch, DEVICE) as sent:
        monkeypatch.setenv(name, value)
        assert find_true_color() == ""
        assert not sent
