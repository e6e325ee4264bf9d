"""A direction of another model, of none that is known, or used otherwise than meant: refused or said."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.artifacts.direction import Direction, Origin
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.model import Lab

HERE, THERE = "a" * 64, "b" * 64


def lab() -> Lab:
    model = tiny_lab("llama").model
    return Lab(replace(model, info=msgspec.structs.replace(model.info, fingerprint=HERE)))


def direction(width: int = 32, transfer: bool = False, **origin: object) -> Direction:
    vector = np.linspace(1, 2, width).astype("<f4").tobytes()
    return Direction(name="refusal", vector=vector, origin=Origin(**origin), transfer=transfer)  # type: ignore[arg-type]


def notes(given: Direction, edit: str = "@refusal=0") -> list[str]:
    report = new_report()
    execute(lab(), "predict", {"prompt": PROMPT}, parse_edits([edit]), 0, report, {"refusal": given})
    return [note for note in report.notes if "@refusal" in note]


def test_one_of_this_model_needs_no_word() -> None:
    assert notes(direction(fingerprint=HERE, model="llama")) == []


def test_one_of_another_model_needs_transfer_and_every_step_says_so() -> None:
    with pytest.raises(UserError, match="@refusal was made on base, and this is llama, .* with --transfer it is used"):
        notes(direction(fingerprint=THERE, model="base"))
    assert notes(direction(fingerprint=THERE, model="base", transfer=True)) == [
        "@refusal was made on base and is used on llama"
    ]
    # The exported copy has the model's name.
    (note,) = notes(direction(fingerprint=THERE, model="llama", transfer=True))
    assert note == "@refusal was made on llama (bbbbbbbb) and is used on llama (aaaaaaaa)"


def test_one_of_another_width_is_refused_with_both() -> None:
    for transfer in (False, True):
        with pytest.raises(UserError, match="@refusal has 48 numbers, and the stream of llama 32"):
            notes(direction(width=48, fingerprint=THERE, model="base", transfer=transfer))


def test_one_of_no_known_model_claims_nothing() -> None:
    assert notes(direction()) == ["the model that @refusal was made on is not known"]


def test_a_use_that_it_was_not_meant_for_is_said() -> None:
    added = "L1.resid_post+=3*@refusal"
    (note,) = notes(direction(fingerprint=HERE, purpose="project"), added)
    assert "was made to be projected out, and is added here" in note
    (note,) = notes(direction(fingerprint=HERE, purpose="add", normalised=True), added)
    assert "was brought to length 1" in note
    assert notes(direction(fingerprint=HERE, purpose="add"), added) == []
    assert notes(direction(fingerprint=HERE, purpose="project")) == []


def test_the_fingerprint_is_waited_for_where_it_matters() -> None:
    model = tiny_lab("gpt2").model
    unread = Lab(replace(model, info=msgspec.structs.replace(model.info, fingerprint="")))
    report = new_report()
    given = {"refusal": direction(fingerprint=THERE, model="base", transfer=True)}
    execute(unread, "predict", {"prompt": PROMPT}, parse_edits(["@refusal=0"]), 0, report, given)
    assert unread.info.fingerprint
    assert "@refusal was made on base and is used on gpt2" in report.notes
