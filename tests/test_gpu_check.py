"""The check for a GPU runs here with tiny models on the CPU: the same code, every part."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT, THREADS
from tests.gpu import __main__ as gpu_check
from tests.gpu.device import Cpu, Cuda
from tests.gpu.record import Record
from tests.gpu.stand_ins import NAMES


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.gpu", *arguments],
        cwd=ROOT,
        env={**os.environ, **THREADS, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_every_check_passes_on_the_cpu(tmp_path):
    file = tmp_path / "figures.json"
    done = run("--device", "cpu", "--small", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    assert {"machine", "device", "versions", "seed", "shapes", "seconds", "parts", "failed"} <= figures.keys()
    assert figures["failed"] == []
    assert list(figures["parts"]) == list(gpu_check.PARTS)
    checks = [check for part in figures["parts"].values() for check in part["checks"]]
    assert sum(check["passed"] is True for check in checks) >= 50
    by_part = {name: part["checks"] for name, part in figures["parts"].items()}
    assert any("tokens_per_second" in check["numbers"] for check in by_part["generation"])
    assert any("bare_tokens_per_second" in check["numbers"] for check in by_part["index"])
    assert all({"used", "estimate"} <= check["numbers"].keys() for check in by_part["memory"])
    assert all(check["numbers"]["notes"] for check in by_part["halving"] if "notes" in check["numbers"])


@pytest.mark.slow
def test_a_wrong_edit_fails(tmp_path):
    breaking = tmp_path / "sitecustomize.py"
    breaking.write_text(
        "from workbench.lab.changes import Fill\n"
        "Fill.write = lambda self, numbers, stretch: numbers.fill_(self.value + 1)\n"
    )
    done = run("passes", "--device", "cpu", "--small", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 1
    assert "FAIL  1B bfloat16, L1.N5=3 beside plain hooks" in done.stdout
    assert "PASS  1B bfloat16, clean logits beside the bare model's" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "there is no part 'nothing'"),
        (["--device", "cpu"], "add --small"),
        (["--device", "tpu"], "there is no device 'tpu'"),
        (["--wheels", "/nowhere"], "there are no wheels in /nowhere"),
        (["pack"], "name the folder for the wheels"),
    ],
)
def test_what_cannot_begin_is_a_sentence(arguments, sentence, capsys):
    try:
        status = gpu_check.main(arguments)
    except SystemExit as exit_:  # argparse's own
        status = exit_.code
    assert status == 2
    assert sentence in capsys.readouterr().err


def test_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 2
    assert "torch finds no CUDA GPU" in capsys.readouterr().err


def test_a_part_that_stops_is_a_failed_check(capsys):
    record = Record()
    with record.part("first"):
        raise ValueError("broken")
    with record.part("second"):
        record.check("holds", True, "1")
    assert record.failed == ["first: the part runs to its end"]
    assert "FAIL  the part runs to its end: ValueError: broken" in capsys.readouterr().out


def test_memory_on_the_cpu_is_counted_and_limited():
    device = Cpu()
    _, used = device.peak(lambda: torch.ones(1000) + torch.ones(1000))
    assert used == 3 * 4000  # two and their sum
    _, used = device.peak(lambda: [torch.ones(1000).sum() for _ in range(5)])
    assert 4000 <= used < 2 * 4000
    with device.limited(6000), pytest.raises(torch.OutOfMemoryError):
        torch.ones(1000) + torch.ones(1000)


def test_memory_on_a_gpu_is_limited_beyond_what_is_allocated_and_set_free_again(monkeypatch):
    """torch's functions, played by others: this machine need have no GPU."""
    fractions = []
    played = {
        "set_device": lambda name: None,
        "is_available": lambda: False,
        "get_device_properties": lambda name: type("Properties", (), {"total_memory": 1000}),
        "set_per_process_memory_fraction": lambda fraction, name: fractions.append((fraction, name)),
        "memory_allocated": lambda name: 150,
        "reset_peak_memory_stats": lambda name: None,
        "max_memory_allocated": lambda name: 450,
        "synchronize": lambda name: None,
    }
    for name, function in played.items():
        monkeypatch.setattr(torch.cuda, name, function)
    device = Cuda("cuda")
    with pytest.raises(ValueError), device.limited(300):
        raise ValueError
    assert fractions == [(0.45, "cuda:0"), (1.0, "cuda:0")]
    assert device.peak(lambda: "result") == ("result", 300)


@pytest.mark.slow
def test_transformer_lens_can_be_imported_without_what_stands_in():
    """In a process where nothing of `datasets` and `pandas` can be found."""
    program = f"""
import sys
from importlib.abc import MetaPathFinder
class Nowhere(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {tuple(NAMES)!r}:
            raise ModuleNotFoundError(name)
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {tuple(NAMES)!r} else find(name, package)
sys.meta_path.insert(0, Nowhere())
from tests.gpu.stand_ins import import_transformer_lens
print(import_transformer_lens())
import transformer_lens.model_bridge
assert not {set(NAMES)!r} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(list(NAMES))
