"""What `python -m tests.architectures` compares is right, and README says so."""

import re
from pathlib import Path

import pytest

from tests.architectures.configs import ARCHITECTURES

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCK = re.search(r"<!-- architectures -->\n(.*?)\n<!-- /architectures -->", README, flags=re.DOTALL)[1]


def compared(names):
    from tests.architectures.__main__ import run

    return {result.name: result for result in run(names)}


def test_readme_lists_what_is_compared():
    assert set(re.findall(r"`(\w+)`", BLOCK)) == set(ARCHITECTURES)


def test_some_of_them():
    results = compared(["llama", "falcon", "gemma4_text", "gemma4_text_inputs", "olmoe"])
    assert [result.wrong for result in results.values()] == [[]] * 5
    assert {name: result.verdict for name, result in results.items() if result.verdict != "right"} == {
        "olmoe": "refused"
    }
    assert "mixture of experts" in results["olmoe"].refused
    assert results["llama"].remarks == []
    assert set(results["llama"].figures.values()) >= {"=", "ok"}


def test_a_wrong_number_is_found(monkeypatch):
    """Every comparison but those of clean passes sees that heads are off by a hundredth."""
    from workbench.lab.changes import Fill

    def write(self, numbers, stretch):
        numbers.fill_(self.value + 0.01)

    monkeypatch.setattr(Fill, "write", write)
    (result,) = compared(["llama"]).values()
    assert result.verdict == "WRONG"
    assert {wrong.partition(":")[0] for wrong in result.wrong} == {"edits", "sweep"}


@pytest.mark.slow
def test_all_of_them():
    from tests.architectures.__main__ import readme

    results = compared(ARCHITECTURES)
    assert {name: result.wrong for name, result in results.items() if result.wrong} == {}
    assert readme(list(results.values())) == BLOCK
