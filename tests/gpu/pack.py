"""Fetches the wheels that the check needs on a machine that has Python 3.12, torch and numpy, and no network."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

LIMIT = 45_000_000
"""bytes of all wheels"""
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux1")
NEEDED = (
    "transformers", "transformer_lens", "tokenizers", "safetensors", "huggingface_hub", "regex", "PyYAML", "tqdm",
    "packaging", "httpx2", "httpcore2", "anyio", "h11", "idna", "sniffio", "truststore", "accelerate", "psutil",
    "einops", "fancy_einsum", "jaxtyping", "wadler_lindig", "rich", "msgspec", "platformdirs",
)  # fmt: skip
"""What the lab imports, and what that imports, beyond torch's and numpy's own needs. `stand_ins.py` has the rest."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("name the folder for the wheels: python -m tests.gpu pack FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    if folder.exists() and any(folder.iterdir()):
        print(
            f"{folder} is not empty: name a new folder, two versions of a package can't be installed", file=sys.stderr
        )
        return 2
    requirements = [f"{name}=={version(name)}" for name in NEEDED]  # what the tests here have passed with
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    target = ["--python-version", PYTHON, "--implementation", "cp", *platforms, "-d", str(folder)]
    done = subprocess.run([*download, *target, *requirements])
    if done.returncode:
        print("pip could not fetch the wheels; its own message stands above", file=sys.stderr)
        return 2
    return _sized(folder)


def _sized(folder: Path) -> int:
    """Prints what came; 1 where it is more than LIMIT."""
    sizes = {file.name: file.stat().st_size for file in sorted(folder.glob("*.whl"))}
    for name, size in sizes.items():
        print(f"{size / 1e6:6.2f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total / 1e6:6.2f} MB  {len(sizes)} wheels")
    if total > LIMIT:
        print(f"the wheels are {total / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f}: leave something out", file=sys.stderr)
        return 1
    return 0
