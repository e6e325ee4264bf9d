"""What a step waits for that has not begun, in words: for every front the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.text import estimate, safe

if TYPE_CHECKING:
    from workbench.worker.protocol import JobState


def waiting_words(jobs: Sequence[JobState], session: str, step: int) -> str:
    """`waiting for step 3 (index), about 40 s`: the job that runs; of another session its file is named too.

    `session` and `step` are those of the step that waits.
    """
    job = next((job for job in jobs if job.state != "queued" and (job.session, job.step) != (session, step)), None)
    if job is None:
        return "waiting for its turn"
    where = "" if job.session == session else f" of {safe(Path(job.session).name)}"
    words = f"waiting for step {job.step} ({safe(job.experiment)}){where}"
    return words if job.ends is None else f"{words}, about {estimate(max(1.0, job.ends - time.time()))}"
