"""`workbench index`: listing, looking up and removing need no model and no worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.index.synthetic import make
from tests.index.synthetic_features import make_features, registered
from workbench import paths
from workbench.index.reader import NeuronIndex


@pytest.fixture
def folder(own_folders: Path) -> Path:
    return make(paths.cache_dir() / "indexes", n_layers=4, d_mlp=64)


def test_list_info_and_verify(invoke: Run, folder: Path) -> None:
    listed = invoke("index", "list")
    assert listed.exit_code == 0
    assert "10,000 tokens" in listed.output
    indexes = json.loads(invoke("index", "list", "--json").output)
    assert [info["kind"] for info in indexes] == ["data", "weights"]
    info = invoke("index", "info", folder.name)
    assert "5" * 64 in info.output
    assert json.loads(invoke("index", "info", folder.name, "--json").output)["index"]["revision"] == 1
    checked = invoke("index", "verify", folder.name)
    assert checked.exit_code == 1
    assert "no checksums" in checked.output


def test_names_can_not_steer_the_terminal(invoke: Run, folder: Path) -> None:
    head = json.loads((folder / "index.json").read_text())
    odd = "x\x1b]0;t\x07\x9b31m\u202e"
    head["hashes"] = {odd: "0" * 64}
    (folder / "index.json").write_text(json.dumps(head))
    shown = invoke("index", "verify", folder.name).output
    assert "\\x1b" in shown
    assert not set("\x1b\x07\x9b\u202e") & set(shown)
    written = invoke("index", "info", folder.name, "--json").output
    assert not set("\x1b\x07\x9b\u202e") & set(written)
    assert list(json.loads(written)["index"]["hashes"]) == [odd]


def test_top_prints_a_card(invoke: Run, folder: Path) -> None:
    card = invoke("index", "top", "L2.N7")
    assert card.exit_code == 0, card.output
    for title in ("Most extreme examples", "What it promotes", "Statistics", "Nearest neurons", "Sign cases"):
        assert title in card.output
    data = json.loads(invoke("index", "top", "L2.N7", "--json").output)
    assert data["unit"] == "L2.N7"
    assert len(data["high"]) == 4
    assert len(data["histogram"]) == 256


def test_query_filters_sorts_and_counts(invoke: Run, folder: Path) -> None:
    data = json.loads(
        invoke("index", "query", "layer 1-2 kurtosis>15", "--sort", "max", "--limit", "0", "--json").output
    )
    assert data["matches"] == len(data["neurons"])
    assert {row["unit"].partition(".")[0] for row in data["neurons"]} <= {"L1", "L2"}
    values = [row["max"] for row in data["neurons"]]
    assert values == sorted(values, reverse=True)
    shown = invoke("index", "query", "layer 1", "--limit", "5")
    assert "64 of 256 neurons, the first 5" in shown.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("query", "layre 3"), "layre"),
        (("query", "layer 3", "--sort", "nothing"), "there is no column 'nothing'"),
        (("top", "L9.N0"), "there is no layer 9"),
        (("top", "L1.H0"), "is no neuron"),
        (("info", "nowhere"), "there is no index 'nowhere'"),
        (("rm", "nowhere"), "there is no index 'nowhere'"),
    ],
)
def test_mistakes_are_sentences(invoke: Run, folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    result = invoke("index", *arguments)
    assert result.exit_code != 0
    assert sentence in result.output + str(result.exception)
    assert "Traceback" not in result.output


def test_an_index_of_features_is_listed_queried_and_has_no_neuron_s_card(invoke: Run, folder: Path) -> None:
    made = make_features(NeuronIndex.open(folder), registered())
    listed = invoke("index", "list").output
    assert "features" in listed
    info = json.loads(invoke("index", "info", made.name, "--json").output)["index"]
    assert (info["format"], info["sae"]["name"], info["sae"]["width"]) == (2, "res-1", 90)
    assert "res-1, 90 at L1.resid_post" in invoke("index", "info", made.name).output
    arguments = ("frequency>5% max>3", "--index", made.name, "--sort", "frequency", "--limit", "0", "--json")
    data = json.loads(invoke("index", "query", *arguments).output)
    assert data["matches"] == len(data["features"]) > 0
    assert all(row["unit"].endswith("/res-1") and row["frequency"] > 0.05 for row in data["features"])
    shares = [row["frequency"] for row in data["features"]]
    assert shares == sorted(shares, reverse=True)
    assert json.loads(invoke("index", "query", "layer 1", "--json").output)["index"] == folder.name
    for arguments, sentence in (
        (("top", "L1.F3", "--index", made.name), "workbench run feature --unit"),
        (("query", "L1.N3", "--index", made.name), "features are listed here"),
        (("query", "kurtosys>3", "--index", made.name), "there is no column 'kurtosys'"),
    ):
        result = invoke("index", *arguments)
        assert result.exit_code != 0
        assert sentence in result.output + str(result.exception)


def test_without_any_index_it_says_how_to_make_one(invoke: Run, own_folders: Path) -> None:
    result = invoke("index", "query", "layer 1")
    assert result.exit_code != 0
    assert "workbench index build" in result.output + str(result.exception)


def test_rm_frees_the_folder(invoke: Run, folder: Path) -> None:
    assert invoke("index", "rm", folder.name).output.startswith(f"removed {folder.name}")
    assert not folder.exists()


def test_looking_things_up_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from workbench.cli import main\n"
        "print(CliRunner().invoke(main, ['index', 'query', 'layer 1']).exit_code)\n"
        "print(CliRunner().invoke(main, ['index', 'list']).exit_code)\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["0", "0", "[]"]
