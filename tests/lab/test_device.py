import types
from pathlib import Path

import pytest
import torch

from workbench.errors import UserError
from workbench.lab import device as module
from workbench.lab.device import gpu_problem, pick_device, pick_dtype, usable_devices, usable_dtypes, why_not_gpu
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.gpus import Gpu, find_gpus, gpu_processes, why_unusable
from workbench.lab.memory import holders

H200 = Gpu(name="NVIDIA H200", driver="535.104.05", memory=140 << 30)


def checkpoint(dtype: str) -> Checkpoint:
    return Checkpoint(folder=Path("m"), config={}, weights=[], n_parameters=1, dtype=dtype, size=1)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs as far as our code asks; the one with index 1 has more free memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA Test")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (int(str(name)[-1]) * 1000, 10_000))
    monkeypatch.setattr(module, "_compute_problem", lambda *_: None)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(module, "find_gpus", list)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu() -> None:
    assert pick_device() == "cpu"
    assert pick_device(" CPU ") == "cpu"
    assert usable_devices() == ["cpu"]
    assert gpu_problem() is None
    with pytest.raises(UserError, match=r"cuda can't be used: this machine has no GPU .* --device takes auto, cpu"):
        pick_device("cuda")
    with pytest.raises(UserError, match="no Apple GPU"):
        pick_device("mps")
    for wrong in ("tpu", "cuda:x", "cuda:", "cuda:-1", "", "cpu:0"):
        with pytest.raises(UserError, match="there is no device .* --device takes auto, cpu"):
            pick_device(wrong)


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_torch_can_not_use_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_gpus", lambda: [H200])
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match=r"cuda can't be used: NVIDIA H200 .* is a build for the CPU"):
        pick_device("cuda")
    assert "build for the CPU" in str(gpu_problem())
    assert pick_device() == "cpu"


@pytest.mark.usefixtures("cuda")
def test_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device() == "cuda:1"
    assert pick_device("cuda") == "cuda:0"
    assert pick_device("cuda:1") == "cuda:1"
    assert usable_devices() == ["cuda:0", "cuda:1", "cpu"]
    with pytest.raises(UserError, match=r"there is no cuda:2: --device takes auto, cuda:0, cuda:1, cpu"):
        pick_device("cuda:2")
    monkeypatch.setattr(module, "_compute_problem", lambda name, *_: "no kernel image" if name == "cuda:1" else None)
    assert pick_device() == "cuda:0"
    assert gpu_problem() == "NVIDIA Test: no kernel image"
    with pytest.raises(UserError, match="cuda:1 can't be used: no kernel image"):
        pick_device("cuda:1")


@pytest.mark.usefixtures("cuda")
def test_the_dtype_follows_the_weights_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_dtype("auto", "cuda:0", checkpoint("bfloat16")) == "bfloat16"
    assert pick_dtype("auto", "cuda:0", checkpoint("float16")) == "float16"
    assert pick_dtype("auto", "cuda:0", checkpoint("float32")) == "float32"
    assert pick_dtype("auto", "cuda:0", checkpoint("float64")) == "float32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    assert pick_dtype("auto", "cuda:0", checkpoint("bfloat16")) == "float32"
    assert pick_dtype("bfloat16", "cuda:0", checkpoint("bfloat16")) == "bfloat16"


def test_the_dtype_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for stored in ("float32", "bfloat16", "float16", "float64"):
        assert pick_dtype("auto", "cpu", checkpoint(stored)) == "float32"
    assert pick_dtype("bf16", "cpu", checkpoint("float32")) == "bfloat16"
    assert usable_dtypes("cpu")[0] == "float32"
    with pytest.raises(UserError, match="there is no dtype 'int8' here: --dtype takes auto, float32, bf"):
        pick_dtype("int8", "cpu", checkpoint("float32"))
    monkeypatch.setattr(module, "_compute_problem", lambda *_: "not implemented for Half")
    with pytest.raises(UserError, match=r"cpu can't compute in float16: not implemented for Half. Take float32"):
        pick_dtype("float16", "cpu", checkpoint("float32"))


def test_a_device_that_fails_says_why() -> None:
    assert module._compute_problem("cpu") is None
    assert module._compute_problem("cuda:99")


