"""The Directions screen over steps as the experiments write them, and a worker that continues texts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from textual.pilot import Pilot

from tests.tui import results
from tests.tui.fakes import INFO, PROMPT, READY, VERSIONS, FakeClient, replay, until, workbench
from workbench.artifacts.direction import Direction, Origin, directions_dir, write_direction
from workbench.edits import Add, Edit, parse_edits
from workbench.report import Progress
from workbench.result_keys import Along, Continued, Separation, Steering
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.tui.screens.directions import Directions
from workbench.views import Series, to_builtins
from workbench.worker.protocol import (
    Changed,
    Done,
    KeepDirection,
    Peek,
    PeekAnswer,
    RemoveArtifact,
    RenameArtifact,
    Submit,
    Submitted,
    WorkerStatus,
)

MODEL = {"model": INFO.name, "fingerprint": INFO.fingerprint}
ORIGIN = Origin(
    method="mean difference", about="24 + 24 prompts", site="resid_pre", layer=14, position=-2, purpose="add", **MODEL
)
SAID = {0.0: " Paris, the city of light.", 4.0: " not something that I can talk about.", 6.0: " sorry sorry sorry"}
"""what the fake worker goes on with, by strength; other strengths say a sentence with their number"""


def vector(seed: int) -> Direction:
    numbers = np.random.default_rng(seed).normal(size=INFO.d_model).astype("<f4")
    return Direction(name="", vector=numbers.tobytes())


def direction(name: str, seed: int = 0, origin: Origin = ORIGIN, **contrast: str) -> Direction:
    return msgspec.structs.replace(vector(seed), name=name, origin=origin, contrast=contrast)


def separation() -> Any:
    layers = np.arange(30.0)
    auc = 0.55 + 0.43 / (1 + np.exp(6 - layers))
    random = Series(name="shuffled labels", y=0 * layers + 0.5, low=0 * layers + 0.35, high=0 * layers + 0.65)
    series = [Series(name="cross-fitted AUC", y=auc), random]
    ticks = [f"L{layer:.0f}" for layer in layers]
    return results.view("direction", Separation.BY_LAYER, x=layers, x_ticks=ticks, series=series)


def tables() -> dict[str, Any]:
    """What `project` holds a direction against."""
    keys = (Along.TOKEN, Along.LOGITS, Along.SUPPRESSED, Along.SUPPRESSED_LOGITS)
    ends = [(" weapon", 4.1, " thanks", -3.2), (" attack", 3.8, " garden", -3.1), (" hack", 3.7, " soup", -2.9)]
    promotes = [dict(zip(keys, row, strict=True)) for row in ends]
    relations = [("writes", "L14.N77", 0.31, "yes"), ("reads", "L16.N5", -0.22, ""), ("gates", "L16.N9", 0.2, "")]
    keys = (Along.RELATION, Along.UNIT, Along.COSINE, Along.BEYOND)
    neurons = [dict(zip(keys, row, strict=True)) for row in relations]
    others = [{Along.DIRECTION: "@refusal", Along.COSINE: 0.82, Along.RANDOM: 0.11}]
    return {
        Along.PROMOTES: results.table("project", Along.PROMOTES, promotes),
        Along.NEURONS: results.table("project", Along.NEURONS, neurons),
        Along.DIRECTIONS: results.table("project", Along.DIRECTIONS, others),
    }


def make(writer: SessionWriter, made: Direction, views: dict[str, Any] | None = None) -> int:
    """A `direction` step that has made it."""
    step = writer.add_step("direction", {"name": made.name}, origin="tui")
    writer.start(step, INFO, VERSIONS)
    headline = f"@{made.name} is mean(positive) − mean(negative) at L14.resid_pre, position −2 · AUC .98, d′ 4.1"
    writer.publish(step, headline=headline, views={Separation.BY_LAYER: separation()} if views is None else views)
    writer.apply(step, Update(artifacts=[msgspec.structs.replace(made.use, role="made")]))
    writer.finish(step, "done")
    return step


def project(writer: SessionWriter, used: Direction) -> int:
    step = writer.add_step("project", {"direction": f"@{used.name}"}, uses=[used.use])
    writer.start(step, INFO, VERSIONS)
    writer.publish(step, headline="promotes", views=tables(), scalars={Along.LARGEST_RANDOM: 1.4})
    writer.finish(step, "done")
    return step


def steer(writer: SessionWriter, used: Direction) -> int:
    step = writer.add_step("steer", {"direction": f"@{used.name}", "prompt": PROMPT}, uses=[used.use])
    writer.start(step, INFO, VERSIONS)
    x, labels = np.array([0.0, 0.1, 0.3, 1.2]), ["clean", "L14 +2", "L14 +6", "L14 +12"]
    front = results.view("steer", Steering.FRONT, x=x, y=np.array([-2.0, 0.5, 2.0, 2.5]), labels=labels)
    writer.publish(step, views={Steering.FRONT: front}, scalars={Steering.LAYER: 14, Steering.STRENGTH: 6})
    writer.finish(step, "done")
    return step


def said(strength: float) -> str:
    return SAID.get(strength, f" a text at strength {strength:g}.")


def go_on(writer: SessionWriter, step: int, prompt: str, strength: float, done: bool = True) -> None:
    """A `generate` step that has begun, or is over."""
    writer.start(step, INFO, VERSIONS)
    texts = {Continued.CLEAN: said(0.0), Continued.EDITED: said(strength)}
    views = {
        key: results.view("generate, edited", key, text=prompt + (text if done else text[:5]))
        for key, text in texts.items()
    }
    scalars = {Continued.PERPLEXITY: 5.9, Continued.PERPLEXITY_EDITED: 5.9 + abs(strength)} if done else {}
    writer.publish(step, views=views, scalars=scalars, progress=Progress(done=3, total=80, unit="tokens"))
    if done:
        writer.finish(step, "done")


def try_strength(
    writer: SessionWriter, used: Direction, strength: float, prompt: str = PROMPT, site: str = "L14.resid_pre"
) -> int:
    edits: list[Edit] = [Add(site, strength, used.name)]
    step = writer.add_step("generate", {"prompt": prompt, "tokens": 40, "chat": False}, edits, uses=[used.use])
    go_on(writer, step, prompt, strength)
    return step


def session(path: Path) -> Path:
    """Two directions, one of them projected, steered with and tried at two strengths."""
    with SessionWriter(path) as writer:
        writer.rename("steering")
        make(writer, direction("uppercase", 1, Origin(method="token class", about="uppercase in W_E", site="W_E")), {})
        harmful = direction("harmful")
        make(writer, harmful)
        project(writer, harmful)
        steer(writer, harmful)
        for strength in (6.0, -4.0):
            try_strength(writer, harmful, strength)
    return path


def keep_file(name: str = "kept", seed: int = 3, origin: Origin = ORIGIN) -> Path:
    """A direction in the data folder."""
    directions_dir().mkdir(parents=True, exist_ok=True)
    file = directions_dir() / f"{name}.safetensors"
    write_direction(direction(name, seed, origin), file)
    return file


class DirectionsClient(FakeClient):
    """Continues texts: at once, or with `slow` only as far as a few letters. Peeks answer with the same tables."""

    def __init__(self, status: WorkerStatus = READY, slow: bool = False, **given: Any) -> None:
        super().__init__(status, **given)
        self.slow = slow
        self.known: dict[str, Direction] = {"harmful": direction("harmful"), "kept": direction("kept", 3)}

    async def request(self, message: Any) -> Any:
        if isinstance(message, RenameArtifact):
            self.requests.append(message)
            self.writer(message.session).rename_artifact(message.kind, message.name, message.new_name)
            return Done()
        if isinstance(message, RemoveArtifact):
            self.requests.append(message)
            self.writer(message.session).remove_artifact(message.kind, message.name)
            return Done()
        if isinstance(message, KeepDirection):
            self.requests.append(message)
            self.writer(message.session).keep_artifact(message.direction.use)
            return Done()
        if isinstance(message, Peek) and message.experiment == "project":
            self.requests.append(message)
            views = [to_builtins(view, lambda array: {}) for view in tables().values()]
            return PeekAnswer(slot=message.slot, views=views, scalars={Along.LARGEST_RANDOM: 1.4})
        return await super().request(message)

    def _submit(self, message: Submit) -> Submitted:
        edit = message.edits[0] if message.edits else None
        if message.experiment != "generate" or not isinstance(edit, Add):
            return super()._submit(message)
        writer, prompt = self.writer(message.session), message.params["prompt"]
        params = {"chat": False, **message.params}
        uses = [msgspec.structs.replace(self.known[edit.direction], name=edit.direction).use]
        step = writer.add_step(message.experiment, params, message.edits, parent=message.parent, uses=uses)
        go_on(writer, step, prompt, edit.strength, done=not self.slow)
        if self.on_event:
            self.on_event(Changed(session=message.session, step=step, revision=1))
        return Submitted(session=message.session, step=step)

    @property
    def strengths(self) -> list[str]:
        """The edits that the dial asked for."""
        return [str(edit) for message in self.submitted for edit in message.edits]


@contextlib.asynccontextmanager
async def opened(
    client: FakeClient | None, path: Path | None, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[Pilot[Any], Directions]]:
    """The screen, by its key; without a client a replay of `path`."""
    app = workbench(client, path) if client else replay(path or Path())
    async with app.run_test(size=size) as pilot:
        await pilot.press("escape", "D")
        await until(pilot, lambda: isinstance(app.screen, Directions) and app.screen.state.read_once, "the screen")
        page = app.screen
        assert isinstance(page, Directions)
        yield pilot, page


def edits_of(texts: list[str]) -> list[Edit]:
    return parse_edits(texts, INFO)
