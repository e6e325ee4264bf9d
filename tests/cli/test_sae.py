"""`workbench sae`: add, list, rm and check, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Run
from tests.lab.sae.recorded import save, tensors, weights
from workbench.artifacts.sae import find_sae
from workbench.lab.sae import read_sae


def test_what_is_added_is_listed_read_and_removed(invoke: Run, own_folders: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "blocks.1.hook_resid_pre", "version-3")
    added = invoke("sae", "add", source)
    assert added.exit_code == 0, added.output
    for words in ("gated SAE at L1.resid_pre", "gpt2-small", "centred writing weights", "decoder norms are not folded"):
        assert words in added.output
    name = "gpt2-small-L1-resid_pre-30"
    listed = json.loads(invoke("sae", "list", "--json").stdout)
    assert [(row["name"], row["kind"], row["model"]) for row in listed] == [(name, "SAE", "gpt2-small")]
    assert name in invoke("sae", "list").output
    shown = invoke("artifacts", "show", name)
    assert str(source) in shown.output.replace("\n", "") or "source" in shown.output
    sae = read_sae(Path(find_sae(name).path)).sae
    recorded = tensors("version-3")
    assert torch.allclose(sae.encode(recorded["=x"]), recorded["=activations"], atol=1e-5)
    again = invoke("sae", "add", source)
    assert again.exit_code != 0 and "already" in again.output + str(again.exception)
    assert invoke("sae", "rm", name).exit_code == 0
    assert json.loads(invoke("sae", "list", "--json").stdout) == []


def test_what_the_user_says_wins_over_the_folder(invoke: Run, own_folders: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "sae", "standard-expected_average_only_in")
    said = ("--site", "L7.mlp_out", "--trained-on", "mine", "--scale", "0.37", "--centred", "--name", "@told")
    added = json.loads(invoke("sae", "add", source, *said, "--json").stdout)
    assert added["facts"]["read at"] == "L7.mlp_out"
    assert added["facts"]["trained on"] == "mine"
    assert any("multiplied with .37" in remark for remark in added["remarks"])
    sae = read_sae(Path(find_sae("told").path)).sae
    recorded = tensors("standard-expected_average_only_in-scaled")
    assert not sae.config.unscaled and sae.config.centred
    assert torch.allclose(sae(recorded["=x"]), recorded["=out"], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "nowhere"), "neither a folder nor a place on the hub"),
        (("add", "./nowhere"), "is no folder"),
        (("add", "org/name/blocks.1"), "is not in the hub's cache here"),
        (("add", "sae", "--name", "a/b"), "is no name for an SAE"),
        (("add", "sae", "--name", "all"), "stands for every SAE"),
        (("add", "sae", "--name", "x" * 300), "the name has 300 bytes: 100 are the most"),
        (("add", "sae", "--site", "L1.nowhere"), "is no site"),
        (("add", "sae", "--scale", "0"), "can't be scaled by 0"),
        (("rm", "nowhere"), "there is no artifact 'nowhere'"),
        (("check", "nowhere"), "no SAE is registered yet"),
    ],
)
def test_mistakes_are_sentences(
    invoke: Run, own_folders: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    save(tmp_path / "sae")
    result = invoke("sae", *arguments)
    assert result.exit_code != 0
    assert sentence in result.output + str(result.exception)
    assert not (own_folders / "data" / "saes").exists() or not list((own_folders / "data" / "saes").iterdir())


def test_a_cached_release_is_read_by_its_name(
    invoke: Run, own_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub's client lays its cache out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--release"
    commit = "a" * 40
    save(repository / "snapshots" / commit / "blocks.1.hook_resid_pre")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    added = invoke("sae", "add", "org/release/blocks.1.hook_resid_pre", "--name", "cached")
    assert added.exit_code == 0, added.output + str(added.exception)
    assert set(read_sae(Path(find_sae("cached").path)).sae.tensors) == set(weights("standard-none"))


def test_training_has_the_experiments_own_flags(invoke: Run) -> None:
    """`--width` is the SAE's, not that of what is drawn."""
    shown = invoke("sae", "train", "--help")
    assert shown.exit_code == 0
    for words in ("--site", "--auxiliary", "Gao et al. 2024", "workbench run sae-train"):
        assert words in " ".join(shown.output.split())
    assert shown.output.count("--width") == 2  # the flag, and the example
    assert "CELLS" not in shown.output and "CELLS" in invoke("run", "sae-check", "--help").output
    assert "train" in invoke("sae", "--help").output
    wrong = invoke("sae", "train", "--width", "many")
    assert wrong.exit_code != 0 and "--width" in wrong.output + str(wrong.exception)
