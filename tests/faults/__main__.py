"""Runs the campaign for so many seconds and prints what it did.

python -m tests.faults [--seconds 600] [--seed 0] [--only kills,runs,mutations,models,messages,judges,disks,user]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, make_folders, stop_processes_of
from tests.faults import full_disks, judges, kills, messages, models, second_user
from tests.faults.long_runs import LongRuns
from tests.faults.mutations import Mutations

PARTS = ("kills", "runs", "mutations", "models", "messages", "judges", "disks", "user")
WORDS = {
    "kills": "kills", "runs": "kills in long runs", "mutations": "mutated files", "models": "changed models",
    "messages": "messages", "judges": "judges", "disks": "disk-full points", "user": "second uid",
}  # fmt: skip


class Campaign:
    """Faults in turn, each from a seed of its own: `seed` and the number of a fault give the same one again."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.seed = seed
        self.done = dict.fromkeys(PARTS, 0)
        self._mutations = Mutations(folder)
        self._runs: LongRuns | None = None
        self._number = 0

    def one(self, part: str, kind: int | None = None) -> None:
        """One fault of a part, `kind` which of its kinds. Raises AssertionError, with what repeats it as a note."""
        self._number += 1
        seed = f"{self.seed}-{part}-{self._number}"
        chance = random.Random(seed)
        try:
            match part:
                case "kills":
                    (chance.choice(kills.ALL) if kind is None else kills.ALL[kind])(chance, self.folder)
                    self.done[part] += 1
                case "runs":
                    self._runs = self._runs or LongRuns(self.folder)
                    self.done[part] += self._runs.one(chance, kind)
                case "models":
                    self.done[part] += models.open_changed(chance, self.folder)
                case "judges":
                    judges.ask_a_judge(chance, self.folder)
                    self.done[part] += 1
                case "mutations":
                    self._mutations.one(chance)
                    self.done[part] += 1
                case "messages":
                    chosen = chance.choice(messages.ALL) if kind is None else messages.ALL[kind]
                    self.done[part] += chosen(chance, self.folder)
                case "disks":
                    full_disks.fill_a_disk(chance, self.folder)
                    self.done[part] += 1
                case "user":
                    if second_user.possible():
                        second_user.try_as_another(chance, self.folder)
                        self.done[part] += 1
        except Exception as error:
            error.add_note(f"the fault: seed {seed}")
            raise

    def summary(self) -> str:
        counts = " · ".join(f"{WORDS[part]} {n:,}" for part, n in self.done.items())
        return f"{counts}: nothing lost, no traceback"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long; hours are welcome")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="wb-"))
    os.environ.update({**make_folders(root), "PYTHONPATH": str(ROOT)})
    (root / "here").mkdir()
    parts = options.only.split(",")
    campaign = Campaign(root / "here", options.seed)
    end = time.monotonic() + options.seconds
    spent = dict.fromkeys(parts, 0.0)
    try:
        while time.monotonic() < end:
            part = min(parts, key=lambda name: spent[name])  # all get as much time
            began = time.monotonic()
            campaign.one(part)
            spent[part] += time.monotonic() - began
    finally:
        subprocess.run([sys.executable, "-m", "workbench", "stop", "--all"], capture_output=True, timeout=60)
        stop_processes_of(root / "run")
        shutil.rmtree(root, ignore_errors=True)
        print(f"seed {options.seed}: " + campaign.summary().partition(":")[0], flush=True)
    print(campaign.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
