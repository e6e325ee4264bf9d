"""Checks the workbench on a CUDA GPU; every part by itself, or all (meant for four minutes of an H100).

    python -m tests.gpu pack FOLDER                  the wheels that it needs, for a machine without network
    python -m tests.gpu [PART …] [--wheels FOLDER] [--json FILE] [--device cuda] [--small]

Parts: passes, readings, generation, index, memory, halving. With --wheels they are installed first, into a folder of
the check's own, beside the torch that is there. --device cpu --small runs the same code with tiny models, which the
tests do. Exits with 1 if a check failed, with 2 if it could not begin.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.gpu.record import Record

PARTS = ("passes", "readings", "generation", "index", "memory", "halving")
ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["pack"]:
        from tests.gpu.pack import main as pack

        return pack(arguments[1:])
    options = _options(arguments)
    if options.wheels:
        return _with_wheels(options.wheels, arguments)
    problem = _problem(options)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="wb-gpu-") as folder:
        return _run(options, Path(folder))


def _options(arguments: list[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all where none is named")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="install these first, made by `pack`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu with --small")
    parser.add_argument("--small", action="store_true", help="tiny models")
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: there are {', '.join(PARTS)}")
    return options


def _with_wheels(wheels: Path, arguments: list[str]) -> int:
    """Runs this once more in a process that has the wheels in front."""
    files = sorted(wheels.glob("*.whl"))
    if not files:
        print(f"there are no wheels in {wheels}: `python -m tests.gpu pack {wheels}` fetches them", file=sys.stderr)
        return 2
    place = next(n for n, word in enumerate(arguments) if word.partition("=")[0] == "--wheels")
    rest = arguments[:place] + arguments[place + (1 if "=" in arguments[place] else 2) :]
    with tempfile.TemporaryDirectory(prefix="wb-gpu-site-") as site:
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
        started = time.perf_counter()
        done = subprocess.run([*install, "--target", site, *map(str, files)])
        if done.returncode:
            print("pip could not install the wheels: are they for this Python and processor?", file=sys.stderr)
            return 2
        print(f"{len(files)} wheels installed in {time.perf_counter() - started:.1f} s", flush=True)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([site, str(ROOT)])}
        return subprocess.run([sys.executable, "-m", "tests.gpu", *rest], env=env).returncode


def _problem(options: Any) -> str:
    """Why the check cannot begin, as a sentence; empty where it can."""
    try:
        import torch
    except ImportError:
        return "there is no torch in this Python: run the check with one that has it"
    kind = options.device.partition(":")[0]
    if kind == "cpu":
        return "" if options.small else "the real models take hours on a CPU: add --small for tiny ones"
    if kind != "cuda":
        return f"there is no device {options.device!r}: --device takes cuda, cuda:N or cpu"
    if not torch.cuda.is_available():
        return "torch finds no CUDA GPU on this machine: --device cpu --small runs the same checks on tiny models"
    index = options.device.partition(":")[2] or "0"
    if not index.isdecimal() or int(index) >= torch.cuda.device_count():
        return f"there is no {options.device}: torch finds {torch.cuda.device_count()} GPU(s), counted from cuda:0"
    return ""


def _run(options: Any, folder: Path) -> int:
    """All in a folder of its own: nothing of the user's is read or written."""
    for name in ("DATA", "CACHE", "RUNTIME"):
        (folder / name).mkdir(mode=0o700)
        os.environ[f"WORKBENCH_{name}"] = str(folder / name)
    os.environ["WORKBENCH_CONFIG"] = str(folder / "settings.toml")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    started = time.perf_counter()
    from tests.gpu.stand_ins import import_transformer_lens

    stood_in = import_transformer_lens()
    from tests.gpu.device import Cpu, Cuda, Device
    from tests.gpu.models import SEED, Subjects

    device: Device = Cpu() if options.device == "cpu" else Cuda(options.device)
    subjects = Subjects(device, options.small, folder)
    head = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "device": device.describe(),
        "versions": _versions(),
        "stand_ins": stood_in,
        "seed": SEED,
        "small": options.small,
        "shapes": subjects.shapes,
    }
    print(f"{head['device']}; {head['machine']}; {', '.join(f'{k} {v}' for k, v in _versions().items())}; seed {SEED}")
    if options.small:
        print("tiny models stand for the real shapes: the figures say nothing about speed")
    record = Record()
    for part in options.parts or PARTS:
        with record.part(part):
            importlib.import_module(f"tests.gpu.checks_{part}").run(subjects, record)
    seconds = time.perf_counter() - started
    failed = record.failed
    n = sum(check["passed"] is not None for content in record.parts.values() for check in content["checks"])
    print(
        f"\n{n - len(failed)} of {n} checks passed in {seconds:.0f} s" + "".join(f"\nFAIL  {name}" for name in failed)
    )
    if options.json:
        result = {**head, "seconds": round(seconds, 1), "parts": record.parts, "failed": failed}
        options.json.write_text(json.dumps(result, indent=1, default=float) + "\n")
    return 1 if failed else 0


def _versions() -> dict[str, str]:
    import torch

    versions = {"torch": torch.__version__}
    for name in ("transformers", "transformer_lens", "tokenizers", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
