"""The group: help, errors as sentences, exit codes, and what is not imported."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Run
from workbench.cli import _COMMANDS, main
from workbench.cli.failing import guarded
from workbench.errors import UserError

HEAVY = ("torch", "transformers", "pandas", "datasets", "transformer_lens")


def modules_after(code: str, *args: str) -> set[str]:
    """What is imported in a new process that ran `code`."""
    script = f"import sys\nsys.argv[1:] = {list(args)!r}\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
    script += "print('\\nMODULES', *sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(process.stdout.rpartition("MODULES ")[2].split())


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    modules = modules_after("import workbench.cli; workbench.cli.main(['--help'])")
    assert not modules & {*HEAVY, "textual", "numpy", "sqlite3", "plotext"}


def test_every_experiment_has_a_command_without_torch() -> None:
    modules = modules_after("import workbench.cli; workbench.cli.main(['run', 'predict', '--help'])")
    assert not modules & {*HEAVY, "textual"}


def test_every_command_is_there_and_has_a_help(invoke: Run) -> None:
    for name in _COMMANDS:
        result = invoke(name, "--help")
        assert result.exit_code == 0, result.output
        assert "Usage: workbench " + name in result.output


def test_the_command_starts_quickly() -> None:
    took = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "workbench", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - started)
    assert min(took) < 1.0  # .1 s on an idle machine


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nonsense"], "no such command 'nonsense' (see workbench --help)"),
        (["tour.db"], "tour.db is no command: workbench --session tour.db goes on with it"),
        (["run", "nonsense"], "there is no experiment 'nonsense': there are predict,"),
        (["run", "predict", "--nonsense"], "no such option"),
        (["--device", "gpu"], "--device gpu: there is no such device (auto, cpu, cuda"),
        (["--dtype", "float8"], "--dtype float8: there is no such dtype"),
        (["--session", "/tmp"], "is a directory"),
        (["show", "none.db"], "there is no session none.db: workbench sessions lists"),
        (["stop", "7", "--all"], "a pid and --all were both given"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(invoke: Run, args: list[str], says: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("workbench: ")
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_grammar_errors_point_at_the_character(invoke: Run) -> None:
    result = invoke("run", "predict", "--prompt", "a", "--edit", "L1.Q3=0")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[1].strip() == "L1.Q3=0"
    assert lines[2].index("^") == lines[1].index("Q")


def test_wrong_settings_are_named(invoke: Run, own_folders: Path) -> None:
    (own_folders / "settings.toml").write_text("thme = 'dark'")
    result = invoke("settings")
    assert result.exit_code == 2
    assert "no setting 'thme': did you mean 'theme'?" in result.stderr


def test_errors_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise UserError("no file \x1b[31mred\x07")

    assert guarded(fails) == 2
    assert capsys.readouterr().err == "workbench: no file \\x1b[31mred\\x07\n"


def test_an_error_of_ours_is_a_sentence_and_a_file(capsys: pytest.CaptureFixture[str], own_folders: Path) -> None:
    def fails() -> None:
        raise ZeroDivisionError("by nothing")

    assert guarded(fails) == 1
    errors = capsys.readouterr().err
    assert "ZeroDivisionError: by nothing" in errors
    assert "Traceback" not in errors
    (written,) = (own_folders / "run").glob("crash-*.txt")
    assert str(written) in errors
    assert "Traceback" in written.read_text()


@pytest.mark.parametrize(
    ("raised", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 130), (SystemExit(3), 3), (SystemExit(), 0)]
)
def test_exit_codes(raised: BaseException, code: int) -> None:
    def ends() -> None:
        raise raised

    assert guarded(ends) == code


def test_a_group_alone_is_its_help() -> None:
    done = subprocess.run([sys.executable, "-m", "workbench", "sae"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: workbench sae")
    assert "see workbench sae --help" not in done.stderr


def test_a_closed_pipe_is_quiet() -> None:
    script = f"{sys.executable} -m workbench experiments | head -1; echo ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["what the model says, and what it reads", "0"]
    assert process.stderr == ""


def test_output_is_ascii_where_the_locale_is(tmp_path: Path) -> None:
    environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "HOME": str(tmp_path), "PATH": ""}
    for command in (["settings"], ["experiments"], ["show", "näme.db"]):
        process = subprocess.run([sys.executable, "-m", "workbench", *command], capture_output=True, env=environment)
        assert (process.stdout + process.stderr).isascii()
        assert b"Traceback" not in process.stderr


def test_main_can_be_called_by_other_programs() -> None:
    assert main(["--version"], standalone_mode=False) == 0
