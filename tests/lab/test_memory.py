import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.tiny import tiny_model
from workbench.errors import UserError
from workbench.lab import memory as module
from workbench.lab.finding.checkpoint import Checkpoint, read_checkpoint
from workbench.lab.finding.placement import place
from workbench.lab.finding.source import resolve
from workbench.lab.memory import Holder, check_fits, estimate, free_memory, holders, process_memory

LLAMA_8B = Checkpoint(
    folder=Path("Llama-8B"),
    config={
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
    },
    weights=[],
    n_parameters=8_030_000_000,
    dtype="bfloat16",
    size=16_060_000_000,
)


def test_weights_and_room_to_work_in() -> None:
    half, whole = estimate(LLAMA_8B, "cuda:0", "bfloat16"), estimate(LLAMA_8B, "cuda:0", "float32")
    assert half.weights == 16_060_000_000
    assert whole.weights == 2 * half.weights
    logits = 2048 * 128_256 * 4
    assert half.working > 2 * logits
    assert half.total < 21e9


def test_shapes_of_other_configs() -> None:
    gpt2 = Checkpoint(
        folder=Path("g"),
        config={"vocab_size": 50257, "n_embd": 768, "n_head": 12, "n_inner": None},
        weights=[],
        n_parameters=124_000_000,
        dtype="float32",
        size=1,
    )
    nested = Checkpoint(
        folder=Path("g"),
        config={"text_config": {"vocab_size": 50257, "hidden_size": 768, "num_attention_heads": 12}},
        weights=[],
        n_parameters=124_000_000,
        dtype="float32",
        size=1,
    )
    assert estimate(gpt2, "cpu", "float32") == estimate(nested, "cpu", "float32")
    assert estimate(gpt2, "cpu", "float32").working > 2048 * 50257 * 8


def test_too_large_names_need_free_and_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory", lambda device: 10 << 30)
    monkeypatch.setattr(module, "holders", lambda device: [Holder(pid=4711, name="python3", memory=8 << 30)])
    with pytest.raises(UserError) as caught:
        check_fits(LLAMA_8B, "cuda:0", "float32")
    sentence = str(caught.value)
    for part in (
        "Llama-8B needs",
        "of the memory of cuda:0 in float32",
        "are free",
        "held by python3 (pid 4711, ",
        "--dtype bfloat16",
        "--device cpu",
        "or open a smaller model",
    ):
        assert part in sentence
    assert "\n" not in sentence
    monkeypatch.setattr(module, "free_memory", lambda device: 40 << 30)
    assert check_fits(LLAMA_8B, "cuda:0", "float32").weights == 32_120_000_000


def test_too_large_on_the_cpu_with_nobody_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory", lambda device: 1 << 30)
    monkeypatch.setattr(module, "holders", lambda device: [])
    with pytest.raises(UserError) as caught:
        check_fits(LLAMA_8B, "cpu", "bfloat16")
    assert "held by" not in str(caught.value)
    assert str(caught.value).endswith("You can open a smaller model")


def test_the_estimate_is_of_the_right_size(tmp_path: Path) -> None:
    folder = tiny_model("llama", tmp_path / "m", hidden_size=512, intermediate_size=2048, num_hidden_layers=4)
    found = read_checkpoint(folder)
    assert estimate(found, "cpu", "float32").weights == pytest.approx(found.size, rel=0.01)


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    import psutil

    assert 0 < free_memory("cpu") <= psutil.virtual_memory().total


def group(folder: Path, limit: str, used: int, cached: int, v1: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(limit + "\n")
    (folder / ("memory.usage_in_bytes" if v1 else "memory.current")).write_text(f"{used}\n")
    pages = "total_inactive_file" if v1 else "inactive_file"
    (folder / "memory.stat").write_text(f"anon 1\n{pages} {cached}\n")
    return folder


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    outer = group(tmp_path / "a", "8000", 5000, 1000)
    inner = group(tmp_path / "a" / "b", "max", 4000, 0)
    assert module._cgroup_free([outer, inner]) == 4000
    assert module._cgroup_free([inner]) is None
    assert module._cgroup_free([group(tmp_path / "v1", "8000", 7500, 100, v1=True)]) == 600
    assert module._cgroup_free([group(tmp_path / "v1", str(2**63 - 4096), 1, 0, v1=True)]) is None
    assert module._cgroup_free([tmp_path / "none"]) is None
    (outer / "memory.current").write_text("garbled")
    assert module._cgroup_free([outer]) is None


def test_the_containers_limit_reaches_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cgroups", lambda: [group(tmp_path, "123456", 0, 0)])
    assert free_memory("cpu") == 123456


def test_who_holds_memory() -> None:
    script = "import time\nheld = bytearray(300 << 20)\nprint('here', flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert process.stdout.readline() == "here\n"
        assert process_memory(process.pid) > 300 << 20
        found = {one.pid: one for one in holders("cpu", count=1000)}
        assert found[process.pid].memory > 300 << 20
        assert os.getpid() not in found
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: process_memory(process.pid) == 0, what="the end of the process")


def test_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = resolve(str(tiny_model("gpt2", tmp_path / "m")))
    found = place(source, device="cpu")
    assert (found.device, found.dtype) == ("cpu", "float32")
    assert found.checkpoint.architecture == "GPT2LMHeadModel"
    assert place(source, "cpu", "bfloat16").need.weights * 2 == found.need.weights
    monkeypatch.setattr(module, "free_memory", lambda device: 1000)
    with pytest.raises(UserError, match="m needs .* 1000 B are free|m needs .* are free"):
        place(source, device="cpu")
