"""How many cores the model process may really use, and how its threads wait for each other. No torch in here.

OpenMP's threads spin at every barrier while they wait. On a machine that others use too, the one that is waited for
has no core to run on, and the spinning ones keep it from getting one: one busy neighbour on two cores made a forward
pass ten times slower. Threads that sleep instead cost next to nothing alone. The number of threads stays the same for
a worker's life: another number gives other last bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""the first for LLVM's OpenMP (macOS), the second for GNU's, whose threads look a thousand times (microseconds) before
they sleep; read when torch is imported, so they are set before"""


def allowed_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: by affinity, and by the quota of its container or job; at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        cores = os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Of this process' control groups and those around them, in cores (cgroup v2 and v1)."""
    for line in _read_lines(root / "proc/self/cgroup"):
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if not controllers:
            root_group = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            root_group = root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = root_group / path.lstrip("/")
        # In a container the group's own path may not be visible: then the top is its group.
        for folder in [group, *group.parents]:
            yield from _quota(folder)
            if folder == root_group:
                break


def _quota(folder: Path) -> Iterator[float]:
    words = " ".join(_read_lines(folder / "cpu.max")).split()
    if not words:
        words = [*_read_lines(folder / "cpu.cfs_quota_us"), *_read_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or nothing is said
        return
    if quota > 0 and period > 0:
        yield quota / period


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def use_batch_scheduling() -> None:
    """This process' threads never take the core from one that is answering a key; their share of it stays whole.

    A lower priority would do that too, and would leave a tenth of the speed beside busy neighbours.
    """
    if hasattr(os, "SCHED_BATCH"):
        try:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError:  # a container may forbid it: then keys wait a little longer
            pass


def model_environment() -> dict[str, str]:
    """The environment of a model process; where the user has set how threads wait, that counts."""
    return dict(os.environ) if set(PASSIVE_WAIT) & set(os.environ) else {**os.environ, **PASSIVE_WAIT}
