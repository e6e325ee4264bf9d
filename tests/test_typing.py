"""The package is typed for those who import it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT


def test_type_checkers_know_the_python_api() -> None:
    """Every expected error in typing_api.py is one: strict warns of an `ignore` that nothing needs."""
    assert (ROOT / "workbench" / "py.typed").exists()
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"]
    done = subprocess.run(
        [*command, "--follow-imports", "silent", "tests/typing_api.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
