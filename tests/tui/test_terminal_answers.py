"""The terminal is asked for its colours and its background: a pretend one answers in several ways."""

import contextlib
import os
import pty
import threading

import pytest
from textual.events import Key

from workbench.settings import Settings
from workbench.tui import entry, terminal_answers
from workbench.tui.pasting import PasteParser
from workbench.tui.terminal_answers import LateAnswers, ask_terminal

QUESTION = b"\x1b[c"
BACKGROUND = b"\x1b]11;?"
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
    for name in ("COLORTERM", "NO_COLOR", "TMUX", "COLORFGBG"):
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
        assert ask_terminal(background=False).typed == typed
        assert os.environ["COLORTERM"] == color_term


@pytest.mark.parametrize("end", [b"\x07", b"\x1b\\"])
@pytest.mark.parametrize(
    ("color", "is_light"),
    [
        (b"rgb:1010/1414/1818", False),
        (b"rgb:ffff/ffff/ffff", True),
        (b"rgb:fd/f6/e3", True),  # solarized light
        (b"rgb:00/2b/36", False),
        (b"rgba:ffff/ffff/ffff/8000", True),
        (b"rgb:0/0/f", False),
        (b"?", None),
    ],
)
def test_its_background_is_asked_for_where_no_theme_was_chosen(monkeypatch, color, is_light, end):
    monkeypatch.setenv("COLORTERM", "truecolor")
    with pretend_terminal(monkeypatch, b"w" + b"\x1b]11;" + color + end + b"h" + DEVICE + b"y") as sent:
        answers = ask_terminal(background=True)
        assert answers.is_light is is_light
        assert answers.typed in ("wh", "why")  # what follows the last answer may be left for the app to read
        assert BACKGROUND in sent
        assert b"\x1bP$q" not in sent  # its colours are known


@pytest.mark.parametrize(
    ("theme", "answer", "environment", "used"),
    [
        ("auto", b"\x1b]11;rgb:ffff/ffff/ffff\x07" + DEVICE, "", "light"),
        ("auto", b"\x1b]11;rgb:0000/0000/0000\x07" + DEVICE, "0;15", "dark"),
        ("auto", DEVICE, "0;15", "light"),
        ("auto", DEVICE, "15;0", "dark"),
        ("auto", DEVICE, "", "dark"),
        ("dark", b"\x1b]11;rgb:ffff/ffff/ffff\x07" + DEVICE, "0;15", "dark"),
        ("light", DEVICE, "", "light"),
    ],
)
def test_the_theme_is_the_one_of_the_settings_or_as_the_background_is(monkeypatch, theme, answer, environment, used):
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLORFGBG", environment)
    with pretend_terminal(monkeypatch, answer) as sent:
        settings, typed = entry.suited(Settings(theme=theme))
        assert (settings.theme, typed) == (used, "")
        assert (BACKGROUND in sent) is (theme == "auto")


ANSWERS = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\" + "\x1bP1$r48:2:1:2:3m\x1b\\" + DEVICE.decode()


@pytest.mark.parametrize("at", [*range(2, 24), 28, 40, 48, len(ANSWERS) - 1])
def test_an_answer_that_comes_late_is_no_keys(monkeypatch, at):
    late = LateAnswers()
    monkeypatch.setattr("workbench.tui.pasting.late_answers", late)
    late.expect("")
    parser = PasteParser()
    read = [key for data in ("wh" + ANSWERS[:at], ANSWERS[at:] + "y", "!") for key in parser.feed(data)]
    assert [key.character for key in read if isinstance(key, Key)] == ["w", "h", "y", "!"]
    assert late.cut("\x1b]") == "\x1b]"  # the last one was there: nothing waits any more


def test_one_whose_beginning_came_in_time(monkeypatch):
    late = LateAnswers()
    monkeypatch.setattr(terminal_answers, "late_answers", late)
    with pretend_terminal(monkeypatch, b"wh\x1b]11;rgb:ff"):
        assert ask_terminal(background=True) == (None, "wh")
    assert late.cut("ff/ffff/ffff\x07y" + DEVICE.decode()) == "y"


def test_what_is_awaited_in_vain_is_given_up(monkeypatch):
    late = LateAnswers()
    late.expect("")
    assert late.cut("a\x1b[?6") == "a"
    monkeypatch.setattr("time.monotonic", lambda: float("inf"))
    assert late.cut("b") == "\x1b[?6b"


def test_who_types_already_is_not_interrupted(monkeypatch):
    with pretend_terminal(monkeypatch, DEVICE, b"why\n") as sent:
        assert ask_terminal(background=True) == (None, "")
        assert QUESTION not in sent


@pytest.mark.parametrize(("name", "value"), [("COLORTERM", "24bit"), ("NO_COLOR", "1"), ("TERM", "linux")])
def test_it_asks_nothing_where_it_is_known(monkeypatch, name, value):
    with pretend_terminal(monkeypatch, DEVICE) as sent:
        monkeypatch.setenv(name, value)
        assert ask_terminal(background=False) == (None, "")
        assert not sent
