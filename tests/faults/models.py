"""Folders of models with a file changed: each is opened as a worker would, or refused with a sentence.

    python -m tests.faults.models SEED N

A process of its own: what a broken file does to torch or transformers ends with it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.faults.mutations import mutated

AT_ONCE = 12
SECONDS = 300
VALUES = (
    None, -1, 0, 1, 2, 3, 7, 10**9, 10**30, 1.5, 1e-30, True, False, "", "x", "float16", [], [1, 2], {}, {"a": 1},
)  # fmt: skip


def open_changed(chance: random.Random, folder: Path) -> int:
    """Opens some in a process; how many. Raises AssertionError with the traceback of one that was not refused."""
    seed = str(chance.randrange(10**9))
    words = [sys.executable, "-m", "tests.faults.models", seed, str(AT_ONCE), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, env=environment)
    assert done.returncode == 0, f"models of seed {seed}: {done.stderr[-4000:]}"
    return AT_ONCE


def change(chance: random.Random, folder: Path) -> None:
    """Bytes of one file, or a value of one that is JSON."""
    file = chance.choice(sorted(folder.iterdir()))
    if file.suffix == ".json" and chance.random() < 0.6:
        content = json.loads(file.read_bytes())
        name = chance.choice(sorted(content))
        content[name] = chance.choice(VALUES)
        if chance.random() < 0.1:
            del content[name]
        file.write_text(json.dumps(content))
    else:
        file.write_bytes(mutated(chance, file.read_bytes()))


def main() -> None:
    from tests.lab.labs import tiny_folder
    from workbench.errors import UserError
    from workbench.lab.finding.source import resolve
    from workbench.lab.model import load_lab

    seed, n, folder = sys.argv[1:]
    chance = random.Random(seed)
    target = Path(folder) / "changed-model"
    for _ in range(int(n)):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(tiny_folder("llama"), target)
        change(chance, target)
        try:
            lab = load_lab(resolve(str(target)), device="cpu", dtype="float32")
            lab.prompt("The capital of France is", False, "")
        except UserError as sentence:
            assert str(sentence)


if __name__ == "__main__":
    main()
