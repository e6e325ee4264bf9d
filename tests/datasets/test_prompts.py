"""Files of prompts are read as what they are, or refused with a sentence."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.errors import UserError

CAPITALS = [PromptRow("The capital of France is", " Paris"), PromptRow("The capital of Japan is", " Tokyo")]
ARRAY = """[
  {"prompt": "The capital of France is", "answer": " Paris"},
  {"prompt": "The capital of Japan is", "answer": " Tokyo"}
]
"""
TABLE = 'prompt,answer\n"The capital of France is"," Paris"\n"The capital of Japan is"," Tokyo"\n'


@pytest.mark.parametrize("name", ["array.json", "array.txt", "array", "63"])
def test_a_json_array_is_read_as_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(ARRAY)
    assert read_prompts(file) == CAPITALS
    file.write_text('["one", "two\\nlines"]')
    assert read_prompts(file) == [PromptRow("one"), PromptRow("two\nlines")]
    file.write_text('[{"prompt": "a"}, "b"]')
    assert read_prompts(file) == [PromptRow("a"), PromptRow("b")]


@pytest.mark.parametrize("name", ["table.csv", "table.txt", "TABLE.CSV", "63"])
def test_a_csv_with_a_header_is_read_as_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("\ufeff" + TABLE.replace("\n", "\r\n"))
    assert read_prompts(file) == CAPITALS


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "[\n  {oops\n]", "a JSON file of prompts is a list"),
        ("a.txt", '[{"prompt": "a"}', "a JSON file of prompts is a list"),
        ("a.csv", "The capital\nof France\n", "has the columns 'the capital' in its first line: a CSV of prompts has"),
        ("a.csv", "prompt,anwser\na,b\n", "has the columns 'prompt, anwser'"),
        ("a.csv", "answer\n a\n", "has the columns 'answer'"),
        ("a.csv", "prompt,prompt\na,b\n", "has the columns 'prompt, prompt'"),
        ("a.csv", "prompt,answer\na\n", "line 2: there are 1 cells where the first line has 2"),
        ("a.csv", "prompt,answer\n, b\n", "line 2: the prompt is empty"),
        ("a.csv", 'prompt\n"a\n', "line 2: no CSV"),
        ("a.csv", "prompt,answer\n\n", "there is no prompt in"),
    ],
)
def test_what_is_neither_is_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_prompts(file)
    assert sentence in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "line", ["[INST] Hello [/INST]", "prompt", "a, b and c", "[x] \r y", 'the "prompt", the answer']
)
def test_text_that_looks_a_little_like_it_is_text(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(f"{line}\nmore\n".encode())
    assert read_prompts(file) == [PromptRow(line), PromptRow("more")]


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), min_size=1, max_size=12)
ROWS = st.lists(st.builds(PromptRow, TEXTS.filter(str.strip), TEXTS, TEXTS), min_size=1, max_size=4)


@given(ROWS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_rows_come_back_from_json_and_csv(tmp_path: Path, rows: list[PromptRow]) -> None:
    cells = [[row.prompt, row.answer, row.foil] for row in rows]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([["prompt", "answer", "foil"], *cells])
    objects = [dict(zip(("prompt", "answer", "foil"), row, strict=True)) for row in cells]
    for name, text in (("a.csv", table.getvalue()), ("a", table.getvalue()), ("b", json.dumps(objects))):
        (tmp_path / name).write_bytes(text.encode())
        assert read_prompts(tmp_path / name) == rows


def read_in_bash(redirection: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """What `read_prompts` gives, or says, for a file as bash names it; a pipe is waited for this long."""
    script = (
        "import sys; from pathlib import Path; from workbench import files; from workbench.datasets import prompts\n"
        f"files.PIPE_SECONDS = {seconds}\n"
        "try: print(*(row.prompt for row in prompts.read_prompts(Path(sys.argv[1]))))\n"
        "except prompts.UserError as error: sys.exit(str(error))"
    )
    line = f'"$0" -c "$1" {redirection}'
    return subprocess.run(["bash", "-c", line, sys.executable, script], capture_output=True, text=True, timeout=60)


def test_pipes_are_read_to_their_end() -> None:
    for command in ("printf 'a\\n'; sleep .3; printf 'b\\n'", "printf 'a\\nb\\n'"):
        ran = read_in_bash(f"<({command})")
        assert ran.stdout == "a b\n", ran.stderr
    assert "there is no prompt in" in read_in_bash("<(sleep .2)").stderr
    assert "there is no prompt in" in read_in_bash("/dev/null").stderr


def test_what_never_ends_is_a_sentence(tmp_path: Path) -> None:
    assert "/dev/zero is larger than 256 MiB: that is not a file of prompts" in read_in_bash("/dev/zero").stderr
    os.mkfifo(tmp_path / "fifo")
    ran = read_in_bash(str(tmp_path / "fifo"), 0.3)
    assert "fifo is a pipe that did not end within 0.3 s: write the prompts into a file first" in ran.stderr
    assert "did not end within 0.5 s" in read_in_bash("<(while sleep .1; do echo a; done)", 0.5).stderr
