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
    found = equality.measure(str(folder), "cpu", "float32")
    assert found.clean == 0
    assert found.neuron is not None
    assert found.head is not None
    assert max(found.neuron, found.head) <= 1e-5
    assert found.effect is not None
    assert found.effect > 1e-3
    assert found.fine


def test_a_difference_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.tiny_model("llama", tmp_path)
    monkeypatch.setattr(equality, "NEURON_VALUE", 3.0)
    plain = equality._run

    def off(hf, ids, module=None, change=None):
        return plain(hf, ids, module, change) + (1e-3 if module is not None else 0)

    monkeypatch.setattr(equality, "_run", off)
    found = equality.measure(str(folder), "cpu", "float32")
    assert found.clean == 0
    assert not found.fine


def test_what_could_not_be_measured_is_not_fine() -> None:
    found = equality.Equality(model="m", device="cpu", dtype="float32", problem="no room")
    assert not found.fine
    assert msgspec.json.decode(msgspec.json.encode(found), type=equality.Equality) == found


def test_a_model_that_is_not_there_is_a_problem(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    equality.main(str(tmp_path), "cpu", "float32")
    found = msgspec.json.decode(capsys.readouterr().out, type=equality.Equality)
    assert found.problem
