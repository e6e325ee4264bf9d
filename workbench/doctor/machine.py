"""Python, packages, the device, memory, the models that are here."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata

from workbench.doctor.finding import Check, Finding, bad, ok, warning
from workbench.errors import UserError
from workbench.text import count, size

_PROBE_SECONDS = 120
_TOKENS = 512
"""of a prompt that every experiment should have room for"""
_ENOUGH_MEMORY = 2 << 30
"""bytes that the default model and its libraries take, with room to spare"""


def python() -> list[Finding]:
    version = platform.python_version()
    if sys.prefix == sys.base_prefix and not os.environ.get("CONDA_PREFIX"):
        detail = f"{version}, not in an environment of its own"
        return [warning("Python", detail, "python3 -m venv .venv: other packages cannot then break this one")]
    return [ok("Python", f"{version}, in an environment of its own")]


def packages() -> list[Finding]:
    """The libraries against the ranges that were tested (pyproject.toml)."""
    from packaging.requirements import Requirement

    problems, versions = [], []
    for text in metadata.requires("workbench-lm") or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is outside {requirement.specifier}")
        elif requirement.name in ("torch", "transformers", "transformer_lens", "textual"):
            versions.append(f"{requirement.name} {version}")
    if problems:
        return [
            bad("packages", "; ".join(problems), "pip install --upgrade workbench-lm, in an environment of its own")
        ]
    return [ok("packages", ", ".join(versions))]


def device() -> list[Finding]:
    """What torch can compute on, asked in a process of its own."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", "workbench.doctor.torch_probe"],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        data = json.loads(process.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return [bad("device", f"torch did not answer in {_PROBE_SECONDS} s", "look whether the GPU's driver hangs")]
    except (IndexError, json.JSONDecodeError):
        reason = (process.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [bad("device", f"torch cannot be imported: {reason}", "pip install --force-reinstall torch")]
    devices = [f"{name} ({', '.join(data['dtypes'][name])})" for name in data["devices"]]
    if data["problem"]:
        return [
            warning("device", f"{data['problem']}; computing on {', '.join(devices)}", "until then, the CPU is used")
        ]
    threads = f"{count(data['threads'])} threads on {count(data['cores'])} usable cores"
    return [ok("device", f"{', '.join(devices)} · auto takes {data['auto']}, {threads}")]


def memory() -> list[Finding]:
    """What is free within the container's or job's limit."""
    from workbench.lab.memory import free_memory, holders

    free = free_memory("cpu")
    if free >= _ENOUGH_MEMORY:
        return [ok("memory", f"{size(free)} free")]
    held = ", ".join(f"{holder.name} ({holder.pid}) holds {size(holder.memory)}" for holder in holders("cpu"))
    cure = "end something, or ask the job or container for more; workbench stop --all ends idle models"
    return [warning("memory", f"{size(free)} free; {held}", cure)]


def workers() -> list[Finding]:
    """The models that are loaded: which layers lie where, and what there is too little memory for."""
    from workbench.experiments import experiments
    from workbench.room import without_room
    from workbench.worker.client import list_workers

    findings = []
    for worker in list_workers():
        if worker.info is None or not worker.free:  # still loading, or its model process has ended
            continue
        model = f"{worker.info.name} on {worker.info.place} in {worker.info.dtype}, {size(worker.free)} free"
        lacking = without_room(experiments().values(), worker.info, worker.free, _TOKENS)
        if not lacking:
            findings.append(ok("worker", f"{model}: room for every experiment on {_TOKENS} tokens"))
            continue
        listed = "; ".join(f"{what} ({', '.join(names)})" for what, names in lacking.items())
        cure = "take shorter prompts, or free memory (workbench ps lists our workers)"
        findings.append(warning("worker", f"{model}: the model fits, but not {listed}", cure))
    return findings


def models() -> list[Finding]:
    """The cache and what is in it."""
    from workbench.lab.finding.listing import list_models

    try:
        models = list_models()
    except UserError as error:
        return [bad("models", str(error), "look at the folder, or set HF_HOME to another")]
    ready = [model for model in models if model.ready]
    summary = f"{count(len(ready))} ready, {size(sum(model.size for model in ready))}"
    default = next((model for model in models if model.ref == "default"), None)
    if default and not default.ready:
        return [warning("models", f"{summary}; {default.name}: {default.problem}", "workbench run predict fetches it")]
    return [ok("models", summary + (f"; default is {default.name}" if default else ""))]


def slurm() -> list[Finding]:
    """A worker inside a job ends with the job."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if not re.fullmatch(r"\d+", job):
        return []
    cure = "nothing finished is lost; for longer work ask for a longer job"
    return [warning("Slurm", f"job {job}: the worker ends when the job does", cure)]


CHECKS: list[Check] = [python, packages, device, memory, workers, models, slurm]
