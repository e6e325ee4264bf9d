"""The SAE screen over steps as the experiments write them, on a tiny model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from textual.pilot import Pilot

from tests.lab.labs import new_report, tiny_lab
from tests.lab.sae.made import keep, made_sae
from tests.tui.fakes import READY, VERSIONS, FakeClient, replay, until, workbench
from workbench.execute import execute
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.tui.screens.sae import Sae
from workbench.units import Site

TEXT = "The capital of France is Paris."
SMALL = {"tokens": 256, "context": 32}


def tiny_client() -> FakeClient:
    """A worker with the model that the SAEs are of."""
    return FakeClient(msgspec.structs.replace(READY, info=tiny_lab("llama").info))


def register() -> None:
    """res-1 and mlp-0 fit the tiny model; `other` is for a layer that it has not."""
    lab = tiny_lab("llama")
    keep(made_sae(lab), "res-1")
    keep(made_sae(lab, Site(0, "mlp_out")), "mlp-0")
    keep(made_sae(lab, hook="blocks.9.hook_resid_post"), "other")


def asked(writer: SessionWriter, experiment: str, **params: Any) -> int:
    """A finished step with the experiment's own result."""
    report = new_report()
    execute(tiny_lab("llama"), experiment, {**SMALL, **params}, [], 0, report)
    step = writer.add_step(experiment, {**SMALL, **params})
    writer.start(step, tiny_lab("llama").info, VERSIONS)
    writer.publish(step, headline=report.headline, views=dict(report.views), scalars=dict(report.scalars))
    writer.apply(step, Update(artifacts=report.artifacts))
    writer.finish(step, "done")
    return step


def session(path: Path) -> Path:
    """On res-1: step 1 checks it, step 2 has its features on a text."""
    register()
    with SessionWriter(path) as writer:
        writer.rename("features")
        asked(writer, "sae-check", sae="res-1")
        asked(writer, "features", sae="res-1", prompt=TEXT)
    return path


@contextlib.asynccontextmanager
async def opened(
    client: FakeClient | None, path: Path | None, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[Pilot[Any], Sae]]:
    """The screen, by its key; without a client a replay of `path`."""
    app = workbench(client, path) if client else replay(path or Path())
    async with app.run_test(size=size) as pilot:
        await pilot.press("escape", "f10")
        await until(pilot, lambda: isinstance(app.screen, Sae) and app.screen.state.read_once, "the screen")
        page = app.screen
        assert isinstance(page, Sae)
        yield pilot, page
