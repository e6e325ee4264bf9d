"""Which GPUs this machine has, and why torch may be unable to use them. No torch here."""

from __future__ import annotations

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
    """the UUID of the GPU that it is on"""


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


def why_unusable(gpus: list[Gpu], torch_cuda: str | None, torch_hip: str | None, available: bool) -> str | None:
    """Why torch can't use the GPUs that are there, with the cure; None where it can, or there is none.

    `torch_cuda` and `torch_hip` are `torch.version.cuda` and `.hip`; `available` is `torch.cuda.is_available()`.
    """
    if not gpus or available:
        return None
    gpu = gpus[0]
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


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _nvidia_smi(query: str) -> list[list[str]]:
    """Rows of one query; empty where there is no nvidia-smi or it fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    try:
        done = subprocess.run(
            [tool, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
