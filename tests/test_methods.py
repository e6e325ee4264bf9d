"""METHODS.md: what refers to it finds its section, the figures it names are the code's, and every front shows it."""

from __future__ import annotations

import ast
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from workbench.cli import main
from workbench.errors import UserError
from workbench.experiments import _refusal_selection as selection
from workbench.index import families
from workbench.methods import Section, introduction, section, sections
from workbench.statistics import place_among

REFERENCE = re.compile(r'\bMETHODS\b(?! = |\]|\[|: table|\.note|\.md)(?:, ((?:"[^"]+"(?:, (?=")| and )?)+))?')


def references(text: str) -> list[list[str]]:
    """The sections that each mention of METHODS in docstrings and comments names; empty where it names none."""
    prose = [
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    prose += [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    return [
        re.findall(r'"([^"]+)"', match[1] or "")
        for part in prose
        for match in REFERENCE.finditer(" ".join(part.split()))
    ]


def test_every_reference_names_a_section_that_there_is() -> None:
    names = {each.name for each in sections()}
    n = 0
    for folder in ("workbench", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in ("test_methods.py", "methods.py"):
                continue
            for named in references(path.read_text()):
                assert named, f"{path}: METHODS without the name of a section"
                assert set(named) <= names, f"{path}: METHODS has no section {set(named) - names}"
                n += 1
    assert n > 50


def test_a_reference_across_a_line_break_is_read_and_one_by_number_is_seen() -> None:
    assert references('"""Errors (METHODS, "Standard\nerrors" and "KL")."""') == [["Standard errors", "KL"]]
    assert references('"""Errors (METHODS 2)."""\nx = 1  # by METHODS, "KL"') == [[], ["KL"]]


def test_a_section_is_had_by_its_name_in_any_case_or_its_beginning() -> None:
    assert section("sae e").name == section("SAE ERRORS").name == "SAE errors"
    for wrong, near in (("kontrols", "Controls"), ("s", "KL, Rounding"), ("", "KL, Rounding")):
        with pytest.raises(UserError, match=near):
            section(wrong)


@given(st.text())
def test_any_name_is_a_section_or_a_sentence(name: str) -> None:
    try:
        assert isinstance(section(name), Section)
    except UserError as error:
        assert "METHODS has no section" in str(error)


def test_sections_are_short_unlike_and_begin_with_a_sentence() -> None:
    names = [each.name.casefold() for each in sections()]
    assert len(set(names)) == len(names) > 15
    for each in sections():
        assert 20 < len(each.summary) < 300, each
        assert "\n" not in "".join(each.paragraphs)
    assert "L layers" in introduction()


def test_the_figures_it_names_are_those_of_the_code() -> None:
    text = section("Refusal").text
    assert f"int({selection.DEPTH:g} L)".replace("0.", ".") in text
    assert f"KL above {selection.MOST_KL:g}".replace("0.", ".") in text
    text = section("Neuron statistics").text
    assert f"kurtosis above {families.PREDICTION_KURTOSIS:g} " in text
    assert f"above {families.PARTITION_VARIANCE:g},".replace("0.", ".") in text
    controls = np.array([1.0, 2, 2, 3])  # one smaller, two ties: (1 + ½ · 3) / 5
    assert "(controls that are smaller + ½ (ties + 1)) / (controls + 1)" in section("Controls").text
    assert place_among(2.0, controls).percentile == pytest.approx((1 + 0.5 * 3) / 5)


def test_the_command_lists_and_prints_at_80_columns() -> None:
    listed = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["methods"], standalone_mode=False).output
    assert all(each.name in listed for each in sections())
    printed = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["methods", "sae", "quality"], standalone_mode=False).output
    assert " ".join(printed.split()) == "SAE quality " + " ".join(section("SAE quality").text.split())
    assert max(map(len, (listed + printed).splitlines())) <= 80
    as_json = CliRunner().invoke(main, ["methods", "KL", "--json"], standalone_mode=False).output
    assert json.loads(as_json) == {"name": "KL", "text": section("KL").text}
