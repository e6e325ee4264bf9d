"""Every experiment on pretend devices beside the CPU.

    python -m tests.pretend.compare ARCHITECTURE [alike]

In a process of its own, since a device stays registered with torch. Runs each case on the CPU, on one device without
float64, and spread over two devices that have it. Prints a line of JSON a case: its name, an error or "", and the
scalars that differ. `alike` runs the cases that are the same for any architecture, without it the others are run; on
two devices all of them for Llama, for other architectures those that go through blocks in all ways.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab.labs import source_of, tiny_folder, tiny_lab
from tests.pretend import device
from tests.pretend.cases import ALIKE, BY_BLOCK, Case, cases, prepare, probe_case, run
from workbench.lab import loading, metrics
from workbench.lab.finding.checkpoint import read_checkpoint
from workbench.lab.finding.placement import Placement, place
from workbench.lab.finding.source import ModelSource
from workbench.lab.memory import Need
from workbench.lab.model import Lab, load_lab
from workbench.model_info import LayersOn
from workbench.report import Report

RELATIVE, ABSOLUTE = 2e-3, 2e-5
"""how far a scalar may be off: batches of other shapes change the last bits, and small effects keep few of theirs"""


def lab_on(folder: Path, where: str, dtype: str = "float32", spread: tuple[LayersOn, ...] = ()) -> Lab:
    """A small model on a pretend device, or spread over both; what is placed on the CPU goes there."""

    def placed(source: ModelSource, device: str, dtype: str) -> Placement:
        if device == "cpu":
            return place(source, device, dtype)
        need = Need(weights=0, working=0)
        return Placement(device=device, spread=spread, dtype=dtype, need=need, checkpoint=read_checkpoint(folder))

    loading.place = placed
    lab = load_lab(source_of(folder), where, dtype)
    assert lab.info.spread == spread  # where the weights really are
    return lab


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


def compared(arch: str, alike: bool) -> Iterator[tuple[Case, str, list[str]]]:
    """Each case with an error and what differs."""
    folder = Path(tempfile.mkdtemp())
    os.environ["WORKBENCH_DATA"] = str(folder / "data")
    prepare(arch)
    places = [Place(folder, "CPU", lambda: tiny_lab(arch)), *pretend_places(arch, folder)]
    asked = [case for case in cases(arch, folder) if (case.experiment in ALIKE) == alike]
    while asked:
        case = asked.pop(0)
        first, *others = [there for there in places if there.runs(case)]
        error, reference = first.run(case)
        differences: list[str] = []
        for other in others if reference else []:
            its_error, report = other.run(case)
            error = error or its_error
            if report:
                differences += [f"{other.name}: {sentence}" for sentence in differing(report, reference)]
        yield case, error, differences
        if case.experiment == "dense-probe" and not case.params["data"].get("numeric") and reference:
            asked.insert(0, probe_case(reference))


def pretend_places(arch: str, folder: Path) -> list[Place]:
    """One device that has no float64, and two that have it."""
    # The second of the devices first: what names none would land on the other.
    home, other = f"{device.NAME}:1", f"{device.NAME}:0"
    layers = (LayersOn(home, 0, 0), LayersOn(other, 1, 2))
    return [
        Place(folder, "one device", lambda: lab_on(tiny_folder(arch), home), no_float64=True),
        Place(
            folder,
            "two devices",
            lambda: lab_on(tiny_folder(arch), home, spread=layers),
            None if arch == "llama" else BY_BLOCK,
        ),
    ]


class Place:
    """Where cases run, with folders of its own."""

    def __init__(
        self,
        folder: Path,
        name: str,
        load: Callable[[], Lab],
        only: Collection[str] | None = None,
        no_float64: bool = False,
    ) -> None:
        self.name, self._no_float64, self._only = name, no_float64, only
        self._cache, self._data = str(folder / f"cache {name}"), str(folder / f"data {name}")
        shutil.copytree(folder / "data", self._data)
        with self._rules():
            self._lab = load()

    def runs(self, case: Case) -> bool:
        """Whether a case is for this place."""
        return self._only is None or case.experiment in self._only

    def run(self, case: Case) -> tuple[str, Report | None]:
        """An error or "", and what was reported."""
        os.environ["WORKBENCH_CACHE"], os.environ["WORKBENCH_DATA"] = self._cache, self._data
        try:
            with self._rules():
                return "", run(self._lab, case)
        except Exception as raised:
            return f"{self.name}: {described(raised)}", None

    @contextmanager
    def _rules(self) -> Iterator[None]:
        if self._no_float64:
            metrics.WITHOUT_FLOAT64.add(device.NAME)
        try:
            with device.rules(no_float64=self._no_float64):
                yield
        finally:
            metrics.WITHOUT_FLOAT64.discard(device.NAME)


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
    for case, error, differences in compared(arguments[0], "alike" in arguments[1:]):
        print(json.dumps({"case": case.name, "error": error, "differs": differences}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
