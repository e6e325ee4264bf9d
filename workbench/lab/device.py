"""Where the model runs and in which numbers. torch is imported inside the functions."""

from __future__ import annotations

from workbench.errors import UserError
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.gpus import find_gpus, free_by_gpu, gpu_processes, slices_by_gpu, why_unusable
from workbench.text import size

DTYPES = ("float32", "bfloat16", "float16")
_SHORT = {
    "fp32": "float32",
    "f32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
}


def pick_device(requested: str = "auto") -> str:
    """`cpu`, `mps`, or `cuda:N`. `auto` takes the GPU with the most free memory, if torch can compute on it.

    Raises UserError where what was asked for is not there, with the reason and what is.
    """
    import torch

    requested = requested.strip().lower()
    if requested == "cpu":
        return "cpu"
    if requested == "auto":
        # The first that computes is taken, and no other is touched: that would leave a context on it.
        for name in _most_free_first(_cuda_devices()):
            if _compute_problem(name) is None:
                return name
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if requested == "mps":
        if torch.backends.mps.is_available():
            return "mps"
        raise UserError(f"there is no Apple GPU that torch can use here: --device takes {_device_values()}")
    kind, _, index = requested.partition(":")
    if kind != "cuda" or not (index.isdecimal() or requested == "cuda"):
        raise UserError(f"there is no device {requested!r}: --device takes {_device_values()}")
    present = _cuda_devices()
    if not present:
        reason = gpu_problem() or "this machine has no GPU that its driver knows of"
        raise UserError(f"{requested} can't be used: {reason}. --device takes {_device_values()}")
    name = f"cuda:{int(index)}" if index else f"cuda:{torch.cuda.current_device()}"
    if name not in present:
        raise UserError(f"there is no {requested}: --device takes {_device_values()}")
    if problem := _compute_problem(name):
        raise UserError(f"{requested} can't be used: {problem}. --device takes {_device_values()}")
    return name


def pick_devices(requested: str = "auto") -> list[str]:
    """The same, of one name or of several GPUs, `cuda:0,cuda:1`, which the model is spread over. Raises UserError."""
    names = requested.split(",")
    devices = [pick_device(name) for name in names]
    if len(set(devices)) < len(devices) or (len(devices) > 1 and not all(name.startswith("cuda") for name in devices)):
        raise UserError(f"{requested} can't be used: several devices are different GPUs, as cuda:0,cuda:1")
    return devices


def spare_gpus(device: str) -> list[str]:
    """The GPUs beside `device` that compute, most free memory first; none beside the CPU."""
    if not device.startswith("cuda"):
        return []
    return [name for name in _most_free_first(_cuda_devices()) if name != device and _compute_problem(name) is None]


def pick_dtype(requested: str, device: str, checkpoint: Checkpoint) -> str:
    """`float32`, `bfloat16` or `float16`.

    `auto`: on a GPU what the weights are stored in, so that nothing is lost or invented (float16 weights stay float16,
    and float64 ones become float32); on the CPU float32, which is exact for all of them and quicker there.
    Raises UserError where the device cannot compute in what was asked for.
    """
    requested = _SHORT.get(requested.strip().lower(), requested.strip().lower())
    if requested == "auto":
        stored = checkpoint.dtype
        slow = stored == "bfloat16" and not _native_bfloat16(device)
        if device == "cpu" or stored not in DTYPES or slow or _compute_problem(device, stored):
            return "float32"
        return stored
    if requested not in DTYPES:
        raise UserError(f"there is no dtype {requested!r} here: --dtype takes auto, {', '.join(DTYPES)}")
    if problem := _compute_problem(device, requested):
        raise UserError(f"{device} can't compute in {requested}: {problem}. Take float32")
    return requested


def check_config_dtypes(checkpoint: Checkpoint) -> None:
    """Raises UserError where config.json names a dtype that torch does not have: transformers would stop on it.

    What it names is else of no account: the weights' own dtype and --dtype decide.
    """
    import torch

    parts = [checkpoint.config, *(part for part in checkpoint.config.values() if isinstance(part, dict))]
    for part in parts:
        for key in ("dtype", "torch_dtype"):
            dtype = part.get(key)
            is_torch_dtype = isinstance(dtype, str) and isinstance(getattr(torch, dtype, None), torch.dtype)
            if isinstance(dtype, str | list) and not is_torch_dtype:
                raise UserError(
                    f"{checkpoint.folder / 'config.json'} has {key!r}: {dtype!r}, which is no dtype of torch: "
                    f"write {checkpoint.dtype!r} there, or take the line out"
                )


