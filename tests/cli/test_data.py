"""`workbench data`: what there is, what comes in, what is made, and labels shown on the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_command_line import HEAVY, modules_after
from tests.tiny import tiny_model
from workbench.artifacts.data_set import data_sets_dir, read_data

ROWS = "prompt,target\n" + "".join(f"{at} The capital is {('Paris', 'Rome')[at % 2]},{at % 2}\n" for at in range(40))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("llama", tmp_path_factory.mktemp("model"))


def test_a_csv_is_imported_shown_listed_and_removed(
    invoke: Run, own_folders: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "cities.csv").write_text(ROWS)
    done = invoke("data", "import", "cities.csv", "--name", "rome")
    assert done.exit_code == 0, done.output
    assert "rome is in " in done.stdout
    assert "40 examples, rome, 20" in done.stdout
    assert "workbench data show rome" in done.stdout
    shown = invoke("data", "show", "rome", "--model", model)
    assert shown.exit_code == 0, shown.output
    for part in ("train", "validation", "test", "Rome", "no problems"):
        assert part in shown.stdout
    data = json.loads(invoke("data", "show", "cities.csv", "--model", model, "--json").stdout)
    text = data["texts"][0]
    marked = [
        token for token, value in zip(text["tokens"], text["rows"][0]["values"], strict=True) if value is not None
    ]
    assert marked == [" Rome"]
    listed = {row["name"]: row for row in json.loads(invoke("data", "list", "--json").stdout)}
    assert listed["rome"]["in"] == "data folder"
    assert listed["months"]["in"] == "ships"
    assert "rome" in invoke("data", "list").stdout
    removed = invoke("data", "rm", "rome")
    assert "removed the data set rome" in removed.stdout
    assert not list(data_sets_dir().iterdir())
    assert "ships with Workbench" in invoke("data", "rm", "months").stderr


def test_options_of_import(invoke: Run, own_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "three.csv").write_text("prompt,target\n" + "".join(f"t{at},{'abc'[at % 3]}\n" for at in range(30)))
    refused = invoke("data", "import", "three.csv")
    assert refused.exit_code == 2
    assert "there are 3 classes" in refused.stderr
    assert invoke("data", "import", "three.csv", "--positive", "b", "--read", "mean").exit_code == 0
    labelled = read_data("three")
    assert (labelled.classes, labelled.read) == (("not b", "b"), "mean")
    (tmp_path / "brown").mkdir()
    for number in range(3):
        (tmp_path / "brown" / f"c{number}").write_text("The/at dog/nn ran/vbd ./.\n" * 10)
    assert invoke("data", "import", "brown", "--tags", "nn*").exit_code == 0
    assert read_data("brown").classes == ("other tags", "nn*")
    (tmp_path / "sae" / "cleaned").mkdir(parents=True)
    (tmp_path / "sae" / "cleaned" / "65_high-school.csv").write_text(ROWS)
    assert "the setting sae_probes" in invoke("data", "import", "sae-probes:65").stderr
    assert invoke("data", "import", "sae-probes:65", "--folder", tmp_path / "sae").exit_code == 0
    assert len(read_data("65_high-school")) == 40


def test_sets_are_made(invoke: Run, own_folders: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": f"The capital of France is Paris {at}. Mary is here."}) + "\n" for at in range(60))
    )
    common = ("--corpus", "corpus.jsonl", "--model", model, "--limit", "60")
    for arguments in (
        ("leading-capital",),
        ("words", "--words", "France,Paris"),
        ("pattern", "--pattern", "capital of", "--name", "of"),
        ("previous", "--words", "capital"),
        ("position",),
    ):
        done = invoke("data", "make", *arguments, *common)
        assert done.exit_code == 0, (arguments, done.output)
    assert read_data("position").numeric
    assert read_data("words").classes == ("other tokens", "France, Paris")
    for name in ("of", "words", "leading-capital", "previous", "position"):
        assert invoke("data", "show", name, "--model", model).exit_code == 0, name
    for arguments, sentence in (
        (("adverbs",), "no kind 'adverbs' of set that can be made: there are contains-digit"),
        (("pattern",), "needs a regular expression"),
        (("words",), "--words"),
        (("programming",), "--folder texts --positive Python"),
        (("compound", "--words", "social security"), "nowhere in this corpus"),
    ):
        refused = invoke("data", "make", *arguments, *common)
        assert refused.exit_code == 2, arguments
        assert sentence in refused.stderr


def test_listing_needs_nothing_heavy(own_folders: Path) -> None:
    assert not modules_after("import workbench.cli; workbench.cli.main(['data', 'list'])") & {*HEAVY}


def test_sets_that_are_the_same_are_said(invoke: Run, own_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text(ROWS.replace(",0", ",no").replace(",1", ",yes"))
    for name in ("rome", "italy"):
        assert invoke("data", "import", "cities.csv", "--name", name, "--positive", "yes").exit_code == 0
    shown = " ".join(invoke("data", "list").stdout.split())
    assert "the same set: italy, rome" in shown
    assert invoke("data", "rm", "italy").exit_code == 0
    assert "the same set" not in " ".join(invoke("data", "list").stdout.split())


def test_where_a_set_is_from_is_said_in_full(invoke: Run, own_folders: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "158_code_C.csv").write_text(ROWS)
    done = invoke("data", "import", "sae-probes:158", "--folder", tmp_path / "sae", "--name", "code_c")
    assert "code_c, 20" in done.stdout
    assert "label 0 is one pool of texts" in done.stdout
    shown = invoke("data", "show", "code_c", "--model", model, "--texts", "0")
    assert "many texts begin with a licence" in " ".join(shown.stdout.split())
