"""A disk that takes so many bytes and no more: what is written fails with a sentence, and goes through afterwards."""

from __future__ import annotations

import random
import resource
import shutil
from pathlib import Path

from tests.faults.child import Child, Say
from tests.faults.things import check_artifacts, check_listed, check_slow, check_step, whole_slowly, write_artifacts
from tests.faults.things import write_step as written_step
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter

_UNLIMITED = resource.RLIM_INFINITY


def fill_a_disk(chance: random.Random, folder: Path) -> None:
    """A process may write files of this size at most; once it may write more, all goes through."""
    chance.choice([_session, _artifacts, _build])(chance, folder, chance.randrange(100, 400_000))


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, _UNLIMITED))


def _session(chance: random.Random, folder: Path, size: int) -> None:
    path = folder / f"full-{chance.randrange(10**9)}.db"
    points = chance.randrange(100, 20_000)

    def work(say: Say) -> None:
        _limit(size)
        for _ in range(20):
            try:
                with SessionWriter(path) as writer:
                    while writer.path:
                        say(written_step(writer, points))
            except UserError:
                break
        _limit(_UNLIMITED)
        with SessionWriter(path) as writer:
            writer.mark_lost(active=set())
            say(written_step(writer, points))

    steps = [int(line) for line in Child(work).lines()]
    with SessionReader(path) as reader:
        for step in steps:
            check_step(reader, step, points)
    path.unlink()


def _artifacts(chance: random.Random, folder: Path, size: int) -> None:
    first = chance.randrange(10**6) * 1000 + 500

    def work(say: Say) -> None:
        _limit(size % 3000)
        try:
            write_artifacts(first)
        except UserError:
            pass
        _limit(_UNLIMITED)
        write_artifacts(first + 10)
        say(first + 10)

    for line in Child(work).lines():
        check_artifacts(int(line))
    check_listed()


def _build(chance: random.Random, folder: Path, size: int) -> None:
    root = folder / f"full-builds-{chance.randrange(10**9)}"

    def work(say: Say) -> None:
        _limit(size % 200_000)
        try:
            whole_slowly(root)
        except UserError:
            pass
        else:
            shutil.rmtree(root)
        _limit(_UNLIMITED)
        check_slow(whole_slowly(root))
        say("same")

    assert Child(work).lines() == ["same"]
