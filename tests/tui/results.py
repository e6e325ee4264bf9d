"""Results that the experiments really made, for the screens' tests: once a test process, on a tiny planted model.

They are made in a process of their own, so that no test of a screen has torch beside it. Scenes that need other
numbers put them in by keys: what a table's headings say is the experiment's business.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.conftest import ROOT, THREADS
from workbench.views import AnyView, Table, from_builtins, to_builtins

PROMPT = "The capital of France is"
ANSWER = " Paris"
NEURON = "L1.N20"
WORDS = ("The", "capital", "of", "France", "is", "Paris", "When", "Mary", "and", "John")
LABELLED = {
    "name": "places",
    "classes": ["a person", "a place"],
    "texts": [
        {
            "text": f"{first} {second} {last}",
            "spans": [[len(first) + len(second) + 2, len(f"{first} {second} {last}"), label]],
        }
        for first in WORDS
        for second in WORDS[2:5]
        for last, label in (("France", 1), ("Paris", 1), ("capital", 1), ("Mary", 0), ("John", 0), ("When", 0))
    ],
}
"""two classes of a last word"""
FEW = {"permutations": 4}
ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "predict": ("predict", {"prompt": PROMPT, "answer": ANSWER}, ""),
    "predict, edited": ("predict", {"prompt": PROMPT, "answer": ANSWER, "controls": 4}, f"{NEURON}=0"),
    "logit-lens": ("logit-lens", {"prompt": PROMPT, "answer": ANSWER}, f"{NEURON}=0"),
    "generate": ("generate", {"prompt": PROMPT, "tokens": 4}, ""),
    "tokens": ("tokens", {"prompt": PROMPT}, ""),
    "activations": ("activations", {"prompt": PROMPT, "units": NEURON}, ""),
    "unusual": ("unusual", {"prompt": PROMPT}, ""),
    "generate, edited": ("generate", {"prompt": PROMPT, "tokens": 4}, f"L1.resid_pre+=4*@{NEURON}.out"),
    "direction": (
        "direction",
        {
            "name": "france",
            "shuffles": 5,
            **{
                side: [{"prompt": f"{word} {end}"} for word in WORDS]
                for side, end in (("positive", "of France"), ("negative", "and John"))
            },
        },
        "",
    ),
    "direction, tokens": ("direction", {"name": "upper", "token_class": "uppercase", "shuffles": 5}, ""),
    "project": ("project", {"direction": f"@{NEURON}.out", "beside": "@L2.N30.out"}, ""),
    "steer": (
        "steer",
        {"direction": f"@{NEURON}.out", "prompt": PROMPT, "target": ANSWER, "layers": [1], "tokens": 4, "random": 2},
        "",
    ),
    "sparse-probe": ("sparse-probe", {"data": LABELLED, "ks": [1, 2, 4], **FEW}, ""),
    "neuron-probe": ("neuron-probe", {"data": LABELLED, **FEW}, ""),
    "probe-ablate": ("probe-ablate", {"data": LABELLED, "units": NEURON, "controls": 4, "directions": 2}, ""),
    "battery": (
        "battery",
        {"data": [LABELLED, {**LABELLED, "name": "again"}], "ks": [1, 2], "permutations": 4, "controls": 4},
        "",
    ),
    "dense-probe": ("dense-probe", {"data": LABELLED, "directions": 2, "tokens": 0, **FEW}, ""),
    "probe-apply": ("probe-apply", {"data": LABELLED, "text": PROMPT}, ""),
    "why": ("why", {"prompt": PROMPT, "answer": ANSWER, "size": 3, "n": 8, "controls": 8, "unrelated": 1}, ""),
}
"""experiment, parameters, edits; `probe-apply` reads with the probe that `dense-probe` made"""


class Result(msgspec.Struct, frozen=True):
    """What a report ended with."""

    headline: str
    scalars: dict[str, float | None]
    views: dict[str, AnyView]


def result(name: str) -> Result:
    """One of `ASKED`. Its views are shared: scenes change copies."""
    return _results()[name]


def view(name: str, key: str, **changes: Any) -> Any:
    """A view of a result, with other data where a scene needs it."""
    return msgspec.structs.replace(result(name).views[key], **changes)  # type: ignore[type-var]


def table(name: str, key: str, rows: Sequence[Mapping[str, Any]], **changes: Any) -> Table:
    """A table of a result with these rows, given by keys; cells that are not given are empty."""
    made = view(name, key)
    assert isinstance(made, Table)
    keys = [column.key for column in made.columns]
    unknown = {each for row in rows for each in row} - set(keys)
    assert not unknown, f"{name} has no columns {unknown} in {key}: there are {keys}"
    cells = [[row.get(each) for each in keys] for row in rows]
    return msgspec.structs.replace(made, rows=cells, **changes)


@cache
def _results() -> dict[str, Result]:
    with tempfile.TemporaryDirectory(prefix="wb-results-") as folder:
        own = {f"WORKBENCH_{name}": str(Path(folder) / name) for name in ("RUNTIME", "DATA", "CACHE", "CONFIG")}
        subprocess.run(
            [sys.executable, "-m", "tests.tui.results", folder],
            cwd=ROOT,
            env={**os.environ, **THREADS, **own},
            check=True,
        )
        stored = msgspec.msgpack.decode((Path(folder) / "results").read_bytes())
    return {
        name: Result(headline, scalars, {key: from_builtins(spec) for key, spec in views.items()})
        for name, (headline, scalars, views) in stored.items()
    }


def _make(folder: Path) -> None:
    from tests.lab.labs import new_report, source_of
    from tests.lab.planted import Planted
    from workbench.artifacts.probe import NAME as PROBE_KIND
    from workbench.artifacts.probe import from_content
    from workbench.edits import parse_edits
    from workbench.execute import execute
    from workbench.lab.model import load_lab

    planted = Planted()
    planted.head(1, 2, 15)
    planted.neuron(1, 20, 1, 20 * planted.toward)
    planted.neuron(2, 30, 1, 20 * planted.toward)
    lab = load_lab(source_of(planted.save(folder / "model")), "cpu", "float32")
    lab.set_fingerprint("d" * 64)
    (folder / "texts").mkdir()
    for at in range(10):
        words = ["The", "capital", "of", "France", "is", "Paris", ".", "When", "Mary", "and", "John"]
        (folder / "texts" / f"{at}.txt").write_text(" ".join(words[at:] + words * 5))
    execute(lab, "index", {"corpus": str(folder / "texts"), "tokens": 400}, [], 0, new_report())
    results = {}
    made: dict[str, Any] = {}
    for name, (experiment, params, edits) in ASKED.items():
        report = new_report()
        if experiment == "probe-apply":
            params = {**params, "probe": made["dense-probe"]}
        execute(lab, experiment, params, parse_edits([edits], lab.info), 0, report)
        for use in report.artifacts:
            if use.content.kind == PROBE_KIND:
                made[name] = from_content(use.name, use.content).stored(use.name)
        views = {key: to_builtins(view) for key, view in report.views.items()}
        results[name] = (report.headline, report.scalars, views)
    (folder / "results").write_bytes(msgspec.msgpack.encode(results))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
