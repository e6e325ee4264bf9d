"""`doctor --check`: what it measures is true on every architecture, and it would see a difference."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests import tiny
from workbench.doctor import equality


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_clean_passes_and_edits_are_those_of_plain_pytorch(architecture: str, tmp_path: Path) -> None:
    folder = tiny.tiny_model(architecture, tmp_path)
    measured = equality.measure(str(folder), "cpu", "float32")
    assert measured.clean == 0
    assert measured.neuron is not None
    assert measured.head is not None
    assert max(measured.neuron, measured.head) <= 1e-5
    assert measured.effect is not None
    assert measured.effect > 1e-3
    assert measured.fine


def test_a_difference_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.tiny_model("llama", tmp_path)
    monkeypatch.setattr(equality, "NEURON_VALUE", 3.0)
    plain = equality._run

    def off(hf, ids, module=None, change=None):
        return plain(hf, ids, module, change) + (1e-3 if module is not None else 0)

    monkeypatch.setattr(equality, "_run", off)
    measured = equality.measure(str(folder), "cpu", "float32")
    assert measured.clean == 0
    assert not measured.fine


def test_another_kernel_on_a_gpu_may_round_as_another_batch_does() -> None:
    measured = equality.Equality(
        model="m", device="cuda:0", dtype="float32", clean=3e-5, neuron=4e-5, head=1e-6, floor=2e-5, effect=1.0
    )
    assert measured.fine
    assert not msgspec.structs.replace(measured, clean=5e-5).fine
    assert not msgspec.structs.replace(measured, neuron=5e-5).fine
    assert not msgspec.structs.replace(measured, device="cpu").fine


def test_what_could_not_be_measured_is_not_fine() -> None:
    measured = equality.Equality(model="m", device="cpu", dtype="float32", problem="no room")
    assert not measured.fine
    assert msgspec.json.decode(msgspec.json.encode(measured), type=equality.Equality) == measured


def test_a_model_that_is_not_there_is_a_problem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    equality.main(str(tmp_path), "cpu", "float32")
    measured = msgspec.json.decode(capsys.readouterr().out, type=equality.Equality)
    assert measured.problem
