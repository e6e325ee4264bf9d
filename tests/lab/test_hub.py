"""Hub models from a hub on loopback, each in a process of its own: the client reads its settings once."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.server import Answer, Server, serving
from tests.tiny import edit_config, tiny_model
from workbench.errors import UserError
from workbench.lab.finding import hub

SHA = "0123456789abcdef0123456789abcdef01234567"
REF = "someone/tiny"

SCRIPT = """
import json, sys
from workbench.errors import UserError
from workbench.lab.finding.fingerprint import fingerprint_cached
from workbench.lab.finding.listing import list_models
from workbench.lab.finding.source import resolve
told = []
try:
    source = resolve(sys.argv[1], lambda *a: told.append(a))
    files = sorted(file.name for file in source.path.iterdir())
    listed = [entry.ref for entry in list_models() if entry.ready]
    print(json.dumps({"path": str(source.path), "name": source.name, "told": told, "files": files, "listed": listed,
                      "known": fingerprint_cached(source)}))
except UserError as error:
    print(json.dumps({"error": str(error)}))
"""


def ask(ref: str, home: Path, endpoint: str, **environment: str) -> dict[str, Any]:
    """`resolve(ref)` in a new process."""
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ref],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def publish(server: Server, folder: Path, ref: str = REF) -> None:
    """Serve a folder as the hub would."""
    siblings = []
    for file in sorted(folder.rglob("*")):
        if file.is_dir():
            continue
        name, body = file.relative_to(folder).as_posix(), file.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        lfs = hashlib.sha256(body).hexdigest() if name.endswith((".safetensors", ".bin")) else None
        entry: dict[str, Any] = {"rfilename": name, "size": len(body), "blobId": git}
        headers = {"X-Repo-Commit": SHA, "ETag": f'"{lfs or git}"', "X-Linked-Size": str(len(body))}
        if lfs:
            entry["lfs"] = {"sha256": lfs, "size": len(body), "pointerSize": 130}
            headers["X-Linked-Etag"] = f'"{lfs}"'
        siblings.append(entry)
        for revision in ("main", SHA):
            server.routes[f"/{ref}/resolve/{revision}/{name}"] = Answer(body, headers=headers)
    info = {"id": ref, "modelId": ref, "sha": SHA, "private": False, "tags": [], "downloads": 0, "likes": 0}
    tree = [
        {"type": "file", "path": one["rfilename"], "size": one["size"], "oid": one["blobId"]}
        | ({"lfs": {"oid": one["lfs"]["sha256"], "size": one["size"], "pointerSize": 130}} if "lfs" in one else {})
        for one in siblings
    ]
    as_json = {"Content-Type": "application/json"}
    for path in (f"/api/models/{ref}", f"/api/models/{ref}/revision/main", f"/api/models/{ref}/revision/{SHA}"):
        server.routes[path] = Answer(json.dumps({**info, "siblings": siblings}).encode(), headers=as_json)
    for revision in ("main", SHA):
        server.routes[f"/api/models/{ref}/tree/{revision}"] = Answer(json.dumps(tree).encode(), headers=as_json)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model("llama", tmp_path / "published")


@pytest.mark.slow
def test_only_what_is_needed_comes_and_then_no_network(server: Server, model: Path, tmp_path: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02 pickle")
    (model / "modeling_own.py").write_text("raise SystemExit")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.safetensors").write_bytes(b"another")
    (model / "README.md").write_text("read me")
    publish(server, model)
    found = ask(REF, tmp_path / "home", server.url)
    assert found["name"] == "tiny"
    assert found["files"] == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    told = found["told"]
    assert told[0][0] == "finding"
    assert told[-1][0] == "downloading"
    assert told[-1][2] == 1
    # The weights' hash is the hub's own: nothing has to be read for the fingerprint.
    assert found["known"]
    assert REF in found["listed"]
    with serving() as nobody:
        again = ask(REF, tmp_path / "home", nobody.url)
        assert again["path"] == found["path"]
        assert nobody.log == []


@pytest.mark.slow
def test_the_same_weights_have_the_same_fingerprint_in_a_folder(server: Server, model: Path, tmp_path: Path) -> None:
    from workbench.lab.finding.fingerprint import fingerprint
    from workbench.lab.finding.source import resolve

    publish(server, model)
    found = ask(REF, tmp_path / "home", server.url)
    assert found["known"] == fingerprint(resolve(str(model)))


@pytest.mark.slow
def test_a_broken_connection_is_gone_on_with(server: Server, model: Path, tmp_path: Path) -> None:
    publish(server, model)
    weights = f"/{REF}/resolve/{SHA}/model.safetensors"
    server.routes[weights].cuts = [50_000]
    assert "model.safetensors" in ask(REF, tmp_path / "home", server.url)["files"]
    assert len(server.ranges(weights)) == 2


@pytest.mark.slow
def test_what_is_finished_is_kept_when_it_breaks_off(server: Server, model: Path, tmp_path: Path) -> None:
    import transformers

    whole = transformers.AutoModelForCausalLM.from_pretrained(model)
    (model / "model.safetensors").unlink()
    whole.save_pretrained(model, max_shard_size="100KB")
    first, *_, last = sorted(model.glob("model-*.safetensors"))
    publish(server, model)
    gone = server.routes.pop(f"/{REF}/resolve/{SHA}/{last.name}")
    server.routes[f"/{REF}/resolve/{SHA}/{last.name}"] = Answer(status=403)
    assert "403" in ask(REF, tmp_path / "home", server.url)["error"]
    server.routes[f"/{REF}/resolve/{SHA}/{last.name}"] = gone
    server.log.clear()
    assert last.name in ask(REF, tmp_path / "home", server.url)["files"]
    assert server.ranges(f"/{REF}/resolve/{SHA}/{last.name}") == [""]
    assert server.ranges(f"/{REF}/resolve/{SHA}/{first.name}") == []


def test_errors_in_the_middle_say_that_starting_again_helps() -> None:
    from huggingface_hub.errors import HTTPError

    assert "broke off (cut): start again" in str(hub.explain("x", HTTPError("cut"), begun=True))
    assert "was not reached (cut)" in str(hub.explain("x", HTTPError("cut"), begun=False))
    full = OSError(28, "No space left on device", "/hub/blob")
    assert "could not be written to the hub's cache: No space left" in str(hub.explain("x", full, begun=True))
    assert hub.explain("x", ValueError("a bug"), begun=True) is None


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "GatedRepo", "is gated: accept its licence at {url}/someone/tiny .* `hf auth login` .*HF_TOKEN"),
        (401, "GatedRepo", "is gated: accept its licence"),
        (401, "RepoNotFound", "the hub has no model 'someone/tiny', or it is private: check the name at {url}"),
        (404, "RepoNotFound", "the hub has no model 'someone/tiny'"),
        (503, "", "the hub answered 503"),
    ],
)
def test_refusals_are_sentences(server: Server, tmp_path: Path, status: int, code: str, sentence: str) -> None:
    import re

    refusal = Answer(b"{}", status=status, headers={"X-Error-Code": code, "X-Error-Message": "no"})
    for path in (f"/api/models/{REF}", f"/api/models/{REF}/revision/main"):
        server.routes[path] = refusal
    error = ask(REF, tmp_path / "home", server.url)["error"]
    assert re.search(sentence.format(url=re.escape(server.url)), error), error
    assert "\n" not in error


def test_gated_files_of_a_visible_model(server: Server, model: Path, tmp_path: Path) -> None:
    # How the hub gates: its page can be read, its files can't.
    publish(server, model)
    for path in list(server.routes):
        if "/resolve/" in path:
            server.routes[path] = Answer(b"", status=403, headers={"X-Error-Code": "GatedRepo"})
    error = ask(REF, tmp_path / "home", server.url)["error"]
    assert "is gated: accept its licence at" in error


def test_offline_and_unreachable(server: Server, tmp_path: Path) -> None:
    works = "What works without it: a model folder"
    error = ask(REF, tmp_path / "home", server.url, HF_HUB_OFFLINE="1")["error"]
    assert error.startswith(
        f"{REF} is not in the hub's cache here, and the hub was not reached (HF_HUB_OFFLINE is set)"
    )
    assert works in error
    assert server.log == []
    with serving() as gone:
        url = gone.url
    error = ask(REF, tmp_path / "home", url)["error"]
    assert "the hub was not reached" in error
    assert works in error


@pytest.mark.slow
def test_nothing_is_downloaded_of_what_can_not_be_opened(server: Server, model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    publish(server, model)
    assert "pickle only" in ask(REF, tmp_path / "home", server.url)["error"]
    assert not any("/resolve/" in path for _, path, _ in server.log)
    (model / "pytorch_model.bin").rename(model / "model.safetensors")
    edit_config(model, model_type="own", auto_map={"AutoModelForCausalLM": "modeling_own.Model"})
    server.routes.clear()
    publish(server, model)
    assert "which the workbench never runs" in ask(REF, tmp_path / "home", server.url)["error"]
    assert server.ranges(f"/{REF}/resolve/{SHA}/model.safetensors") == []


@pytest.mark.slow
def test_the_default_comes_from_the_hub_where_it_answers(server: Server, model: Path, tmp_path: Path) -> None:
    publish(server, model, "HuggingFaceTB/SmolLM2-135M-Instruct")
    found = ask("default", tmp_path / "home", server.url)
    assert found["name"] == "SmolLM2-135M-Instruct"
    assert "default" in found["listed"]


@pytest.mark.parametrize("ref", ["a b", "org/na me", "x" * 200, "--x", "org/name\x1b[31m"])
def test_names_that_are_none(ref: str, tmp_path: Path, server: Server) -> None:
    from workbench.lab.finding.source import resolve

    with pytest.raises(UserError):
        resolve(ref)


def test_listings_without_weights() -> None:
    class Info:
        def __init__(self, *names: str) -> None:
            self.siblings = [type("File", (), {"rfilename": name}) for name in names]

    hub._check_listing("x", Info("model-00001-of-00002.safetensors"))
    for names, sentence in (
        (("onnx/model.safetensors",), "no safetensors weights"),
        (("x.gguf",), "GGUF files only"),
        ((), "no safetensors weights"),
    ):
        with pytest.raises(UserError, match=sentence):
            hub._check_listing("x", Info(*names))
