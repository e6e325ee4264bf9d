"""`workbench artifacts import`, `export` and `rename`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.cli.conftest import Run
from tests.cli.test_artifacts import session as session
from workbench.artifacts import Use
from workbench.artifacts.direction import Direction, Origin, directions_dir, read_direction
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

VECTOR = np.array([3, 0, 4, 0], np.float32)
ORIGIN = Origin(
    method="mean difference",
    about="128 + 128 prompts",
    model="base",
    fingerprint="f" * 64,
    site="resid_pre",
    layer=12,
    position=-1,
    purpose="add",
)


@pytest.fixture
def direction(tmp_path: Path) -> Path:
    np.save(tmp_path / "r.npy", VECTOR)
    (directions_dir()).mkdir(parents=True)
    np.save(directions_dir() / "refusal.npy", VECTOR)
    return directions_dir() / "refusal.npy"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A session that made a direction whose origin is known."""
    path = tmp_path / "own.db"
    contrast = {"positive": '["a", "b"]', "negative": '["c", "d"]', "site": "L12.resid_pre"}
    made = Direction(name="caps", vector=VECTOR.tobytes(), origin=ORIGIN, contrast=contrast)
    with SessionWriter(path) as writer:
        writer.add_step("predict", {"prompt": "x"}, uses=[Use(content=made.content, name="caps", role="made")])
    return path


