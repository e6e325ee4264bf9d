"""Waiting for the fingerprint of a model's weights: indexes are named by it, directions say which one they are of."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, wait

from workbench.lab.model import Lab
from workbench.report import Report

POLL = 0.1
"""seconds between two looks at whether it is known, and whether the step was cancelled"""


def identify(lab: Lab, report: Report) -> None:
    """Waits until the fingerprint of the lab's model is known; its weights are read where nobody does so yet.

    Raises UserError where they can't be read, and Cancelled.
    """
    if lab.info.fingerprint:
        return
    reading = lab.model.identity.read()
    stage = "waiting until the weights are read for their fingerprint"
    megabytes = lab.model.identity.unread / 1e6
    for _ in report.track(_until_read(lab, reading, megabytes, report), "MB", total=round(megabytes), stage=stage):
        pass
    lab.set_fingerprint(reading.result())


def _until_read(lab: Lab, reading: Future[str], megabytes: float, report: Report) -> Iterator[None]:
    while not reading.done():
        wait([reading], timeout=POLL)
        # What was read before the waiting began would spoil the rate; `track` counts one more.
        report.progress.done = max(0, round(megabytes - lab.model.identity.unread / 1e6) - 1)
        yield
