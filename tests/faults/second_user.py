"""Another user of the same machine: reads none of our files, speaks to no worker, and puts nothing in our way."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

from tests.faults.child import Child, Say
from tests.faults.things import write_artifacts, write_step
from workbench import paths
from workbench.artifacts.data_set import data_sets_dir
from workbench.artifacts.direction import directions_dir
from workbench.artifacts.sae import saes_dir
from workbench.errors import UserError
from workbench.session.writer import SessionWriter
from workbench.worker.worker_files import check_socket

OTHER = 65534
"""nobody"""


def possible() -> bool:
    """Only root can become somebody else."""
    return os.getuid() == 0


def try_as_another(chance: random.Random, folder: Path) -> None:
    """Each attempt is refused: by the system, or by us with a sentence."""
    for place in (folder, paths.data_dir(), folder.parent):
        place.chmod(0o755)
    session = folder / "private.db"
    before = os.umask(0o022)
    try:
        if not session.exists():
            with SessionWriter(session) as writer:
                write_step(writer)
            write_artifacts(1)
    finally:
        os.umask(before)
    files = [session, data_sets_dir() / "s1.json", directions_dir() / "d1.safetensors"]
    files.append(saes_dir() / "sae-1" / "sae_weights.safetensors")
    attempts: list[Callable[[], object]] = [
        *[lambda file=file: file.read_bytes() for file in files],
        *[lambda file=file: file.open("ab") for file in files],
        lambda: list(paths.data_dir().parent.joinpath("run").iterdir()),
        lambda: (paths.data_dir().parent / "run" / "x.sock").touch(),
        lambda: (folder / "private.db-wal").touch(),
    ]
    attempt = chance.choice([*attempts, None])
    if attempt is None:
        _plant_a_socket(folder)
        return

    def work(say: Say) -> None:
        try:
            attempt()
        except OSError:
            say("refused")
        else:
            say("taken")

    assert Child(work, user=OTHER).lines() == ["refused"]


def _plant_a_socket(folder: Path) -> None:
    open_folder = folder / "open"
    open_folder.mkdir(exist_ok=True)
    open_folder.chmod(0o777)
    place = open_folder / "x.sock"

    def work(say: Say) -> None:
        planted = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        planted.bind(str(place))
        place.chmod(0o600)
        say("there")

    assert Child(work, user=OTHER).lines() == ["there"]
    try:
        check_socket(place)
    except UserError as error:
        assert "not yours alone" in str(error)
    else:
        raise AssertionError("a socket of another user is taken for ours")
    finally:
        place.unlink()
