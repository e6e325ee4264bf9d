"""Candidates of `refusal` on the default model equal plain hooks on the Hugging Face model."""

import numpy as np
import pytest

from tests.conftest import USER_CACHE
from tests.e2e.conftest import Place
from tests.lab.candidates import PlainCandidates
from workbench.lab.finding.source import resolve
from workbench.session.reader import SessionReader

pytestmark = pytest.mark.slow

N_ROWS = 10


def test_ten_rows_of_the_candidate_table(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.cwd / "candidates.db"
    done = place.run(
        *("run", "refusal", "--unfiltered", "--stage", "search", "--positions", "1", "--session", str(path)),
        *("--train", "32", "--validation", "16", "--test", "8"),
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    with SessionReader(path) as reader:
        views = {row.key: reader.load_view(row) for row in reader.views(1)}
    table = views["candidates"]
    monkeypatch.setenv("WORKBENCH_CACHE", str(USER_CACHE))
    plain = PlainCandidates(resolve("default").path, views["scores"].records(), "I")
    assert {key: len(rows) for key, rows in plain.rows.items() if key[0] != "alarming"} == {
        (side, split): n
        for side in ("harmful", "harmless")
        for split, n in (("train", 32), ("validation", 16), ("test", 8))
    }
    rows = [(key, row) for key, row in zip(table.row_keys, table.records(), strict=True) if row["norm"] > 0]
    assert len(rows) == 29  # without the embedding's, where all prompts are alike
    for at in np.linspace(0, len(rows) - 1, N_ROWS, dtype=int):
        key, row = rows[at]
        expected = plain.candidate(*map(int, key.split(",")))
        assert row["norm"] == pytest.approx(expected.norm, rel=1e-3)
        for name in ("bypass", "induce", "kl"):
            assert row[name] == pytest.approx(getattr(expected, name), abs=1e-3), (key, name)
