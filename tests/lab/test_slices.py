"""Slices of a GPU (MIG), and CUDA_VISIBLE_DEVICES by UUID: what is taken, who holds it, and what is said of it.

nvidia-smi's answers are texts in `nvidia_smi/`, in the driver's own form; torch's are those of a process that sees one
of the devices.
"""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from workbench.lab import device as devices
from workbench.lab.device import gpu_problem, gpu_uuid, pick_device, spare_gpus
from workbench.lab.gpus import find_gpus, slices_by_gpu
from workbench.lab.memory import Holder, holders

ANSWERS = Path(__file__).parent / "nvidia_smi"
WHOLE = "7fdaf0a5-179b-f636-d15d-daf243e3ff16"
CUT = "b1c3e7d2-40aa-1f0e-9d57-2a6c8f31e904"
SLICES = ("feb88891-0321-5fef-9c87-d4af3b54259e", "a25704ba-3a06-5299-a795-fd7cf4d13973")


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole GPU, and one that is cut into two slices."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        f'#!/bin/sh\ncd "{ANSWERS}"\ncase "$1" in -L) cat list.txt;; *gpu=name,*) cat gpus.txt;;'
        " *memory.free) cat free.txt;; *compute-apps*) cat processes.txt;; esac\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def torch_sees(monkeypatch: pytest.MonkeyPatch, free: dict[str, int], problem: str | None = None) -> None:
    """Devices by UUID, as torch has it: without a prefix; with their free bytes."""
    uuids = list(free)

    def index(name: str) -> int:
        return int(name.partition(":")[2])

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "NVIDIA A100")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (free[uuids[index(name)]], 1 << 40))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_compute_problem", lambda *_: problem)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda name: types.SimpleNamespace(uuid=uuids[index(name)]),
        raising=False,
    )


@pytest.mark.usefixtures("nvidia_smi")
def test_what_is_cut_into_slices() -> None:
    assert slices_by_gpu() == {f"GPU-{WHOLE}": [], f"GPU-{CUT}": [f"MIG-{uuid}" for uuid in SLICES]}
    assert [(gpu.name, gpu.memory >> 20) for gpu in find_gpus()] == [("NVIDIA A100-SXM4-80GB", 81920)] * 2


@pytest.mark.usefixtures("nvidia_smi")
def test_holders_of_a_slice_are_those_of_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"MIG-{SLICES[1]}")
    torch_sees(monkeypatch, {SLICES[1]: 9 << 30})
    assert pick_device() == "cuda:0"
    assert gpu_uuid("cuda:0") == f"GPU-{CUT}"
    assert holders("cuda:0") == [Holder(pid=4242, name="python", memory=9000 << 20)]
    assert spare_gpus("cuda:0") == []


@pytest.mark.usefixtures("nvidia_smi")
def test_the_free_memory_of_a_slice_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the GPU that it is a part of: the driver's tool says 70 GB of that one, 60 GB of the whole one."""
    torch_sees(monkeypatch, {SLICES[0]: 1 << 30, WHOLE: 99 << 30, SLICES[1]: 2 << 30})
    assert pick_device() == "cuda:1"
    assert spare_gpus("cuda:1") == ["cuda:2", "cuda:0"]


@pytest.mark.usefixtures("nvidia_smi")
def test_a_gpu_named_by_its_uuid_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"GPU-{WHOLE}")
    torch_sees(monkeypatch, {WHOLE: 60 << 30}, problem="CUDA error: out of memory")
    assert gpu_uuid("cuda:0") == f"GPU-{WHOLE}"
    assert [holder.pid for holder in holders("cuda:0")] == [17]
    assert pick_device() == "cpu"
    assert gpu_problem() == ("NVIDIA A100: CUDA error: out of memory; its memory is held by train.py (pid 17, 20 GiB)")


@pytest.mark.usefixtures("nvidia_smi")
@pytest.mark.parametrize(
    ("visible", "sentence"),
    [
        ("", "CUDA_VISIBLE_DEVICES= hides every GPU; unset it, or name one of nvidia-smi -L"),
        ("-1", "CUDA_VISIBLE_DEVICES=-1 hides every GPU; unset it, or name one of nvidia-smi -L"),
        ("GPU-0123", "CUDA_VISIBLE_DEVICES names GPU-0123, which is not here; nvidia-smi -L lists GPU-7fdaf0a5"),
        ("GPU-b1c3e7d2", "names GPU-b1c3e7d2, which is cut into slices and can't be used whole; nvidia-smi -L lists"),
        ("MIG-0", f"which is not here; nvidia-smi -L lists GPU-{WHOLE}, MIG-{SLICES[0]}, MIG-{SLICES[1]}"),
        ("GPU-7fdaf0a5", "finds no usable device"),
        ("0", "finds no usable device"),
    ],
)
def test_what_cuda_visible_devices_hides(visible: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    torch_sees(monkeypatch, {})
    problem = gpu_problem()
    assert problem is not None
    assert problem.startswith("NVIDIA A100-SXM4-80GB")
    assert sentence in problem
