"""A step that waits says for which one, and for how long."""

import pytest

from workbench.report import Progress
from workbench.worker.protocol import JobState
from workbench.worker.waiting import waiting_words

NOW = 1e9


def job(session: str, step: int, state: str = "running", left: float | None = None) -> JobState:
    ends = None if left is None else NOW + left
    return JobState(session=session, step=step, experiment="index", state=state, ends=ends)


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([job("/a.db", 3), job("/a.db", 4, "queued")], "waiting for step 3 (index)"),
        ([job("/a.db", 3, left=40), job("/a.db", 4, "queued")], "waiting for step 3 (index), about 40 s"),
        ([job("/b/c.db", 9, "cancelling")], "waiting for step 9 (index) of c.db"),
        ([job("/a.db", 4)], "waiting for its turn"),
        ([], "waiting for its turn"),
    ],
)
def test_it_names_the_step_that_runs_and_how_long_it_takes(jobs, words, monkeypatch):
    monkeypatch.setattr("workbench.worker.waiting.time.time", lambda: NOW)
    assert waiting_words(jobs, "/a.db", 4) == words


def test_the_expected_end_follows_from_what_is_done():
    assert Progress(done=25, total=100, started=1000.0).expected_end(1010.0) == 1040.0
    assert Progress(done=0, total=100, started=1000.0).expected_end(1010.0) is None
    assert Progress(done=25, started=1000.0).expected_end(1010.0) is None
