"""A model that refuses through one direction, and `arms` run on it."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from tests.lab import refusing as planted
from tests.lab.labs import new_report, source_of
from workbench.artifacts.direction import Direction, Origin
from workbench.execute import execute
from workbench.lab.contrast import Contrast, compared_states, mean_difference
from workbench.lab.model import load_lab
from workbench.units import Site

LAYER, POSITION = 1, -1
HARMFUL, HARMLESS = (planted.alike(word) for word in (planted.HARMFUL, planted.OTHER_HARMFUL))
SHORT = {"tokens": 4, "n": 6, "shuffles": 2, "control_prompts": 4, "text_tokens": 0}


@cache
def refusing_lab():
    """A lab, its folder, and its mean difference as a direction."""
    root = Path(tempfile.mkdtemp(prefix="wb-refusing-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    model = planted.Refusing()
    model.carry(planted.HARMFUL, 0)
    model.read_out("I", 0)
    model.follow("I", " cannot")
    folder = model.save(root / "model")
    lab = load_lab(source_of(folder), device="cpu", dtype="float32")
    lab.set_fingerprint(lab.model.identity.read().result())  # as where a session is opened with it
    texts = [tuple(row["prompt"] for row in rows) for rows in (HARMFUL, HARMLESS)]
    contrast = Contrast(*texts, Site(LAYER, "resid_pre"), POSITION, chat=True)
    states = compared_states(lab.model, contrast)
    vector = mean_difference(states, np.arange(len(states)) < len(HARMFUL)).numpy()
    assert abs(vector @ model.written[0].double().numpy()) / np.linalg.norm(vector) > 0.99
    direction = Direction(
        name="r",
        vector=vector.astype("<f4").tobytes(),
        contrast={
            "positive": json.dumps(texts[0]),
            "negative": json.dumps(texts[1]),
            "site": f"L{LAYER}.resid_pre",
            "position": str(POSITION),
            "chat": "true",
        },
        origin=Origin(site="resid_pre", layer=LAYER, position=POSITION),
    )
    return lab, folder, direction


def ran(refusing, report=None, direction=None, **params):
    lab, _, own = refusing
    report = report or new_report()
    sets = {"harmful": HARMFUL, "harmless": HARMLESS}
    execute(lab, "arms", {"direction": "@r", **SHORT, **sets, **params}, [], 0, report, {"r": direction or own})
    return report


def arms(report):
    return {(row["set"], row["edit"]): row for row in report.views["arms"].records()}
