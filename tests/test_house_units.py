"""A new kind of unit is two new files, its declaration and its lab file, and nothing else."""

import sys

import numpy as np
import pytest

from tests import contributing
from tests.lab.labs import PROMPT, tiny_lab
from tests.test_units import INFO
from workbench.edits import parse_edit, parse_edits
from workbench.errors import GrammarError, UserError
from workbench.lab import kinds as lab_kinds
from workbench.lab.controls import controls
from workbench.lab.reading import read
from workbench.units import Site, complete, format_units, parse_unit, parse_units, written_forms
from workbench.units import kinds as declared_kinds

DECLARATION = contributing.example("workbench/units/kinds/coordinate.py")
LAB = contributing.example("workbench/lab/kinds/coordinate.py")


@pytest.fixture
def a_new_kind(tmp_path, monkeypatch):
    files = {declared_kinds: DECLARATION, lab_kinds: LAB}
    for package, text in files.items():
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "coordinate.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    declared_kinds._by_type.cache_clear()
    yield
    declared_kinds._by_type.cache_clear()
    lab_kinds._named.cache_clear()
    for package in files:
        sys.modules.pop(f"{package.__name__}.coordinate", None)


def test_every_kind_reads_its_own_example_and_has_a_lab_file():
    for kind in declared_kinds.kinds():
        unit = parse_unit(kind.example)
        assert type(unit) is kind.unit
        assert str(unit) == kind.example
        assert isinstance(lab_kinds.lab_kind(unit), lab_kinds.LabKind)


def test_it_is_read_written_and_completed(a_new_kind):
    units = parse_units("L1.C3-5, L2.C*", INFO)
    assert [str(unit) for unit in units[:4]] == ["L1.C3", "L1.C4", "L1.C5", "L2.C0"]
    assert len(units) == 3 + INFO.d_model
    assert format_units(units) == "L1.C3-5, L2.C0-31"
    assert list(complete("L5.C31", INFO)) == ["L5.C31"]
    with pytest.raises(GrammarError, match="there is no coordinate 32: tiny has 32 coordinates, 0 to 31"):
        parse_units("L1.C32", INFO)


def test_sentences_name_it_among_the_others(a_new_kind):
    with pytest.raises(GrammarError, match=r"N and a number \(neuron\), C and a number \(coordinate\), H and"):
        parse_units("L1.x")
    with pytest.raises(GrammarError, match="a dot and N, C, H, F or a site follow the layer: L12.N345, L10.C77"):
        parse_units("L1")
    assert "L10.C77         a coordinate of the stream" in written_forms()


def test_it_takes_the_edits_that_it_declares(a_new_kind):
    for text in ("L1.C3=2", "L1.C3-5*=2", "L1.C3[last]+=.5", "L1.C3=mean", 'L1.C*<"other"'):
        assert parse_edit(str(parse_edit(text, INFO)), INFO) == parse_edit(text, INFO)
    with pytest.raises(GrammarError, match="a direction is added to a site"):
        parse_edit("L1.C3+=2*@x", INFO)
    with pytest.raises(UserError, match="contradict"):
        tiny_lab("llama").job(parse_edits(["L1.C3=2; L1.C3-5=mean"], INFO))


def test_the_lab_reads_edits_and_compares_it(a_new_kind):
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    units = parse_units("L1.C3, L1.C7", lab.info)
    site = Site(1, "resid_post")
    stream = lab.forward(prompt, sites=[site]).site(site)[0]
    for unit, reading in zip(units, read(lab, units, prompt), strict=True):
        np.testing.assert_array_equal(reading.values, stream[:, unit.index])
    job = lab.job(parse_edits(["L1.C3=2; L1.C7*=3"], lab.info))
    edited = read(job, units, prompt, job.edits)
    np.testing.assert_allclose(edited[0].values, 2)
    np.testing.assert_allclose(edited[1].values, 3 * stream[:, 7], rtol=1e-6)
    drawn = controls(job, job.edits, 8)
    assert len(drawn.plans) == 8
    assert {type(unit).__name__ for plan in drawn.plans for unit in plan.units} == {"Coordinate"}
