"""Labs of the five tiny architectures, loaded once for all tests, and the same models without ours."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.lab.plain import Plain
from tests.tiny import ARCHITECTURES, tiny_model
from workbench.edits import parse_edits
from workbench.lab.finding.source import ModelSource
from workbench.lab.model import Lab, load_lab
from workbench.report import Report
from workbench.session.directions import resolve_directions

PROMPT = "The capital of France is"
EVERY = ARCHITECTURES


@cache
def tiny_folder(arch: str) -> Path:
    root = Path(tempfile.mkdtemp(prefix="wb-tiny-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return tiny_model(arch, root / arch)


def source_of(folder: Path) -> ModelSource:
    return ModelSource(name=folder.name, ref=str(folder), path=folder, origin="folder")


@cache
def tiny_lab(arch: str) -> Lab:
    """Shared by the tests: none may change its weights."""
    return load_lab(source_of(tiny_folder(arch)), device="cpu", dtype="float32")


@cache
def plain(arch: str) -> Plain:
    """The same checkpoint without any bridge."""
    return Plain(tiny_folder(arch))


class Sink:
    """Counts; `between` runs where another job would get its turn."""

    def __init__(self, between: Callable[[], None] | None = None) -> None:
        self.between = between
        self.batches = 0
        self.streams = 0

    def changed(self, report: Report) -> None:
        return

    def between_batches(self, report: Report) -> None:
        self.batches += 1
        if self.between:
            self.between()

    def streamed(self, report: Report) -> None:
        self.streams += 1


def new_report(between: Callable[[], None] | None = None) -> Report:
    return Report(Sink(between))


def with_directions(lab: Lab, *names: str, edits: str = "") -> Lab:
    """The lab as a job sees it whose directions are those of the user's data folder."""
    return lab.job(parse_edits([edits]), directions=resolve_directions(names, ""))