def test_what_is_exported_comes_back_as_it_was(invoke: Run, own: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "caps.safetensors"
    result = invoke("artifacts", "export", "@caps", file, "--session", own)
    assert "mean difference of 128 + 128 prompts, at L12.resid_pre, position −1; for adding" in result.stdout
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    assert metadata["name"] == "caps"
    assert json.loads(metadata["origin"])["layer"] == 12
    other = tmp_path / "other.db"
    assert invoke("artifacts", "import", file, "--session", other).exit_code == 0
    with SessionReader(other) as reader, SessionReader(own) as first:
        (row,) = reader.artifacts()
        assert (row.name, row.step, row.steps) == ("caps", None, 0)
        assert row.hash == first.artifact_named("direction", "caps"), "the same content has the same hash"
    again = invoke("artifacts", "export", "@caps", file, "--session", own)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    assert "as safetensors" in invoke("artifacts", "export", "@caps", tmp_path / "x.npy", "--session", own).stderr
    assert "the model's own" in invoke("artifacts", "export", "@L1.N2.in", file, "--session", own).stderr
    assert "no direction @none" in invoke("artifacts", "export", "@none", tmp_path / "n.safetensors").stderr


def test_a_file_that_says_too_little_is_asked_for_it(invoke: Run, tmp_path: Path) -> None:
    file = tmp_path / "plain.npy"
    np.save(file, VECTOR)
    asked = invoke("artifacts", "import", file)
    assert asked.exit_code == 2
    for flag in ("--for add", "--site", "--layer"):
        assert flag in asked.stderr
    half = invoke("artifacts", "import", file, "--for", "add", "--site", "resid_pre")
    assert ("--layer" in half.stderr, "--site" in half.stderr) == (True, False)
    assert not directions_dir().exists(), "nothing half-written"
    done = invoke(
        "artifacts", "import", file, "--name", "@mine", "--for", "project", "--site", "resid_pre", "--layer", 3
    )
    assert "@mine is in" in done.stdout
    assert "its length is 5: as found" in done.stdout
    kept = read_direction("mine")
    assert kept.origin == Origin(site="resid_pre", layer=3, purpose="project")
    np.testing.assert_array_equal(kept.numbers, VECTOR)
    taken = invoke("artifacts", "import", file, "--name", "mine", "--for", "add", "--site", "resid_pre", "--layer", 3)
    assert "@mine is there already" in taken.stderr
    assert "no name for a direction" in invoke("artifacts", "import", file, "--name", "L1.H2.ov1").stderr


def test_the_length_tells_what_is_normalised(invoke: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "unit.npy", VECTOR / 5)
    done = invoke("artifacts", "import", tmp_path / "unit.npy", "--for", "add", "--site", "W_E")
    assert "its length is 1: normalised" in done.stdout
    assert read_direction("unit").origin.normalised
    shown = invoke("artifacts", "show", "unit").stdout
    for words in ("W_E", "adding", "1, normalised"):
        assert words in shown
    assert "not known" in shown
    assert "W_E" in invoke("artifacts", "list").stdout


def test_a_file_that_names_its_prompts_says_where(invoke: Run, tmp_path: Path) -> None:
    contrast = {"positive": '["a", "b"]', "negative": '["c", "d"]', "site": "L2.resid_post", "position": "-2"}
    save_file({"v": VECTOR}, tmp_path / "caps.safetensors", metadata=contrast)
    assert invoke("artifacts", "import", tmp_path / "caps.safetensors", "--for", "add").exit_code == 0
    kept = read_direction("caps")
    assert (kept.origin.layer, kept.origin.site, kept.origin.position) == (2, "resid_post", -2)
    assert kept.contrast == contrast


def test_the_authors_file_has_its_metadata_beside_it(invoke: Run, tmp_path: Path) -> None:
    file = tmp_path / "direction.pt"
    torch.save(torch.tensor(VECTOR, dtype=torch.float64), file)
    assert "--layer" in invoke("artifacts", "import", file, "--for", "project").stderr
    beside = tmp_path / "direction_metadata.json"
    beside.write_text('{"pos": "last"}')
    assert "is not of the form" in invoke("artifacts", "import", file, "--for", "project").stderr
    beside.write_text('{"pos": -1, "layer": 12}')
    assert invoke("artifacts", "import", file, "--for", "project", "--name", "refusal").exit_code == 0
    kept = read_direction("refusal")
    assert (kept.origin.site, kept.origin.layer, kept.origin.position) == ("resid_pre", 12, -1)
    np.testing.assert_array_equal(kept.numbers, VECTOR)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_a_file_of_torch_is_never_executed(invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "direction.pt"
    torch.save({"x": Harmful()}, file)
    refused = invoke("artifacts", "import", file, "--for", "add")
    assert refused.exit_code == 2
    assert "as weights alone" in refused.stderr
    assert "executed" not in refused.stdout
    torch.save({"a": torch.ones(4)}, file)
    assert "one tensor of real numbers" in invoke("artifacts", "import", file, "--for", "add").stderr
    torch.save(torch.zeros(4), file)
    assert "holds no direction" in invoke("artifacts", "import", file, "--for", "add").stderr
    torch.save(torch.ones(2, 2), file)
    assert "has shape (2, 2)" in invoke("artifacts", "import", file, "--for", "add").stderr
    file.write_bytes(b"no")
    assert "as weights alone" in invoke("artifacts", "import", file, "--for", "add").stderr
    assert "there is no file" in invoke("artifacts", "import", tmp_path / "none.pt").stderr
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    assert "2.10 can" in invoke("artifacts", "import", file, "--for", "add").stderr


def test_an_origin_that_can_not_be_read_is_a_sentence(invoke: Run, tmp_path: Path) -> None:
    save_file({"v": VECTOR}, tmp_path / "bad.safetensors", metadata={"origin": '{"layer": "x"}'})
    assert (
        "where the direction comes from can't be read"
        in invoke("artifacts", "import", tmp_path / "bad.safetensors").stderr
    )


def test_a_name_changes_unless_it_is_taken(invoke: Run, session: Path) -> None:
    done = invoke("artifacts", "rename", "@refusal", "@harm", "--session", session)
    assert "the direction refusal is called harm" in done.stdout
    with SessionReader(session) as reader:
        assert reader.artifact_named("direction", "harm")
        assert reader.artifact_named("direction", "refusal") is None
        assert "refusal" in [use.name for use in reader.artifacts_of(1)], "the step has the name it was run with"
    file = session.parent / "second.npy"
    np.save(file, VECTOR[::-1])
    flags = ("--for", "add", "--site", "resid_pre", "--layer", 3, "--session", session)
    assert invoke("artifacts", "import", file, *flags).exit_code == 0
    taken = invoke("artifacts", "rename", "@second", "@harm", "--session", session)
    assert taken.exit_code == 2
    assert "another direction 'harm' already" in taken.stderr
    assert "another direction 'harm' already" in invoke("artifacts", "import", file, "--name", "harm", *flags).stderr
    assert "no name for a direction" in invoke("artifacts", "rename", "@harm", "a b", "--session", session).stderr
    assert "there is no artifact 'gone'" in invoke("artifacts", "rename", "gone", "x", "--session", session).stderr
    assert "with --session" in invoke("artifacts", "rename", "@harm", "x").stderr
    assert "lies in a folder" in invoke("artifacts", "rename", "stdlib", "x", "--session", session).stderr