@pytest.mark.parametrize(
    ("gpus", "cuda", "hip", "available", "sentence"),
    [
        ([], "12.8", None, False, None),
        ([H200], "12.8", None, True, None),
        ([H200], None, None, False, "this torch is a build for the CPU"),
        ([H200], "13.0", None, False, "the driver is 535.104.05, torch with CUDA 13.0 needs 580.65.06 or newer"),
        ([H200], "12.8", None, False, "finds no usable device; look at CUDA_VISIBLE_DEVICES"),
        ([Gpu(name="NVIDIA GPU", driver="")], "13.0", None, False, r"driver unknown.*finds no usable device"),
        ([Gpu(name="Old", driver="470.5")], "12.1", None, False, "needs 525.60.13 or newer"),
        ([Gpu(name="AMD GPU", driver="", kind="amd")], None, None, False, "no ROCm"),
        ([Gpu(name="AMD GPU", driver="", kind="amd")], None, "6.2", False, "groups video"),
    ],
)
def test_why_a_gpu_is_unusable(
    gpus: list[Gpu], cuda: str | None, hip: str | None, available: bool, sentence: str | None
) -> None:
    import re

    found = why_unusable(gpus, cuda, hip, available)
    if sentence is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(sentence, found), found


def fake_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_smi(
        tmp_path,
        monkeypatch,
        'case "$1" in *gpu=*) echo "NVIDIA H200, 535.104.05, 143771"; echo "Old, 535.104.05, [N/A]";;'
        ' *) echo "17, /usr/bin/python3, 2048, GPU-a"; echo "18, big, 4096, GPU-a"; '
        'echo "19, hidden, [N/A], GPU-b";; esac',
    )
    assert find_gpus() == [
        Gpu(name="NVIDIA H200", driver="535.104.05", memory=143771 << 20),
        Gpu(name="Old", driver="535.104.05"),
    ]
    found = gpu_processes()
    held = [(process.pid, process.name, process.memory >> 20, process.gpu) for process in found]
    assert held == [(18, "big", 4096, "GPU-a"), (17, "python3", 2048, "GPU-a"), (19, "hidden", 0, "GPU-b")]


@pytest.mark.usefixtures("cuda")
def test_auto_takes_the_gpu_with_most_free_memory_and_touches_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = {"cuda:0": "0a", "cuda:1": "GPU-1b"}
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda name: types.SimpleNamespace(uuid=uuids[name]), raising=False
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: pytest.fail(f"a context on {name}"))
    tried: list[str] = []

    def problem(name: str, dtype: str = "float32") -> str | None:
        tried.append(name)
        return "CUDA error: out of memory" if name in full else None

    monkeypatch.setattr(module, "_compute_problem", problem)
    fake_smi(
        tmp_path,
        monkeypatch,
        'case "$1" in *memory.free) echo "GPU-0a, 900"; echo "GPU-1b, 100";;'
        ' *compute-apps*) echo "18, big, 4096, GPU-0a"; echo "19, other, 2048, GPU-1b";; esac',
    )
    full: set[str] = set()
    assert pick_device() == "cuda:0"
    assert tried == ["cuda:0"]
    assert [holder.pid for holder in holders("cuda:1")] == [19]
    full.add("cuda:0")
    assert pick_device() == "cuda:1"
    assert why_not_gpu("auto", "cuda:1") == ""
    full.add("cuda:1")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device() == "cpu"
    assert why_not_gpu("cpu", "cpu") == ""
    assert why_not_gpu("auto", "cpu") == (
        "it runs on the CPU: NVIDIA Test: CUDA error: out of memory; its memory is held by big (pid 18, 4.0 GiB)"
    )


def test_an_nvidia_smi_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.lab import gpus

    monkeypatch.setattr(gpus, "_AMD", tmp_path / "none")
    monkeypatch.setattr(gpus, "_NVIDIA", tmp_path / "version")
    fake_smi(tmp_path, monkeypatch, 'echo "NVIDIA-SMI has failed"; exit 9')
    assert find_gpus() == []
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27\n")
    assert find_gpus() == [Gpu(name="NVIDIA GPU", driver="470.82.01")]
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release\n")
    assert find_gpus()[0].driver == "580.65.06"
    assert gpu_processes() == []
