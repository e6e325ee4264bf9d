import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from workbench.lab.finding.listing import list_models
from workbench.lab.finding.source import CONVERTED_NAME, converted_folder


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache as its client lays it out, empty."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def put(cache: Path, ref: str, arch: str = "llama") -> Path:
    sha = "0123456789abcdef0123456789abcdef01234567"
    repo = cache / f"models--{ref.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(sha)
    return tiny_model(arch, repo / "snapshots" / sha)


def test_nothing_here_yet(hub_cache: Path) -> None:
    (only,) = list_models()
    assert (only.name, only.ref, only.ready, only.path) == (CONVERTED_NAME, "default", False, "")
    assert only.size == 92_871_040
    assert only.problem == "not here yet: it is downloaded when it is first opened"


def test_what_is_here_and_why_not(hub_cache: Path) -> None:
    tiny_model("llama", converted_folder())
    put(hub_cache, "org/whole", "gpt2")
    broken = put(hub_cache, "org/broken")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    default, second, third = list_models()
    assert (default.ref, default.ready, default.origin) == ("default", True, "package")
    assert default.dtype == "float32"
    assert default.n_parameters > 0
    assert (second.ref, second.ready) == ("org/broken", False)
    assert "pickle only" in second.problem
    assert (third.ref, third.ready, third.architecture) == ("org/whole", True, "GPT2LMHeadModel")
    assert third.size == (Path(third.path) / "model.safetensors").stat().st_size


def test_the_default_from_the_hub(hub_cache: Path) -> None:
    put(hub_cache, "HuggingFaceTB/SmolLM2-135M-Instruct")
    (only,) = list_models()
    assert (only.name, only.ref, only.origin) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "default", "hub")


def test_unfinished_conversions_are_no_models(hub_cache: Path) -> None:
    making = converted_folder().with_name(f".making-{converted_folder().name}-1")
    shutil.copytree(tiny_model("llama", making.parent / "x"), making)
    assert [entry.ready for entry in list_models()] == [False]


def test_no_torch_for_any_of_it() -> None:
    script = (
        "import sys\nfrom workbench.lab.finding.listing import list_models\n"
        "from workbench.lab.finding.source import resolve\n"
        "from workbench.lab.finding.fingerprint import fingerprint_cached\n"
        "from workbench.lab import gpus, memory, device\n"
        "list_models(); gpus.find_gpus(); memory.free_memory('cpu')\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
