"""What is shown for copying, pasted into a real shell, is the words it was made of."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.shell import LONGEST, shell_line
from workbench.text import safe

ODD = [
    "a\nb",
    "a\tb\r\n",
    "می‌خواهم",
    "क्‍ष",
    'it\'s "so" $HOME `id` \\n !x',
    "-5 + 3 =",
    "--prompt",
    "\u202eabc\u202c",
    "a\u00a0b\u3000c",
    "\x1b[31mred\x1b[0m\x9b1m",
    "e" + "\u0301" * 12,
    "❤\ufe0f \ufeff\u200b",
    "\x41\x01F",
    "$'a'",
    "~/x *?[a]{b,c}",
    "",
    " ",
    "\u0301x",
]
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)


def words_read(line: str, locale: str = "C.UTF-8") -> list[str]:
    """What bash gives a command `workbench` for this line, typed at a prompt."""
    script = 'workbench() { for word in "$@"; do printf "%s\\0" "$word"; done; }\n' + line
    environment = {"PATH": os.environ["PATH"], "LC_ALL": locale}
    process = subprocess.run(["bash", "-c", script], capture_output=True, env=environment, check=True)
    assert process.stderr == b"", process.stderr
    return process.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_odd_texts_come_back_from_a_shell(text: str, ascii_only: bool, locale: str) -> None:
    line = shell_line(["workbench", "run", "--prompt", text], ascii_only)
    assert words_read(line, locale) == ["run", "--prompt", text]
    assert line.isascii() or not ascii_only


@given(st.lists(TEXTS, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_words_come_back_from_a_shell(words: list[str]) -> None:
    line = shell_line(["workbench", *words])
    assert words_read(line) == words


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_a_line_is_shown_as_it_is_copied(text: str) -> None:
    for ascii_only in (False, True):
        line = shell_line(["workbench", text], ascii_only)
        assert safe(line) == line, "nothing on the way to a screen changes it"
        assert not any(unicodedata.category(character)[0] in "ZC" for character in line.replace(" ", ""))


def test_readable_text_stays_readable() -> None:
    assert shell_line(["workbench", "run", "--prompt", "Paris ist schön"]) == "workbench run --prompt 'Paris ist schön'"
    assert shell_line(["x", "हिन्दी\n"]) == "x $'हिन्दी\\n'"
    assert shell_line(["x", "naïve"], ascii_only=True) == "x $'na\\xc3\\xafve'"


def test_what_no_shell_can_be_given_has_no_line(tmp_path: Path) -> None:
    assert shell_line(["workbench", "a\0b"]) == ""
    assert shell_line(["workbench", "a\ud800"]) == ""
    assert shell_line(["workbench", "x" * LONGEST]) == ""
    longest = shell_line(["true", "x" * (LONGEST - 1)])
    script = tmp_path / "line.sh"
    script.write_text("/bin/" + longest)
    subprocess.run(["bash", str(script)], check=True)
