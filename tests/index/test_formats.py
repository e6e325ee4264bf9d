"""Indexes of earlier formats are read as they are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from workbench.index.format import read_index_file
from workbench.index.reader import NeuronIndex
from workbench.index.store import best_index, indexes_dir, verify

STORED = Path(__file__).parent / "format-1.zip"
"""made by version 0.3.0 of a tiny GPT-2: 248 tokens, top 3"""


@pytest.fixture
def folder() -> Path:
    with zipfile.ZipFile(STORED) as stored:
        stored.extractall(indexes_dir())
    return best_index()


def test_format_1_says_what_it_said(folder: Path) -> None:
    assert read_index_file(folder).format == 1
    assert verify(folder) == []
    index = NeuronIndex.open(folder)
    assert (index.n_tokens, index.units.n, index.sae) == (248, 192, None)
    card = index.card(1, 7)
    assert card.high[0].value == pytest.approx(3.673288345336914)
    assert card.high[0].tokens[card.high[0].peak] == "a"
    assert card.low
    assert card.stats["w_out"] == pytest.approx(1.1726744174957275)
    assert card.promoted[0][0] == " help"