def gpu_problem() -> str | None:
    """A GPU that is present and that torch can't use: a sentence with the cure. None where all is well."""
    import torch

    available = torch.cuda.is_available()
    problem = why_unusable([] if available else find_gpus(), torch.version.cuda, torch.version.hip, available)
    if problem:
        return problem
    for name in _cuda_devices():
        if why := _compute_problem(name):
            return f"{torch.cuda.get_device_name(name)}: {why}{_held(name)}"
    return None


def _held(name: str) -> str:
    """What holds the memory of a GPU, as the end of a sentence; empty where nothing is known to."""
    uuid = gpu_uuid(name)
    held = [process for process in gpu_processes() if process.memory and uuid and process.gpu == uuid][:3]
    listed = ", ".join(f"{process.name} (pid {process.pid}, {size(process.memory)})" for process in held)
    return f"; its memory is held by {listed}" if held else ""


def why_not_gpu(requested: str, picked: str) -> str:
    """A sentence where `auto` came to the CPU although there is a GPU, with what holds its memory; else empty."""
    if requested.strip().lower() != "auto" or picked != "cpu":
        return ""
    problem = gpu_problem()
    return f"it runs on the CPU: {problem}" if problem else ""


def cuda_uuid(name: str, slices: dict[str, list[str]]) -> str:
    """Of `cuda:N`, as the driver's tools write it, also of one of the `slices`; empty where torch does not know it."""
    import torch

    try:
        uuid = str(torch.cuda.get_device_properties(name).uuid)
    except (RuntimeError, AssertionError, AttributeError):
        return ""
    if uuid.startswith(("GPU-", "MIG-")):
        return uuid
    # torch's numbers are the same for both.
    is_slice = any(f"MIG-{uuid}" in own for own in slices.values())
    return f"MIG-{uuid}" if is_slice else f"GPU-{uuid}"


def gpu_uuid(name: str) -> str:
    """Of the whole GPU that `cuda:N` is or is a slice of, by which the driver's tools list processes."""
    slices = slices_by_gpu()
    uuid = cuda_uuid(name, slices)
    return next((gpu for gpu, own in slices.items() if uuid in own), uuid)


def usable_devices() -> list[str]:
    """Every device that computes here, the CPU last; what `doctor --check` goes through."""
    import torch

    apple = ["mps"] if torch.backends.mps.is_available() else []
    return [name for name in _cuda_devices() if _compute_problem(name) is None] + apple + ["cpu"]


def usable_dtypes(device: str) -> list[str]:
    """The dtypes that `device` computes in."""
    return [name for name in DTYPES if _compute_problem(device, name) is None]


def _cuda_devices() -> list[str]:
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def _most_free_first(names: list[str]) -> list[str]:
    import torch

    known, slices = free_by_gpu(), slices_by_gpu()

    def free(name: str) -> int:
        by_tool = known.get(cuda_uuid(name, slices))
        return int(torch.cuda.mem_get_info(name)[0]) if by_tool is None else by_tool

    return sorted(names, key=free, reverse=True) if len(names) > 1 else names


def _native_bfloat16(device: str) -> bool:
    """Older NVIDIA chips compute in bfloat16 too, through float32 and slowly."""
    import torch

    return not device.startswith("cuda") or torch.cuda.get_device_capability(device) >= (8, 0)


def _compute_problem(device: str, dtype: str = "float32") -> str | None:
    """Multiplies two small matrices there: the one test that covers old chips, missing kernels and full memory."""
    import torch

    try:
        square = torch.ones(8, 8, device=device, dtype=getattr(torch, dtype))
        if float((square @ square)[0, 0]) != 8:
            return "it computes wrong numbers"
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        text = str(error)
        if "no kernel image" in text:
            major, minor = torch.cuda.get_device_capability(device)
            return f"this torch has no code for its compute capability {major}.{minor}; install a build that has"
        return text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return None


def _device_values() -> str:
    """The values of --device that work here."""
    return ", ".join(["auto", *usable_devices()])
