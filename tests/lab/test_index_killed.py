"""A build that is killed goes on from its last checkpoint and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.test_indexing import assert_same, build, open_model, ragged, small, state
from workbench.errors import UserError
from workbench.index.format import read_index_file
from workbench.index.store import indexes_dir, verify

CHILD = """
import sys
from pathlib import Path
from tests.lab.test_indexing import open_model, ragged, small
from workbench.index.store import indexes_dir
from workbench.lab.indexing import build as indexing
indexing.FIRST_CHECKPOINT = indexing.CHECKPOINT = 0.0
model = open_model(Path(sys.argv[1]), "llama")
made = indexing.IndexBuild(model, ragged(11, n=40), small(model), 1 << 60, indexes_dir() / "killed")
with made:
    for number, block in enumerate(made.blocks()):
        made._pause = 1e9 if number % 3 else 0.0
        made.add(block)
        print("block", number, flush=True)
        if number >= int(sys.argv[2]):
            sys.stdin.readline()
"""


def start(folder: Path, stop_after: int) -> subprocess.Popen[str]:
    """A build in a process of its own that stands still after some blocks."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(stop_after)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.slow
def test_kill_9_resumes_to_the_same_bits(tmp_path: Path) -> None:
    model = open_model(tmp_path, "llama")
    corpus, chosen = ragged(11, n=40), small(model)
    target = indexes_dir() / "killed"
    for blocks in (2, 7):
        child = start(tmp_path, blocks)
        assert child.stdout
        for line in child.stdout:
            if line.split()[-1] == str(blocks):
                break
        with pytest.raises(UserError, match="is being built now"):
            build(model, corpus, chosen, folder=target)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stdin.close()
        assert 0 < read_index_file(target).progress.blocks <= blocks + 1
        assert any("still growing" in problem for problem in verify(target))
    build(model, corpus, chosen, folder=target)
    whole = build(model, corpus, chosen, folder=indexes_dir() / "whole")
    assert_same(state(target), state(whole))
    assert verify(target) == []
