"""Why, on a real terminal with the real model, by keys alone."""

from __future__ import annotations

import pytest

from workbench.session.reader import SessionReader

pytestmark = pytest.mark.slow


def test_from_an_answer_to_its_neurons_off_and_on_and_to_a_head(place, terminal):
    session = place.cwd / "sessions" / "why.db"
    terminal.start(f"{place.program} --session {session}", place.cwd)
    terminal.wait_for("ready", 60)
    terminal.keys("F7")
    terminal.wait_for("Enter asks")
    terminal.wait_for("passes of 6 tokens")
    terminal.keys("Enter")
    terminal.wait_for("MLPs +", 60)
    terminal.wait_for("five neurons off: p(' Paris') .773 →", 240)
    terminal.wait_for("picked for", 240)
    terminal.wait_for("$ workbench why 'The capital of France is' ' Paris'")
    terminal.wait_gone("step 1 · cpu float32", 240)  # how long it took stands between: it is done

    terminal.keys("0")
    terminal.wait_for("off: L")
    terminal.wait_for("than all 64", 120)
    terminal.keys("0")
    terminal.wait_for("five neurons off")
    terminal.keys("p")
    terminal.wait_for("added to basket")
    terminal.keys("Tab", "Enter")
    terminal.wait_for("attention · done", 60)
    terminal.keys("C-q")
    terminal.wait_for("left with 0")

    with SessionReader(session) as reader:
        steps = {step.experiment: step for step in reader.rows(0, None)}
        pins = reader.pins()
    assert {"why", "dla", "sweep", "predict", "attention"} <= set(steps)
    assert steps["predict"].parent == steps["why"].id and steps["why"].status == "done"
    assert len(pins) == 1
