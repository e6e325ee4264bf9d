"""Experiments on a pretend device with less memory than they take: halved, the same numbers, and nothing left behind.

    python -m tests.pretend.limited ARCHITECTURE

Prints a line of JSON a case: its name, the bytes it takes at its peak, the limit, how often memory ran out, an error or
"", the scalars that differ, and the bytes that are held more after it than before.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.labs import PROMPT, tiny_folder
from tests.pretend import device
from tests.pretend.cases import Case, corpus, prepare, run
from tests.pretend.compare import described, differing, lab_on
from workbench.lab.batches import free_caches
from workbench.lab.model import Lab

SHARE = 0.6
"""of what a case takes"""
SET = [{"prompt": f"{PROMPT} {name}", "answer": " Paris"} for name in "ABCDEFGHIJKLMNOPQRSTUVWX"]
SIDES = {"positive": SET[:12], "negative": [{"prompt": f"{name} is wide and the water is"} for name in "ABCDEFGHIJKL"]}


def cases(folder: Path) -> Iterator[Case]:
    """Those that read many rows together: what goes prompt by prompt has nothing to halve."""
    yield Case("predict", {"prompts": SET}, "L1.N3=0")
    yield Case("effect", {"prompts": SET, "controls": 4, "generate": 4, "generate_controls": 2}, "L1.N3=0")
    yield Case("generate", {"prompts": SET, "tokens": 8})
    yield Case("sweep", {"prompt": PROMPT, "n": 30, "others": 30})
    yield Case("why", {"prompt": PROMPT, "n": 8, "size": 2, "controls": 8, "unrelated": 2})
    yield Case("patch", {"prompt": PROMPT, "corrupted": "The capital of Paris is"})
    yield Case("direction", {"name": "city", **SIDES, "positions": 2})
    texts = {"corpus": corpus(folder), "tokens": 10_000}
    yield Case("index", {**texts, "explain": True})
    yield Case("sae-check", {"sae": "made", "tokens": 512, "context": 32})
    yield Case("sae-errors", {"sae": "made", "tokens": 512, "context": 32, "draws": 20})


def limited(lab: Lab, case: Case, folder: Path) -> dict[str, object]:
    os.environ["WORKBENCH_CACHE"] = str(folder / "cache")
    run(lab, case)  # what is made once and kept
    free_caches(lab.model)
    before = _held()
    with device.rules() as seen:
        _empty_cache(folder)
        whole = run(lab, case)
        peak = max(seen.peak.values()) - before
    del whole.views  # what is compared are scalars
    free_caches(lab.model)
    before = _held()
    limit = int(SHARE * peak)
    error, differs = "", []
    with device.rules(limit=limit) as seen:
        _empty_cache(folder)
        try:
            differs = differing(run(lab, case), whole)
        except Exception as raised:
            error = described(raised)
        refused = seen.refused
    free_caches(lab.model)
    return {
        "case": case.name,
        "peak": peak,
        "limit": limit,
        "refused": refused,
        "error": error,
        "differs": differs,
        "left": _held() - before,
    }


def _empty_cache(folder: Path) -> None:
    """But for what passes take, which is measured once."""
    for kept in (folder / "cache").iterdir():
        if kept.name != "rates":
            shutil.rmtree(kept)


def _held() -> int:
    gc.collect()
    return max(device.RULES.held.values(), default=0)


def main(arguments: Sequence[str]) -> int:
    if not device.set_up():
        print(json.dumps({"skip": "this torch has no interface for devices in Python"}))
        return 0
    folder = Path(tempfile.mkdtemp())
    os.environ["WORKBENCH_DATA"] = str(folder / "data")
    lab = lab_on(tiny_folder(arguments[0]), f"{device.NAME}:0")
    prepare(arguments[0])
    (folder / "cache").mkdir()
    for case in cases(folder):
        print(json.dumps(limited(lab, case, folder)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
