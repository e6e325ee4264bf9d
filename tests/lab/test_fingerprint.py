import os
import shutil
from pathlib import Path

import pytest

from tests.tiny import edit_config, tiny_model
from workbench import paths
from workbench.errors import UserError
from workbench.lab.finding import fingerprint as module
from workbench.lab.finding.fingerprint import fingerprint, fingerprint_cached
from workbench.lab.finding.source import ModelSource


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("llama", tmp_path_factory.mktemp("made"))


@pytest.fixture
def source(made: Path, tmp_path: Path) -> ModelSource:
    folder = Path(shutil.copytree(made, tmp_path / "model"))
    return ModelSource(name="model", ref=str(folder), path=folder, origin="folder")


def test_known_only_after_it_was_read(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint_cached(source) is None
    told: list[float | None] = []
    found = fingerprint(source, lambda _s, _d, fraction, _l: told.append(fraction))
    assert len(found) == 64
    assert told
    assert told[-1] == 1

    def never(*_: object) -> str:
        raise AssertionError("a file was read again")

    monkeypatch.setattr(module, "_hash", never)
    assert fingerprint_cached(source) == found
    assert fingerprint(source) == found


def test_it_is_the_content_not_the_place(source: ModelSource, tmp_path: Path) -> None:
    import msgspec

    copy = Path(shutil.copytree(source.path, tmp_path / "elsewhere"))
    (copy / "README.md").write_text("not part of the model")
    assert fingerprint(msgspec.structs.replace(source, path=copy, name="x")) == fingerprint(source)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_every_part_counts_even_where_the_time_was_put_back(source: ModelSource, name: str) -> None:
    before = fingerprint(source)
    file = source.path / name
    times = file.stat()
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    with file.open("r+b") as stream:
        stream.write(body)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    if name == "model.safetensors":
        assert fingerprint_cached(source) is None
    assert fingerprint(source) != before


def test_the_chat_template_counts(source: ModelSource) -> None:
    before = fingerprint(source)
    (source.path / "chat_template.jinja").write_text("{{ 'another' }}")
    assert fingerprint(source) != before


def test_the_hubs_names_are_believed(source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab.finding.download import sha256_of

    expected = fingerprint(source)
    weights = source.path / "model.safetensors"
    blob = tmp_path / "blobs" / sha256_of(weights)
    blob.parent.mkdir()
    weights.rename(blob)
    weights.symlink_to(blob)
    shutil.rmtree(paths.cache_dir() / "hashes")
    assert fingerprint_cached(source) == expected


def test_a_changing_file_is_noticed(source: ModelSource) -> None:
    weights = source.path / "model.safetensors"

    def change(*_: object) -> None:
        with weights.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(UserError, match="changed while it was read"):
        fingerprint(source, change)
    assert fingerprint_cached(source) is None


def test_a_cache_that_can_not_be_written_is_no_reason_to_fail(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = fingerprint(source)
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert fingerprint(source) == expected


def test_a_damaged_memory_is_not_believed(source: ModelSource) -> None:
    expected = fingerprint(source)
    for file in (paths.cache_dir() / "hashes").iterdir():
        file.write_text("nonsense")
    assert fingerprint_cached(source) is None
    assert fingerprint(source) == expected


def test_it_can_be_stopped(source: ModelSource) -> None:
    class StopError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StopError

    with pytest.raises(StopError):
        fingerprint(source, stop)


def test_settings_of_the_model_change_it(source: ModelSource) -> None:
    before = fingerprint(source)
    edit_config(source.path, rms_norm_eps=1e-3)
    assert fingerprint(source) != before
