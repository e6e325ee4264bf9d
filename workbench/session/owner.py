"""Which process runs a step: enough to know, later and without asking it, that the process is gone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec

from workbench.errors import JSON_ERRORS


class Owner(msgspec.Struct, frozen=True):
    """A process, distinct from every later one that gets its number."""

    host: str
    boot: str
    """changes at each start of the machine"""
    namespace: str
    """the process number space (containers)"""
    pid: int
    started: str
    """the process' start time, in the system's own unit"""


@cache
def _boot() -> str:
    if sys.platform == "darwin":
        return _command_output("sysctl", "-n", "kern.bootsessionuuid")
    return _read_text("/proc/sys/kernel/random/boot_id")


@cache
def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    """Empty where no such process runs; a dead one that nobody has waited for does not run."""
    if sys.platform == "darwin":
        state, _, started = _command_output("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
        return "" if state.startswith("Z") else started.strip()
    # The name (field 2) is in brackets and may hold spaces; state is field 3, start time field 22.
    fields = _read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return "" if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _command_output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def this_process() -> Owner:
    pid = os.getpid()
    return Owner(platform.node(), _boot(), _namespace(), pid, _start_time(pid))


def may_run(stored: object) -> bool:
    """Whether the process behind a step's stored owner may still run it; what is no owner runs nothing."""
    try:
        return not is_gone(msgspec.json.decode(stored, type=Owner)) if isinstance(stored, str | bytes) else False
    except (*JSON_ERRORS, ValueError):
        return False


def is_gone(owner: Owner) -> bool:
    """True where the process surely runs no more; False where it runs, or where this machine can't know."""
    if owner.host != platform.node():
        return False
    if owner.boot != _boot():
        return True
    if owner.namespace != _namespace():
        return False
    return _start_time(owner.pid) != owner.started
