"""The Neurons screen on the real model, by keys alone, in a terminal of 80×24."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal
from workbench.session.reader import SessionReader

pytestmark = pytest.mark.slow


@pytest.fixture
def small(place, own_folders: Path) -> Iterator[Terminal]:
    found = Terminal(own_folders, 80, 24, env=place.env)
    yield found
    found.close()


def test_from_the_weights_to_an_index_a_card_and_the_basket(place, small):
    session = place.cwd / "sessions" / "neurons.db"
    small.start(f"{place.program} --session {session}", place.cwd)
    small.wait_for("ready", 60)
    small.keys("F6")
    small.wait_for("46,080 neurons", 240)  # made from the weights, where they have not been looked at before
    small.wait_for("weights alone")

    small.keys("I")
    small.wait_for("build 20,000 tokens")
    small.type("20,000")
    small.keys("Down", "Enter")
    small.wait_for("index stdlib", 120)  # the first checkpoint: it can be browsed while it grows
    small.keys("C-c")
    small.wait_gone("index runs")

    small.keys("/")
    small.type("layer 20-29 kurtosis>3")
    small.keys("Enter")
    small.wait_for("of 46,080")
    small.keys("s")
    small.type("kurt")
    small.keys("Enter")
    small.wait_for("by kurt")
    small.keys("g")
    small.type("L24.N1005")
    small.keys("Enter")
    small.wait_for("▌   L24.N1005")

    small.keys("w")
    small.type("The capital of France is")
    small.keys("Enter", "0")
    small.wait_for("L24.N1005=0", 60)
    small.wait_for("matched random neurons", 60)
    small.wait_for("larger than all 64", 60)

    small.keys("p")
    small.wait_for("★ L24.N1005")
    small.keys("B")
    small.wait_for("a add")
    small.keys("a")
    small.wait_for("pin to the basket")
    small.type("L5.H3")
    small.keys("Enter")
    small.wait_gone("pin to the basket")
    screen = small.wait_for("L5.H3")
    assert "L24.N1005" in screen
    small.keys("Escape")
    small.wait_for("Neurons ·")
    small.keys("/")
    small.type(" best=nothing")
    small.keys("Enter")
    small.wait_for("no neuron has best 'nothing'")  # said in place, at the character
    small.keys("Escape", "C-q")
    small.wait_for("left with 0")

    with SessionReader(session) as reader:
        steps = {row.experiment: row.status for row in reader.rows(0, None)}
        assert {pin.unit for pin in reader.pins()} == {"L24.N1005", "L5.H3"}
    assert steps == {"index": "cancelled", "predict": "done"}
