"""Arms judged by a command of the user's, beside our rules. No torch.

It reads what `workbench show FILE STEP --jsonl completions` prints, less the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.errors import UserError
from workbench.experiments._arms import Arms, Set
from workbench.judging import JudgeCommand, RunningJudge
from workbench.report import Report
from workbench.text import safe


def judge(arms: Arms, prompts: Mapping[Set, Sequence[str]], command: JudgeCommand, report: Report) -> None:
    """Gives every completion the command's label; where it fails that is noted, and our rules' verdicts stay."""
    completions = list(arms.each_completion())
    rows = [
        {
            "id": key,
            "set": arm.set,
            "arm": arm.what,
            "control": arm.control,
            "prompt": prompts[arm.set][at],
            "completion": arm.completions[at].text,
        }
        for key, arm, at in completions
    ]
    report.note(f"judged by {safe(command.name)}: {safe(str(command))}")
    try:
        with RunningJudge(command, rows) as running:
            for _ in report.track(running, "checks", stage=f"{safe(command.name)} judges"):
                pass
            labels = running.labels()
    except UserError as problem:
        report.note(f"{problem}; the verdicts of the rules stand alone")
        return
    for (_, arm, at), label in zip(completions, labels, strict=True):
        assert len(arm.judged) == at, "completions of an arm come in their order"
        arm.judged.append(label)
