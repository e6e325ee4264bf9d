"""What Compare says of two steps: of the tour that ships, whose fourth step is its first with a neuron switched off."""

from pathlib import Path

import pytest

from workbench.session.reader import SessionReader
from workbench.tui.screens.compare.difference import differences, scalars_table

TOUR = Path(__file__).parents[2] / "sessions" / "tour.db"


def test_the_numbers_of_a_step_under_edits_are_those_with_them_on():
    with SessionReader(TOUR) as reader:
        first, fourth = reader.step(1), reader.step(4)
    table = scalars_table(first, fourth)
    assert [column.name for column in table.columns] == ["number", "step 1", "step 4, edited", "difference"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["answer probability"] == pytest.approx([0.7725, 0.4656, -0.3069], abs=1e-4)
    assert not [name for name in rows if name.endswith("edited")]
    assert differences(first, fourth)[-1] == "edits: none → L24.N1005=0"


def test_two_clean_steps_and_two_edited_ones():
    with SessionReader(TOUR) as reader:
        first, fourth = reader.step(1), reader.step(4)
    assert all(row[3] == 0 for row in scalars_table(first, first).rows)
    assert all(row[3] == 0 for row in scalars_table(fourth, fourth).rows)
    assert [column.name for column in scalars_table(fourth, fourth).columns][1:3] == ["step 4, edited"] * 2
