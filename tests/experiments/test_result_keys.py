"""Results are read by keys: every column of every experiment has one, and it says what it says under any heading."""

import ast
import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

import workbench.experiments
from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.artifacts.probe import from_content
from workbench.edits import parse_edits
from workbench.execute import execute
from workbench.experiments import experiments
from workbench.report import Report
from workbench.views import Bars, Table

SET = [{"prompt": PROMPT, "answer": " Paris", "foil": " Rome"}, {"prompt": "The capital of Italy is"}]
POSITIVE = [{"prompt": f"The capital of {name} is"} for name in "ABCDEFGHIJ"]
NEGATIVE = [{"prompt": f"{name} is wide and the"} for name in "ABCDEFGHIJ"]
NEW_FOLDER = Path(tempfile.mkdtemp(prefix="wb-")) / "copy"
atexit.register(shutil.rmtree, NEW_FOLDER.parent, ignore_errors=True)
NAMES = [f"{first}{second}" for first in "ABCDEF" for second in "abcdef"]
ASKED: dict[str, list[tuple[dict, str]]] = {
    "predict": [
        ({"prompt": PROMPT}, ""),
        ({"prompt": PROMPT, "controls": 2}, "L1.N3=0"),
        ({"prompts": SET}, "L1.N3=0"),
    ],
    "tokens": [({"prompt": PROMPT}, ""), ({"prompts": SET}, "")],
    "logit-lens": [({"prompt": PROMPT}, "")],
    "generate": [({"prompt": PROMPT, "tokens": 2}, ""), ({"prompts": SET, "tokens": 2}, "L1.N3=0")],
    "activations": [
        ({"prompt": PROMPT, "units": "L1.N3, L1.H2"}, "L1.N3=0"),
        ({"prompts": SET, "units": "L1.N3"}, "L1.N3=0"),
    ],
    "attention": [({"prompt": PROMPT, "head": "L1.H2"}, "")],
    "dla": [({"prompt": PROMPT}, "")],
    "sweep": [({"prompt": PROMPT, "n": 4, "others": 4}, "")],
    "why": [({"prompt": PROMPT, "n": 4, "size": 2, "controls": 2, "unrelated": 1}, "")],
    "patch": [({"prompt": PROMPT, "corrupted": "The capital of Paris is"}, "")],
    "effect": [
        ({"prompt": PROMPT, "controls": 2, "generate": 2}, "L1.N3=0"),
        ({"prompts": SET, "controls": 2, "generate": 2, "generate_controls": 1}, "L1.N3=0"),
    ],
    "steer": [
        (
            {
                "prompts": SET[:1],
                "direction": "@L1.N2.out",
                "target": " Paris",
                "tokens": 2,
                "strengths": [1e-3],
                "layers": [1],
                "random": 1,
                "as_prompt": "x",
            },
            "",
        )
    ],
    "arms": [
        (
            {
                "direction": "@L1.N2.out",
                "harmful": SET[:1],
                "harmless": SET[1:2],
                "alarming": SET[:1],
                "tokens": 2,
                "shuffles": 1,
                "text_tokens": 64,
            },
            "",
        )
    ],
    "project": [
        (
            {"direction": "@L1.N3.out", "beside": "@L1.N3.in", "prompt": PROMPT, "corpus": "stdlib", "tokens": 64},
            "",
        )
    ],
    "direction": [
        ({"name": "city", "positive": POSITIVE, "negative": NEGATIVE, "positions": 2}, ""),
        ({"name": "upper", "token_class": "uppercase"}, ""),
        ({"name": "neuron", "of": "@L1.N3.out"}, ""),
    ],
    "refusal": [
        (
            {
                "harmful": [{"prompt": f"The capital of {name} is"} for name in NAMES],
                "harmless": [{"prompt": f"{name} is wide and the"} for name in NAMES],
                "targets": ["Par"],
                "train": 16,
                "validation": 8,
                "test": 8,
                "positions": 1,
                "unfiltered": True,
                "choose": "-1,L1",
                "completions": 2,
                "tokens": 2,
            },
            "",
        )
    ],
    "export-model": [({"direction": "@L1.N3.out", "folder": str(NEW_FOLDER)}, "L1.N3=0")],
}
LABELLED = {
    "name": "places",
    "texts": [
        {"text": f"{name} is near {place}", "spans": [[0, len(f"{name} is near {place}"), label]]}
        for name in NAMES
        for label, place in enumerate(("the river", "France"))
    ],
}
ASKED["sparse-probe"] = [({"data": LABELLED, "ks": [1, 2], "permutations": 2}, "")]
ASKED["neuron-probe"] = [({"data": LABELLED, "permutations": 2}, "")]
ASKED["battery"] = [({"data": [{**LABELLED, "name": "places"}], "ks": [1, 2], "permutations": 2, "controls": 2}, "")]
ASKED["labels"] = [({"data": LABELLED}, "")]
ASKED["probe-ablate"] = [({"data": LABELLED, "units": "L1.N3", "controls": 2, "directions": 1}, "")]
NUMBERED = {
    **LABELLED,
    "texts": [{**text, "spans": [[*text["spans"][0][:2], at]]} for at, text in enumerate(LABELLED["texts"])],
}
FEW = {"permutations": 2, "directions": 2, "tokens": 400}
ASKED["dense-probe"] = [
    ({"data": LABELLED, **FEW}, ""),
    ({"data": {**NUMBERED, "numeric": True}, "method": "ridge", **FEW}, ""),
]
ASKED["probe-apply"] = [({"data": LABELLED, "text": PROMPT}, "L1.N3=0")]
"""with the probe that `dense-probe` makes"""
ON_AN_INDEX = {"index", "neuron", "unusual", "find-neuron"}
"""asked in test_index; here their source is read"""
ON_AN_SAE = {"feature", "features", "sae-check", "sae-errors", "sae-train"}
"""asked in test_sae_check"""


