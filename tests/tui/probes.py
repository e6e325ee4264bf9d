"""The Probes screen over steps as the experiments write them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import to_builtins
from textual.pilot import Pilot

from tests.tui import results
from tests.tui.fakes import INFO, VERSIONS, FakeClient, replay, until, workbench
from workbench.artifacts import Use
from workbench.artifacts.data_set import content_of
from workbench.artifacts.probe import Probe, Reading, from_content
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.tui.screens.probes import Probes

PLACES = msgspec.convert(results.LABELLED, LabelledSet)
PROBE = "places-L0-k1"


def kept_probe() -> Use:
    """The probe that the sparse step makes."""
    reading = Reading(
        site="mlp_post",
        layer=0,
        indices=(34,),
        intercept=0.0,
        threshold=0.0,
        pooling="token",
        classes=PLACES.classes,
        data_set=PLACES.name,
        set_hash=content_of(PLACES).hash,
        method="sparse, k = 1",
        model=INFO.name,
        fingerprint=INFO.fingerprint,
    )
    made = Probe(reading=reading, weights=np.ones(1), mean=np.zeros(1), sd=np.ones(1))
    return Use(content=made.content, name=PROBE, role="made")


def begin(writer: SessionWriter, experiment: str, **params: Any) -> int:
    step = writer.add_step(experiment, {"data": results.LABELLED, **params}, names={"data": PLACES.name})
    writer.start(step, INFO, VERSIONS)
    return step


def probed(writer: SessionWriter, experiment: str) -> int:
    """A finished step with the experiment's own result; the sparse one makes a probe."""
    step = begin(writer, experiment)
    made = results.result(experiment)
    writer.publish(step, headline=made.headline, views=dict(made.views), scalars=dict(made.scalars))
    if experiment == "sparse-probe":
        writer.apply(step, Update(artifacts=[kept_probe()]))
    writer.finish(step, "done")
    return step


def apply(writer: SessionWriter, *keys: str, **params: Any) -> int:
    """A finished `probe-apply` step with the probe of the sparse step, and these views of the experiment's."""
    use = kept_probe()
    stored = to_builtins(from_content(use.name, use.content).stored(use.name))
    step = writer.add_step("probe-apply", {"probe": stored, **params}, names={"data": PLACES.name})
    writer.start(step, INFO, VERSIONS)
    made = results.result("probe-apply")
    views = {key: made.views[key] for key in keys}
    writer.publish(step, headline=made.headline, views=views, scalars=dict(made.scalars) if "data" in params else {})
    writer.finish(step, "done")
    return step


def session(path: Path) -> Path:
    """A set that two steps probe: step 1 sparse, step 2 dense."""
    with SessionWriter(path) as writer:
        writer.rename("probing")
        probed(writer, "sparse-probe")
        probed(writer, "dense-probe")
    return path


@contextlib.asynccontextmanager
async def opened(
    client: FakeClient | None, path: Path | None, size: tuple[int, int] = (120, 48)
) -> AsyncIterator[tuple[Pilot[Any], Probes]]:
    """The screen, by its key; without a client a replay of `path`."""
    app = workbench(client, path) if client else replay(path or Path())
    async with app.run_test(size=size) as pilot:
        await pilot.press("escape", "L")
        await until(pilot, lambda: isinstance(app.screen, Probes) and app.screen.state.read_once, "the screen")
        page = app.screen
        assert isinstance(page, Probes)
        yield pilot, page
