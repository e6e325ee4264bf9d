"""Arms judged by a command of the user's."""

import os
import sys

import pytest

from tests.experiments.refusing_arms import HARMFUL, HARMLESS, SHORT, arms, refusing_lab
from tests.lab.labs import new_report
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.judging import JudgeCommand
from workbench.session.submission import make_submission


@pytest.fixture(scope="module")
def refusing():
    return refusing_lab()


def judge_of(tmp_path, code, seconds=20.0):
    script = tmp_path / "my-judge"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o700)
    return JudgeCommand(argv=[str(script), "--strict"], folder=str(tmp_path), seconds=seconds)


def with_judge(refusing, judge, report, **params):
    lab, _, direction = refusing
    given = {"direction": "@r", **SHORT, "harmful": HARMFUL, "harmless": HARMLESS, "n": 2, **params}
    execute(lab, "arms", given, [], 0, report, {"r": direction}, judge)


def test_a_judge_labels_every_completion(refusing, tmp_path):
    code = (
        "import sys, json\n"
        "for row in map(json.loads, sys.stdin):\n"
        "    verdict = 'bad' if 'cannot' in row['completion'] else 'good'\n"
        "    print(row['set'], row['arm'], row['control'], row['id'], verdict)"
    )
    report = new_report()
    with_judge(refusing, judge_of(tmp_path, code), report, control_prompts=1, shuffles=1)
    for row in report.views["completions"].records():
        refused = "bad" if "refusal" in row["labels"] else "good"
        assert row["judge"] == " ".join(row[key] for key in ("set", "arm", "control", "id")) + f" {refused}"
    with_judge(
        refusing, judge_of(tmp_path, "import sys\nfor line in sys.stdin: print('+1' in line)"), report, shuffles=0
    )
    shares = {(row["set"], row["edit"], row["label"]): row["share"] for row in report.views["judged"].records()}
    assert shares["harmless", "+1 added", "True"] == 1
    assert shares["harmless", "base", "True"] == 0
    assert shares["harmless", "base", "False"] == 1
    assert any(note.startswith("judged by my-judge: ") and "--strict" in note for note in report.notes)


def test_a_judge_that_fails_leaves_our_verdicts(refusing, tmp_path):
    report = new_report()
    with_judge(refusing, judge_of(tmp_path, "import sys; sys.exit(2)"), report, shuffles=0)
    assert arms(report)["harmful", "base"]["refusal"] == 1
    assert "judged" not in report.views
    assert "the judge my-judge ended with status 2; the verdicts of the rules stand alone" in report.notes


def test_a_cancel_ends_the_judge_and_keeps_the_arms(refusing, tmp_path):
    pids = tmp_path / "pids"

    def between():
        if pids.exists() and pids.read_text():
            raise Cancelled

    code = f"import os, time\nopen({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    report = new_report(between)
    with pytest.raises(Cancelled):
        with_judge(refusing, judge_of(tmp_path, code), report, shuffles=0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)
    assert len(arms(report)) == 6


def test_nothing_stored_brings_a_judge(tmp_path):
    command = judge_of(tmp_path, "")
    params = {"direction": "@L1.N2.out", "harmful": HARMFUL, "harmless": HARMLESS}
    assert make_submission("arms", params, [], judge=command).judge == command
    assert make_submission("arms", params, [], judge=command, again=1).judge is None
    assert "my-judge" not in make_submission("arms", params, [], judge=command).command
    for name in ("judge", "argv", "command"):
        with pytest.raises(UserError, match="no parameter"):
            make_submission("arms", {**params, name: str(command)}, [])
    with pytest.raises(UserError, match="generates nothing that a judge could read"):
        make_submission("predict", {"prompt": "The"}, [], judge=command)
