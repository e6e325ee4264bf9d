"""An index in little memory: blocks go in as many rows as fit, and say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.lab.brute import Brute
from tests.lab.labs import new_report
from tests.lab.test_indexing import open_model, ragged, small
from workbench.index.format import neurons_of
from workbench.index.memory import block_bytes
from workbench.index.reader import NeuronIndex
from workbench.lab.indexing import build as indexing
from workbench.lab.indexing.build import IndexBuild


def test_a_block_goes_in_as_many_rows_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, corpus, report = open_model(tmp_path, "llama"), ragged(seed=3), new_report()
    chosen = small(model, block_tokens=192)
    made = IndexBuild(model, corpus, chosen, 1 << 60)
    assert made.features is not None
    two_rows = block_bytes(neurons_of(model.info), chosen, model.info, 2, len(made.features.names))
    monkeypatch.setattr(indexing, "free_memory", lambda device: 2 * two_rows)  # half of which a batch may take
    rows: list[int] = []
    handle = model.bridge.blocks[0].register_forward_pre_hook(lambda block, args: rows.append(len(args[0])))
    try:
        with made:
            for block in made.blocks():
                made.add(block, report)
    finally:
        handle.remove()
    assert max(rows) == 2
    assert not report.notes
    index, brute = NeuronIndex.open(made.folder), Brute(model, corpus, chosen)
    assert index.n_tokens == len(brute.a)
    for name, wanted in brute.columns().items():
        np.testing.assert_allclose(index.columns[name].values, wanted, rtol=2e-5, atol=1e-6, err_msg=name)
