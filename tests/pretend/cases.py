"""What is run on the pretend device: every experiment, small. Names of cases, parameters, edits."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.experiments.test_result_keys import ASKED, LABELLED
from tests.lab.labs import PROMPT, new_report, tiny_lab
from tests.lab.sae.made import keep, made_sae
from workbench.artifacts.probe import from_content
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.lab.model import Lab
from workbench.report import Report

WORDS = "The capital of France is Paris . May list ( one , two ) 3 self When Mary and John".split()  # noqa: SIM905
ALIKE = {
    *("sparse-probe", "neuron-probe", "dense-probe", "battery", "labels", "probe-ablate", "probe-apply"),
    *("steer", "arms", "refusal"),
    *("index", "unusual", "neuron", "find-neuron"),
    *("sae-check", "sae-errors", "sae-train", "features", "feature"),
}
"""read sites and write them as others do, the same way of every architecture: run on one"""
BY_BLOCK = {"predict", "generate", "dla", "sweep", "patch", "effect", "direction", "export-model"}
"""go through blocks, caches, gradients and weights in every way: run on two devices for each architecture, the others
for one"""
SMALL = {"tokens": 256, "context": 32}


@dataclass
class Case:
    experiment: str
    params: dict[str, Any]
    edits: str = ""

    @property
    def name(self) -> str:
        return f"{self.experiment} {' '.join(self.params)} {self.edits}".strip()


def prepare(arch: str) -> None:
    """An SAE that the cases read, in the data folder."""
    keep(made_sae(tiny_lab(arch)), "made")


def cases(arch: str, folder: Path) -> Iterator[Case]:
    """In the order in which they run: the later ones read what earlier ones made."""
    for experiment, asked in ASKED.items():
        for params, edits in asked:
            if experiment != "probe-apply":
                yield Case(experiment, params, edits)
    texts = corpus(folder)
    # More tokens than there are: how many make a block depends on the device.
    yield Case("index", {"corpus": texts, "tokens": 10_000, "explain": True})
    yield Case("unusual", {"prompt": PROMPT})
    yield Case("neuron", {"unit": "L1.N3"})
    yield Case("find-neuron", {"rule": "/^ [A-Z]/", "corpus": corpus(folder, 1), "tokens": 10_000, "units": "L1.N3"})
    yield Case("predict", {"prompt": PROMPT, "controls": 2}, "L1.F3=2")
    yield Case("predict", {"prompt": PROMPT, "controls": 2}, "L1.F3~=2")
    yield Case("sweep", {"prompt": PROMPT, "n": 4, "others": 4, "sae": "made"})
    yield Case("sae-check", {"sae": "made", **SMALL})
    yield Case("sae-errors", {"sae": "made", **SMALL, "draws": 20})
    yield Case("features", {"prompt": PROMPT, **SMALL})
    yield Case("feature", {"unit": "L1.F3", **SMALL})
    training = {"site": "L1.resid_post", "width": 64, "k": 4, "tokens": 400, "held_out": 200, "context": 32}
    yield Case("sae-train", {**training, "passes": 2, "corpus": texts})


def corpus(folder: Path, seed: int = 0) -> str:
    """Twelve documents in a folder of their own."""
    folder = folder / f"texts-{seed}"
    folder.mkdir()
    drawn = random.Random(seed)
    for number in range(12):
        (folder / f"{number}.txt").write_text(" ".join(drawn.choice(WORDS) for _ in range(drawn.randrange(50, 150))))
    return str(folder)


def run(lab: Lab, case: Case) -> Report:
    report, params = new_report(), dict(case.params)
    if case.experiment == "export-model":
        params["folder"] = tempfile.mkdtemp() + "/copy"
    execute(lab, case.experiment, params, parse_edits([case.edits], lab.info), 0, report)
    return report


def probe_case(dense_probe: Report) -> Case:
    """`probe-apply` with the probe that a run of `dense-probe` made."""
    (use,) = [use for use in dense_probe.artifacts if use.content.kind == "probe"]
    probe = from_content(use.name, use.content).stored(use.name)
    return Case("probe-apply", {"data": LABELLED, "text": PROMPT, "probe": probe}, "L1.N3=0")
