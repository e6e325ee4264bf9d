"""Whether a model fits, before it is loaded; and who holds the memory where it does not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

from workbench.batch_memory import BYTES, compared_bytes
from workbench.errors import UserError
from workbench.lab.device import gpu_uuid
from workbench.lab.finding.checkpoint import Checkpoint
from workbench.lab.gpus import gpu_processes
from workbench.model_info import LayersOn
from workbench.text import size

WINDOW = 256
TOKENS = 8 * WINDOW
"""tokens in one batch that the working room is meant for"""
COPIED = ("gpt_neox", "bloom", "mpt")
"""models whose queries, keys and values are one matrix, of which TransformerLens has a copy in three"""
_OVERHEAD = {"cpu": 300 << 20, "mps": 300 << 20, "cuda": 700 << 20}
"""bytes: libraries; on CUDA its context and kernels too"""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a model takes."""

    weights: int
    working: int
    """activations and logits of one batch of TOKENS, and what the libraries take"""

    @property
    def total(self) -> int:
        return self.weights + self.working


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process and the memory it holds."""

    pid: int
    name: str
    memory: int
    """bytes"""


def estimate(checkpoint: Checkpoint, device: str, dtype: str) -> Need:
    """From the headers' parameter count and the config's shape; nothing is loaded.

    `python -m tests.gpu.estimates` compares it, and what batches are said to take, with what is counted.
    """
    wide = BYTES[dtype]
    d_model = _d_model(checkpoint)
    d_mlp = _number(checkpoint, "intermediate_size", "n_inner", "ffn_dim") or 4 * d_model
    heads = _number(checkpoint, "num_attention_heads", "n_head", "n_heads")
    vocabulary = _number(checkpoint, "vocab_size")
    batch = TOKENS * compared_bytes(wide, d_model, d_mlp, heads, vocabulary, WINDOW)
    numbers = checkpoint.n_parameters
    if checkpoint.config.get("model_type") in COPIED:
        numbers += _n_layers(checkpoint) * 3 * d_model * (d_model + 1)
    return Need(weights=numbers * wide, working=batch + _OVERHEAD[device.partition(":")[0]])


def _n_layers(checkpoint: Checkpoint) -> int:
    return _number(checkpoint, "num_hidden_layers", "n_layer", "n_layers")


def _d_model(checkpoint: Checkpoint) -> int:
    return _number(checkpoint, "hidden_size", "n_embd", "d_model")


def _number(checkpoint: Checkpoint, *names: str) -> int:
    """The first of these fields that the config (or its text part) has; 0 where none."""
    text_config = checkpoint.config.get("text_config")
    for config in (checkpoint.config, text_config if isinstance(text_config, dict) else {}):
        for name in names:
            if isinstance(config.get(name), int):
                return int(config[name])
    return 0


def fits(checkpoint: Checkpoint, device: str, dtype: str) -> bool:
    """Whether the model, and room to work in, fit into what is free on `device`."""
    return estimate(checkpoint, device, dtype).total <= free_memory(device)


def check_fits(checkpoint: Checkpoint, device: str, dtype: str) -> Need:
    """What the model needs on `device`. Raises UserError where that is more than is free."""
    need = estimate(checkpoint, device, dtype)
    free = free_memory(device)
    if need.total > free:
        raise UserError(too_large(checkpoint, need, free, device, dtype, holders(device)))
    return need


def check_spread(checkpoint: Checkpoint, devices: list[str], dtype: str) -> tuple[Need, tuple[LayersOn, ...]]:
    """What the model needs spread over `devices`, with room to work in on each, and which layers lie where.

    The first also has what is not in a layer. The others get as many as their free memory is a share of all of it.
    Raises UserError where that is more than is free.
    """
    one = estimate(checkpoint, devices[0], dtype)
    need = Need(weights=one.weights, working=one.working * len(devices))
    n_layers = _n_layers(checkpoint)
    embedding = _number(checkpoint, "vocab_size") * _d_model(checkpoint)
    outside = embedding * BYTES[dtype] * (1 if checkpoint.config.get("tie_word_embeddings", True) else 2)
    layer = max(1, one.weights - outside) / max(1, n_layers)
    free = [free_memory(device) for device in devices]
    rooms = [max(0, room - one.working - (0 if at else outside)) for at, room in enumerate(free)]
    fitting = [int(room / layer) for room in rooms]
    if sum(fitting) < max(1, n_layers):
        held = [holder for device in devices for holder in holders(device)]
        raise UserError(too_large(checkpoint, need, sum(free), ", ".join(devices), dtype, held))
    # Rounded so that none gets more than fit on it.
    ends = [n_layers * sum(fitting[: at + 1]) // sum(fitting) for at in range(len(devices))]
    starts = [0, *ends[:-1]]
    return need, tuple(
        LayersOn(device, start, end - 1)
        for device, start, end in zip(devices, starts, ends, strict=True)
        if end > start
    )


def too_large(checkpoint: Checkpoint, need: Need, free: int, device: str, dtype: str, held: list[Holder]) -> str:
    """The sentence for a model that does not fit: what it needs, what is free, who holds the rest, what to do."""
    memory_name = "memory" if device == "cpu" else f"the memory of {device}"
    text = (
        f"{checkpoint.folder.name} needs {size(need.total)} of {memory_name} in {dtype} "
        f"({size(need.weights)} of weights, the rest to work in), and {size(free)} are free"
    )
    if held:
        text += "; most is held by " + ", ".join(
            f"{holder.name} (pid {holder.pid}, {size(holder.memory)})" for holder in held
        )
    cures = ["end what you don't need (workbench ps lists our own workers)"] if held else []
    if dtype == "float32":
        cures.append("use --dtype bfloat16, which halves the weights")
    if device != "cpu":
        cures.append("use --device cpu")
    return f"{text}. You can {', '.join([*cures, 'or open a smaller model' if cures else 'open a smaller model'])}"


def free_on_fullest(devices: Iterable[str]) -> int:
    """Bytes that a batch can take where a model is spread: on the device that has the fewest."""
    return min(map(free_memory, devices))


def free_memory(device: str) -> int:
    """Bytes that can still be taken on `device`; on the CPU within the limit of the container or job."""
    if device.startswith("cuda"):
        import torch

        # What torch keeps for later is free to us, though not to the driver.
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(reserved)
    free = int(psutil.virtual_memory().available)
    limit = _cgroup_free(_cgroups())
    free = free if limit is None else min(free, limit)
    if device == "mps":
        import torch

        return min(free, int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()))
    return free


def process_memory(pid: int) -> int:
    """Bytes of memory that a process holds (resident); 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def holders(device: str, count: int = 3) -> list[Holder]:
    """The processes that hold the most memory on `device`, largest first, this one left out."""
    if device.startswith("cuda"):
        uuid = gpu_uuid(device)
        processes = [
            Holder(pid=process.pid, name=process.name, memory=process.memory)
            for process in gpu_processes()
            if process.gpu == uuid or not uuid
        ]
    else:
        processes = [
            Holder(pid=process.pid, name=process.info["name"] or "?", memory=process.info["memory_info"].rss)
            for process in psutil.process_iter(["name", "memory_info"])
            if process.info["memory_info"]
        ]
    large = [process for process in processes if process.pid != os.getpid() and process.memory >= 64 << 20]
    return sorted(large, key=lambda process: -process.memory)[:count]


def _cgroups() -> list[Path]:
    """This process's control group (v2) and those around it, or v1's memory group; empty where there are none."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "" or "memory" in kinds.split(","):
            top = root / "memory" if kinds else root
            own_group = top / path.lstrip("/")
            # In a container the path is the host's, and its own group is the top.
            return [top, *(group for group in (own_group, *own_group.parents) if top in group.parents)]
    return []


def _cgroup_free(groups: list[Path]) -> int | None:
    """The least that any of these groups still allows, in bytes; None where none has a limit.

    Cached file pages count as used there, and are given up when memory is needed.
    """
    free: list[int] = []
    for group in groups:
        for limit_name, used_name, pages in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                limit = (group / limit_name).read_text().strip()
                used = int((group / used_name).read_text())
                stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            # v1 writes "no limit" as a number near 2^63.
            if limit != "max" and int(limit) < 1 << 60:
                free.append(max(0, int(limit) - used + int(stat.get(pages, 0))))
    return min(free, default=None)
