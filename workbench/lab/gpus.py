"""Which GPUs this machine has, and why torch may be unable to use them. No torch here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

_NVIDIA = Path("/proc/driver/nvidia/version")
_AMD = Path("/dev/kfd")
NEEDED_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""the oldest Linux driver for each major version of CUDA (NVIDIA's compatibility tables)"""
_SECONDS = 5.0


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU as its driver's tools describe it, whether torch can use it or not."""

    name: str
    driver: str
    """version; empty where unknown"""
    memory: int = 0
    """bytes; 0 where unknown"""
    kind: str = "nvidia"
    """nvidia or amd"""


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What holds memory on a GPU."""

    pid: int
    name: str
    memory: int
    """bytes; 0 where the driver does not say"""
    gpu: str = ""
    """the UUID of the GPU that it is on, or of which it has a slice"""


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine (up to a few seconds where the driver is slow to answer)."""
    rows = _nvidia_smi("--query-gpu=name,driver_version,memory.total")
    if rows:
        return [
            Gpu(name=row[0], driver=row[1], memory=int(row[2]) << 20 if row[2].isdigit() else 0)
            for row in rows
            if len(row) == 3
        ]
    if _NVIDIA.exists():
        version = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _NVIDIA.read_text())
        return [Gpu(name="NVIDIA GPU", driver=version[1] if version else "")]
    if _AMD.exists():
        return [Gpu(name="AMD GPU", driver="", kind="amd")]
    return []


def gpu_processes() -> list[GpuProcess]:
    """Processes that compute on an NVIDIA GPU, largest first; empty where nvidia-smi does not list them."""
    rows = _nvidia_smi("--query-compute-apps=pid,process_name,used_memory,gpu_uuid")
    processes = [
        GpuProcess(
            pid=int(row[0]), name=Path(row[1]).name, memory=int(row[2]) << 20 if row[2].isdigit() else 0, gpu=row[3]
        )
        for row in rows
        if len(row) == 4 and row[0].isdigit()
    ]
    return sorted(processes, key=lambda process: -process.memory)


def free_by_gpu() -> dict[str, int]:
    """Free bytes of each NVIDIA GPU by its UUID, as the driver's tool says: torch would leave a context on each.

    Slices of a GPU (MIG) are not among them.
    """
    rows = _nvidia_smi("--query-gpu=uuid,memory.free")
    return {row[0]: int(row[1]) << 20 for row in rows if len(row) == 2 and row[1].isdigit()}


def slices_by_gpu() -> dict[str, list[str]]:
    """The UUIDs of the slices (MIG) of each NVIDIA GPU by its own UUID; empty lists of GPUs that are whole."""
    slices: dict[str, list[str]] = {}
    for line in _run_nvidia_smi("-L"):
        uuid = re.search(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)", line)
        if uuid and uuid[1].startswith("GPU-"):
            slices[uuid[1]] = []
        elif uuid and slices:
            list(slices.values())[-1].append(uuid[1])
    return slices


def why_unusable(gpus: list[Gpu], torch_cuda: str | None, torch_hip: str | None, available: bool) -> str | None:
    """Why torch can't use the GPUs that are there, with the cure; None where it can, or there is none.

    `torch_cuda` and `torch_hip` are `torch.version.cuda` and `.hip`; `available` is `torch.cuda.is_available()`.
    """
    if not gpus or available:
        return None
    gpu = gpus[0]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if gpu.kind == "nvidia" and torch_cuda else None
    if visible is not None and (problem := _hidden(visible)):
        return f"{gpu.name}: {problem}"
    if gpu.kind == "amd":
        if torch_hip:
            return f"{gpu.name}: torch has ROCm {torch_hip}, and finds no device: are you in the groups video, render?"
        return f"{gpu.name}: this torch has no ROCm; install a ROCm build from pytorch.org"
    if torch_cuda is None:
        return (
            f"{gpu.name} (driver {gpu.driver or 'unknown'}): this torch is a build for the CPU; "
            f"install one with CUDA, see pytorch.org/get-started"
        )
    needed = NEEDED_DRIVER.get(int(torch_cuda.partition(".")[0]))
    if needed and gpu.driver and _version(gpu.driver) < _version(needed):
        return (
            f"{gpu.name}: the driver is {gpu.driver}, torch with CUDA {torch_cuda} needs {needed} or newer; "
            f"update the driver, or install a torch for an older CUDA"
        )
    return (
        f"{gpu.name} (driver {gpu.driver or 'unknown'}): torch with CUDA {torch_cuda} finds no usable device; "
        f"look at CUDA_VISIBLE_DEVICES, at nvidia-smi, and whether the driver was updated without a restart"
    )


def _hidden(visible: str) -> str:
    """What is wrong with CUDA_VISIBLE_DEVICES where it hides every GPU; empty where it names one that is there."""
    named = [name.strip() for name in visible.split(",") if name.strip()]
    if not named or named[0] == "-1":
        return f"CUDA_VISIBLE_DEVICES={visible} hides every GPU; unset it, or name one of nvidia-smi -L"
    slices = slices_by_gpu()
    there = [uuid for gpu, own in slices.items() for uuid in own or [gpu]]
    # CUDA takes the names as far as they go, and the beginning of a UUID for all of it.
    if there and named[0].startswith(("GPU-", "MIG-")) and not any(uuid.startswith(named[0]) for uuid in there):
        cut = next((len(own) for gpu, own in slices.items() if gpu.startswith(named[0])), 0)
        why = "is cut into slices and can't be used whole" if cut else "is not here"
        return f"CUDA_VISIBLE_DEVICES names {named[0]}, which {why}; nvidia-smi -L lists {', '.join(there)}"
    return ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _nvidia_smi(query: str) -> list[list[str]]:
    """Rows of one query; empty where there is no nvidia-smi or it fails."""
    lines = _run_nvidia_smi(query, "--format=csv,noheader,nounits")
    return [[cell.strip() for cell in line.split(",")] for line in lines]


def _run_nvidia_smi(*arguments: str) -> list[str]:
    """The lines that it prints; empty where there is none or it fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    try:
        done = subprocess.run(
            [tool, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in done.stdout.splitlines() if line.strip()]
