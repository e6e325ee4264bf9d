"""Every experiment on a pretend device beside the CPU.

    python -m tests.pretend.compare ARCHITECTURE [without-float64] [all]

In a process of its own, since a device stays registered with torch. Prints a line of JSON a case: its name, an error or
"", and the scalars that differ. `all` runs cases that are the same for any architecture too.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.labs import source_of, tiny_folder, tiny_lab
from tests.pretend import device
from tests.pretend.cases import ALIKE, Case, cases, prepare, probe_case, run
from workbench.lab import loading, metrics
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.placement import Placement, place
from workbench.lab.finding.source import ModelSource
from workbench.lab.memory import Need
from workbench.lab.model import Lab, load_lab
from workbench.report import Report

RELATIVE, ABSOLUTE = 2e-3, 2e-5
"""how far a scalar may be off: batches of other shapes change the last bits, and small effects keep few of theirs"""


def lab_on(arch: str, where: str, dtype: str = "float32") -> Lab:
    """The tiny model on a pretend device; what is placed on the CPU goes there."""
    folder = tiny_folder(arch)

    def placed(source: ModelSource, device: str, dtype: str) -> Placement:
        if device == "cpu":
            return place(source, device, dtype)
        need = Need(weights=0, working=0)
        return Placement(device=device, dtype=dtype, need=need, checkpoint=read_checkpoint(folder))

    loading.place = placed
    return load_lab(source_of(folder), where, dtype)


def differing(ours: Report, reference: Report) -> list[str]:
    """Scalars that are not the same, with both numbers."""
    sentences = []
    for name in sorted(set(ours.scalars) | set(reference.scalars)):
        if "tokens_per_second" in name:
            continue
        pair = [report.scalars.get(name) for report in (ours, reference)]
        first, second = (math.nan if value is None else value for value in pair)
        if not (
            (math.isnan(first) and math.isnan(second))
            or math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        ):
            sentences.append(f"{name}: {first!r}, on the CPU {second!r}")
    return sentences


def compared(arch: str, every: bool) -> Iterator[tuple[Case, str, list[str]]]:
    """Each case with an error and what differs."""
    folder = Path(tempfile.mkdtemp())
    os.environ["WORKBENCH_DATA"] = str(folder / "data")
    # The second of the devices: what names none would land on the first.
    labs: list[Lab] = [tiny_lab(arch), lab_on(arch, f"{device.NAME}:1")]
    prepare(arch)
    caches = [str(folder / name) for name in ("cache-cpu", "cache-pretend")]
    data = [os.environ["WORKBENCH_DATA"], str(folder / "data-pretend")]
    shutil.copytree(data[0], data[1])
    asked = [case for case in cases(arch, folder) if every or case.experiment not in ALIKE]
    while asked:
        case = asked.pop(0)
        reports: list[Report] = []
        error = ""
        for at, lab in enumerate(labs):
            os.environ["WORKBENCH_CACHE"], os.environ["WORKBENCH_DATA"] = caches[at], data[at]
            try:
                reports.append(run(lab, case))
            except Exception as raised:
                error = f"{'the CPU' if at == 0 else 'pretend'}: {described(raised)}"
                break
        yield case, error, differing(reports[1], reports[0]) if len(reports) == 2 else []
        if case.experiment == "dense-probe" and not case.params["data"].get("numeric") and reports:
            asked.insert(0, probe_case(reports[0]))


def described(error: BaseException) -> str:
    """What it says and where it came from."""
    origin = error.__cause__ or error
    trace, places = origin.__traceback__, []
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/workbench/" in name:
            places.append(f"{name.rpartition('/workbench/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {error} {' < '.join(reversed(places[-4:]))}"


def main(arguments: Sequence[str]) -> int:
    if not device.set_up():
        print(json.dumps({"skip": "this torch has no interface for devices in Python"}))
        return 0
    arch, options = arguments[0], set(arguments[1:])
    without = "without-float64" in options
    if without:
        metrics.WITHOUT_FLOAT64.add(device.NAME)
    with device.rules(no_float64=without):
        for case, error, differences in compared(arch, "all" in options):
            print(json.dumps({"case": case.name, "error": error, "differs": differences}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
