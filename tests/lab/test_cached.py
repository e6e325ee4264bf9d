"""Models of the hub's cache that are whole, and those that are not: the listing and the opening say the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from workbench.errors import UserError
from workbench.lab.finding import cached, hub
from workbench.lab.finding.listing import list_models
from workbench.lab.finding.source import resolve

REF = "org/my--model"
SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    folder = tiny_model("llama", tmp_path_factory.mktemp("made"))
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="100KB")
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model's folder in a hub cache, laid out as the hub's client does: links to blobs; the hub is not reached."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    home = cache / "models--org--my--model"
    (home / "blobs").mkdir(parents=True)
    put(home, made, SHA)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(SHA)
    return home


def put(home: Path, made: Path, commit: str) -> Path:
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in made.iterdir():
        blob = home / "blobs" / f"{file.name}-of-it"
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
    return snapshot


def listed() -> str:
    """The problem that the listing shows; empty where it says that the model is ready."""
    (entry,) = [one for one in list_models() if one.ref == REF]
    assert entry.ready == (not entry.problem)
    return entry.problem


def opened() -> str:
    """The sentence that opening it without a network gives; empty where it opens."""
    try:
        source = resolve(REF)
    except UserError as error:
        return str(error)
    assert source.path.name == SHA
    return ""


def test_a_whole_one_is_ready_and_opens(home: Path) -> None:
    assert listed() == opened() == ""
    assert hub.cached(REF) == home / "snapshots" / SHA
    assert cached.find_cached("org/another") is None


def one_shard_gone(home: Path) -> str:
    shard = sorted((home / "snapshots" / SHA).glob("model-*"))[1]
    shard.unlink()
    return f"lacks 1 of .* weight files, among them {shard.name}"


def blob_gone(home: Path) -> str:
    shard = sorted((home / "snapshots" / SHA).glob("model-*"))[1]
    shard.resolve().unlink()
    return f"{shard.name} in .*{SHA} points at a file that is not in the hub's cache"


def small_blob_gone(home: Path) -> str:
    (home / "snapshots" / SHA / "tokenizer_config.json").resolve().unlink()
    return "tokenizer_config.json in .* points at a file that is not in the hub's cache"


def unfinished(home: Path) -> str:
    for shard in (home / "snapshots" / SHA).glob("model-*"):
        shard.unlink()
    (home / "blobs" / "abc.incomplete").write_bytes(b"begun")
    return r"lacks .* \(1 file of a download that has not finished: open the model again to go on\)"


def no_weights(home: Path) -> str:
    for file in (home / "snapshots" / SHA).glob("model*"):
        file.unlink()
    return "has no weights: model.safetensors is missing"


def cut_short(home: Path) -> str:
    blob = sorted((home / "snapshots" / SHA).glob("model-*"))[0].resolve()
    blob.write_bytes(blob.read_bytes()[:-4])
    return "is cut short or damaged"


def no_main(home: Path) -> str:
    (home / "refs" / "main").unlink()
    return f"refs/main is missing in the hub's cache.*: open that snapshot by its folder, .*/{SHA}"


def main_elsewhere(home: Path) -> str:
    (home / "refs" / "main").write_text(OTHER)
    return f"its snapshot {OTHER[:12]}, which refs/main names, is not in the hub's cache"


@pytest.mark.parametrize(
    "spoil",
    [one_shard_gone, blob_gone, small_blob_gone, unfinished, no_weights, cut_short, no_main, main_elsewhere],
)
def test_both_say_what_is_missing(home: Path, spoil: Callable[[Path], str]) -> None:
    import re

    pattern = spoil(home)
    problem = listed()
    assert re.search(pattern, problem), problem
    assert hub.cached(REF) is None
    assert f"{REF} is not whole in the hub's cache ({problem}), and the hub was not reached" in opened()


def test_what_an_older_revision_lacks_does_not_count(home: Path, made: Path) -> None:
    """The newest folder is not the current one where somebody asked for another revision by its hash."""
    older = put(home, made, OTHER)
    (older / "config.json").unlink()
    assert listed() == opened() == ""
    (home / "blobs" / "of-another-file.incomplete").write_bytes(b"begun")
    assert listed() == opened() == ""


def test_a_folder_that_is_offered_opens(home: Path) -> None:
    no_main(home)
    folder = listed().rpartition(", ")[2]
    assert resolve(folder).path == Path(folder)


def test_a_download_without_any_file_is_nothing(home: Path) -> None:
    shutil.rmtree(home / "snapshots")
    assert cached.find_cached(REF) is None
    assert REF not in [entry.ref for entry in list_models()]
    assert f"{REF} is not in the hub's cache here" in opened()
