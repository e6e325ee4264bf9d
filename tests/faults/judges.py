"""Judges that do what no judge should: labels come back, or a sentence, and no process of theirs stays."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from workbench.errors import UserError
from workbench.judging import JudgeCommand, RunningJudge

SECONDS = 3.0
HABITS = (
    "for line in sys.stdin: print('yes')",
    "for line in sys.stdin: print('yes', flush=True)",
    "print('yes\\n' * {n}, end='')",
    "sys.stdin.close(); print('yes\\n' * {n}, end='')",
    "sys.stdin.readline(); sys.exit({n} % 5)",
    "sys.stdout.buffer.write(bytes(random.Random({n}).randrange(256) for _ in range(3000)))",
    "print('x' * 10**{digits})",
    "while True: print('x' * 10**6)",
    "sys.stderr.write('y' * 10**6); sys.stderr.flush()",
    "os.kill(os.getpid(), {signal})",
    "time.sleep(60)",
    "os.close(1); time.sleep({n} / 400)",
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])",
    "os.fork(); os.fork(); print('yes')",
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('yes', flush=True); time.sleep(60)",
    "os.setsid(); time.sleep(60)",
    "raise SystemExit('\\x1b]0;x\\x07 no key')",
    "os.chdir('/'); os.remove(sys.argv[0])",
)


def ask_a_judge(chance: random.Random, folder: Path) -> None:
    """One to three habits in turn, for up to 200 completions."""
    n = chance.choice([0, 1, 3, 200])
    values = {"n": n, "digits": chance.randrange(1, 8), "signal": chance.choice([1, 2, 6, 9, 11, 13, 15])}
    habits = [chance.choice(HABITS).format(**values) for _ in range(chance.choice([1, 1, 2, 3]))]
    script = folder / f"judge-{chance.randrange(10**9)}"
    names = "os, random, signal, subprocess, sys, time"
    script.write_text("\n".join([f"#!{sys.executable}", f"import {names}", *habits]))
    script.chmod(0o700)
    rows = [{"id": str(at), "completion": chance.choice(["x", "\u202e\n", "ü" * 5000])} for at in range(n)]
    command = JudgeCommand(argv=[str(script)], folder=str(folder), seconds=SECONDS)
    began = time.monotonic()
    try:
        with RunningJudge(command, rows) as judge:
            for _ in judge:
                pass
            labels = judge.labels()
        assert len(labels) == n and all(label.isprintable() for label in labels), labels
    except UserError as sentence:
        assert str(sentence).isprintable(), sentence
    assert time.monotonic() - began < SECONDS + 10, f"{habits} took too long"
    script.unlink(missing_ok=True)
    assert not _running(script), f"processes of {habits} stay"


def _running(script: Path) -> list[str]:
    """Command lines of processes of the script, once those that end have had a moment for it."""
    lines: list[str] = []
    for _ in range(50):
        listed = subprocess.run(["ps", "-eo", "stat,args"], capture_output=True, text=True).stdout.splitlines()
        lines = [line for line in listed if str(script) in line and not line.startswith("Z")]
        if not lines:
            break
        time.sleep(0.1)
    return lines
