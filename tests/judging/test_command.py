"""Judges as commands, with real little programs: what they do wrong is a sentence, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, wait_until
from workbench.errors import Cancelled, UserError
from workbench.judging import JudgeCommand, RunningJudge, read_command

ROWS = [{"id": str(at), "arm": "base", "prompt": f"p{at}", "completion": f"say\nit {at} ü"} for at in range(3)]


def judged(code, tmp_path, rows=ROWS, seconds=20.0, check=lambda: None):
    script = tmp_path / "my-judge"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o700)
    with RunningJudge(
        JudgeCommand(argv=[str(script), "--strict"], folder=str(tmp_path), seconds=seconds), rows
    ) as judge:
        for _ in judge:
            check()
        return judge.labels()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # one that ended and that nobody has waited for yet is gone too
        return file.read().rpartition(")")[2].split()[0] != "Z"


def gone(pid):
    return wait_until(lambda: not alive(pid), seconds=5, what=f"the end of process {pid}")


def test_a_label_for_each_line(tmp_path):
    code = "import sys, json\nfor line in sys.stdin: print(json.loads(line)['completion'][-3:], sys.argv[1])"
    assert judged(code, tmp_path) == ["0 ü --strict", "1 ü --strict", "2 ü --strict"]


def test_more_input_and_output_than_a_pipe_holds(tmp_path):
    rows = [{"id": str(at), "completion": "x" * 1000} for at in range(2000)]
    code = "import sys\nfor line in sys.stdin: sys.stderr.write('y' * 1000); print('z' * 90)"
    assert judged(code, tmp_path, rows) == ["z" * 90] * 2000


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.stderr.write('no key\\n\\n'); sys.exit(3)", "my-judge ended with status 3: no key"),
        ("import sys; sys.exit(3)", "my-judge ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "my-judge was killed by signal 9"),
        ("print('yes')", "wrote 1 lines for 3 completions"),
        ("print('yes\\n' * 8, end='')", "wrote 8 lines for 3 completions"),
        ("", "wrote 0 lines for 3 completions"),
        ("print('a\\n\\nb')", "line 2 is empty"),
        ("print('a\\nb\\n' + 'c' * 101)", "line 3 is longer than 100 characters"),
        ("import sys; sys.stdout.buffer.write(b'a\\n\\xff\\nb\\n')", "not UTF-8: byte 2"),
        ("while True: print('x' * 1000000)", "wrote more than 16 MiB"),
    ],
)
def test_what_it_does_wrong_is_a_sentence(tmp_path, code, says):
    with pytest.raises(UserError) as caught:
        judged(code, tmp_path)
    assert says in str(caught.value)


def test_control_characters_of_a_label_are_shown_not_obeyed(tmp_path):
    assert judged("print('a\\x1b[31m\\nb\\nc')", tmp_path) == ["a\\x1b[31m", "b", "c"]


def test_one_that_hangs_is_ended_with_its_children(tmp_path):
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(UserError, match=r"was not done in 2 s .* judge_seconds"):
        judged(code, tmp_path, seconds=2)
    assert time.monotonic() - began < 15
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_what_it_leaves_behind_ends_with_it(tmp_path):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(str(child.pid))\n"
        "print('a\\nb\\nc')"
    )
    assert judged(code, tmp_path) == ["a", "b", "c"]
    assert gone(int((tmp_path / "pids").read_text()))


def test_a_cancel_kills_one_that_ignores_being_asked(tmp_path):
    pids = tmp_path / "pids"
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)"
    )

    def check():
        if pids.exists() and pids.read_text():
            raise Cancelled

    with pytest.raises(Cancelled):
        judged(code, tmp_path, check=check)
    assert gone(int(pids.read_text()))


def test_it_is_in_a_group_of_its_own(tmp_path):
    assert judged("import os; print(f'{os.getpgrp() == os.getpid()}\\n' * 3, end='')", tmp_path) == ["True"] * 3
    assert signal.getsignal(signal.SIGINT) is not None  # and ours is untouched


def test_a_command_is_words_not_a_shell(tmp_path, monkeypatch):
    script = tmp_path / "judge"
    script.write_text(f"#!{sys.executable}\nimport sys\nfor _ in sys.stdin: print(sys.argv[1:])\n")
    script.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    command = read_command("./judge 'two words' ';' '$HOME'", 5)
    assert command.argv == [str(script), "two words", ";", "$HOME"]
    assert command.folder == str(tmp_path)
    assert command.name == "judge"
    monkeypatch.chdir("/")  # where it runs is where it was typed
    with RunningJudge(command, ROWS) as judge:
        assert list(judge) is not None
        assert judge.labels() == ["['two words', ';', '$HOME']"] * 3


@pytest.mark.parametrize(
    ("text", "says"),
    [("'open", "close its quotes"), (" ", "the command is empty"), ("no-such-judge -x", "no program 'no-such-judge'")],
)
def test_what_is_no_command(text, says):
    with pytest.raises(UserError, match=says):
        read_command(text, 5)


def test_a_folder_that_is_gone_is_a_sentence(tmp_path):
    command = JudgeCommand(argv=[sys.executable, "-c", ""], folder=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="can't be started: No such file"), RunningJudge(command, ROWS):
        pass


def test_it_ends_with_the_process_that_started_it(tmp_path):
    pids = tmp_path / "pids"
    judge = tmp_path / "my-judge"
    judge.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )
    judge.chmod(0o700)
    started_by = (
        "from workbench.judging import JudgeCommand, RunningJudge\n"
        f"with RunningJudge(JudgeCommand(argv=[{str(judge)!r}], folder={str(tmp_path)!r}), []) as judge:\n"
        "    for _ in judge: pass"
    )
    process = subprocess.Popen([sys.executable, "-c", started_by], cwd=ROOT)
    try:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, what="the judge's start")
    finally:
        process.kill()  # nothing of ours gets to run any more
        process.wait()
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_what_is_no_program_is_a_sentence(tmp_path):
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o700)
    command = JudgeCommand(argv=[str(tmp_path / "text")], folder=str(tmp_path))
    with (
        pytest.raises(UserError, match="status 127: it can't be started: Exec format error"),
        RunningJudge(command, ROWS) as judge,
    ):
        list(judge)
        judge.labels()


def test_it_has_the_signals_of_a_program_that_a_shell_starts(tmp_path):
    judge = tmp_path / "my-judge"
    judge.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    judge.chmod(0o700)
    with RunningJudge(JudgeCommand(argv=[str(judge)], folder=str(tmp_path)), ROWS[:1]) as running:
        list(running)
        (label,) = running.labels()
    ignored = int(label[-16:], 16)
    assert not ignored >> (signal.SIGPIPE - 1) & 1