@cache
def reports(name: str) -> list[Report]:
    lab = tiny_lab("llama")
    made = []
    for params, edits in ASKED[name]:
        made.append(new_report())
        if name == "probe-apply":
            (use,) = [use for use in reports("dense-probe")[0].artifacts if use.content.kind == "probe"]
            params = {**params, "probe": from_content(use.name, use.content).stored(use.name)}
        execute(lab, name, params, parse_edits([edits], lab.info), 0, made[-1])
    return made


def test_every_experiment_is_asked():
    assert set(ASKED) | ON_AN_INDEX | ON_AN_SAE == set(experiments())


def test_no_column_is_written_without_a_key():
    folder = Path(workbench.experiments.__file__).parent
    calls = [
        (file.name, node.lineno, {keyword.arg for keyword in node.keywords})
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column"
    ]
    assert len(calls) > 100
    assert [call[:2] for call in calls if "key" not in call[2]] == []


@pytest.mark.parametrize("name", ASKED)
def test_every_column_has_a_key_of_its_own(name):
    for report in reports(name):
        for key, view in report.views.items():
            if isinstance(view, Table):
                keys = [column.key for column in view.columns]
                assert all(re.fullmatch(r"[a-z][a-z0-9_]*", each) for each in keys), (key, keys)
                assert len(set(keys)) == len(keys), (key, keys)
                assert len(view.row_keys) in (0, len(view.rows))
            if isinstance(view, Bars):
                assert len(view.keys) in (0, len(view.labels))


def test_what_a_row_stands_for_follows_from_the_kinds_of_its_columns():
    swept = reports("sweep")[0].views["neurons"]
    assert next(column.kind for column in swept.columns) == "unit"
    by_prompt = reports("predict")[2].views["prompts"]
    assert by_prompt.column("prompt").kind == "prompt"
    ids = reports("tokens")[0].views["ids"]
    assert [ids.column(key).kind for key in ("position", "token")] == ["position", "token"]


@pytest.mark.parametrize("name", ["predict", "tokens", "logit-lens", "generate", "activations", "effect", "why"])
def test_a_result_of_one_prompt_says_how_that_was_split(name):
    report = reports(name)[0]
    said = next(view.tokenization for view in report.views.values() if view.tokenization)
    assert said == "5 tokens (no BOS)"
