"""The Why screen over steps as the experiment writes them, at any stage, and a worker that answers at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from textual.pilot import Pilot

from tests.tui import results
from tests.tui.fakes import INFO, PROMPT, READY, VERSIONS, FakeClient, replay, until, workbench
from workbench.edits import parse_edits
from workbench.experiment import command_line
from workbench.experiments import why
from workbench.params import make_params, params_builtins
from workbench.report import NextStep, Progress
from workbench.result_keys import Answer, Direct, Effect, NextToken, Picked, Stages, Units, Verdict
from workbench.session.writer import SessionWriter
from workbench.tui.screens.why import Why
from workbench.views import Bars, Heatmap, Histogram, Mark, Series, Table
from workbench.worker.protocol import Changed, Done, Pin, Submit, Submitted, WorkerStatus

STAGES = ("queued", "direct", "swept", "effect", "controls", "done")
PICKED = ("L29.N385", "L24.N963", "L29.N511")
SHOWN = [("L24.N1005", -0.132, -0.506, 0.466), ("L29.N385", -0.9, -0.94, 0.302), ("L29.N864", 0.345, 0.19, 0.934)]
HEADS = [("L23.H4", -0.9, -0.21, 0.6), ("L1.H4", 0.1, 0.1, 0.8)]
"""unit, estimate, exact, what is left of the answer"""


def params(**given: Any) -> dict[str, Any]:
    return params_builtins(make_params(why.Params, {"prompt": PROMPT, "answer": " Paris", "size": 3, **given}))


def next_tokens(foil: str = "") -> Table:
    rows = [(" Paris", 0.773, NextToken.ANSWER), (" the", 0.062, ""), (" Lyon", 0.004, "")]
    cells = [
        {NextToken.TOKEN: token, NextToken.PROBABILITY: p, NextToken.ASKED: NextToken.FOIL if token == foil else asked}
        for token, p, asked in rows
    ]
    return results.table("why", NextToken.VIEW, cells)


def units(kind: str, rows: list[tuple[str, float, float, float]], exact: bool = True) -> Table:
    cells: list[dict[str, Any]] = []
    for unit, estimate, effect, left in rows:
        known = {Units.EXACT: effect, Units.LEFT: left} if exact else {}
        beyond = Units.YES if exact and not cells else "no"
        cells.append({Units.UNIT: unit, Units.ESTIMATE: estimate, **known, Units.BEYOND: beyond})
    return results.table("why", kind, cells)


def where() -> Heatmap:
    values = np.zeros((30, 5))
    values[:, 0] = np.nan
    values[21, 4], values[3, 1] = -4.2, -1.1
    return results.view("why", Units.WHERE, values=values, row_labels=[f"L{at}" for at in range(30)])


def verdict(n: int, others: bool) -> Table:
    rows: dict[str, dict[str, Any]] = {
        Verdict.CLEAN: {Verdict.WHAT: "nothing", Verdict.LEFT: 0.773},
        Verdict.PICKED: {Verdict.WHAT: "these", Verdict.WHICH: ", ".join(PICKED), Verdict.LEFT: 0.12, Verdict.OWN: -2},
    }
    if others:
        rows[Verdict.OTHER_ANSWER] = {Verdict.WHAT: "picked for ' Son'", Verdict.LEFT: 0.74, Verdict.OWN: -1.2}
    if n:
        band = {Verdict.LEFT: 0.76, Verdict.LOW: 0.74, Verdict.HIGH: 0.77}
        rows[Verdict.RANDOM] = {Verdict.WHAT: "matched random sets of 3 neurons", Verdict.WHICH: f"n {n}", **band}
    return results.table("why", Verdict.VIEW, list(rows.values()), row_keys=list(rows))


def picked() -> Table:
    rows = [{Units.UNIT: unit, Picked.TOGETHER: -float(at)} for at, unit in enumerate(PICKED, 1)]
    return results.table("why", Picked.VIEW, rows)


def controls(n: int) -> Histogram:
    return results.view(
        "why", "controls", edges=np.linspace(0, 1, 31), series=[Series(name="random", y=np.eye(30)[22] * n)],
        marks=[Mark(x=0.12, label="these")],
    )  # fmt: skip


def direct() -> Bars:
    return results.view("why", Direct.VIEW, series=[Series(name="", y=np.array([0.09, 9.75, 9.38, 0]))])


def write(writer: SessionWriter, step: int, stage: str, foil: str = "") -> None:
    """The step as it is at this stage."""
    at = STAGES.index(stage)
    if not at:
        return
    writer.start(step, INFO, VERSIONS)
    views: dict[str, Any] = {Direct.VIEW: direct(), NextToken.VIEW: next_tokens(foil)}
    scalars: dict[str, float | None] = {"clean": -0.26}
    said, progress = (
        f"p(' Paris') .773 after '{PROMPT}'",
        Progress(stage=Stages.NEURONS, done=0, total=200, unit="units"),
    )
    if at >= 2:
        views |= {Units.NEURONS: units(Units.NEURONS, SHOWN, exact=at >= 3)}
        views |= {Units.HEADS: units(Units.HEADS, HEADS), Units.WHERE: where()}
        scalars |= {Units.NEURONS: 46080, Units.HEADS: 270}
        progress = Progress(stage=Stages.NEURONS, done=40, total=200, unit="units", started=time.time() - 4)
    if at >= 3:
        views |= {Verdict.VIEW: verdict(8 if at == 4 else 64 if at == 5 else 0, at == 5), Picked.VIEW: picked()}
        scalars |= {Units.beyond(Units.NEURONS): 1, Units.beyond(Units.HEADS): 1, Verdict.IS_BEYOND: 1}
        sets = "matched random sets of 3 neurons"
        median = "median .760 (5–95 %: .740–.770)"
        random = {3: f"0 of 64 {sets}", 4: f"8 of 64 {sets}: {median}; lower than all 8"}
        said = "three neurons off: p(' Paris') .773 → .120 · "
        said += random.get(at, f"64 {sets}: {median}; lower than all 64 · picked the same way for ' Son' .740")
        said += f" · after '{PROMPT}'"
        progress = Progress(stage=Stages.RANDOM, done=8, total=64, unit="controls", started=time.time() - 2)
    if at >= 4:
        views["controls"] = controls(8 if at == 4 else 64)
    label = NextStep(label="the next token with them off", experiment="predict", params={"prompt": PROMPT})
    writer.publish(step, headline=said, views=views, scalars=scalars, progress=progress, next_steps=[label])
    if stage == "done":
        writer.finish(step, "done")


def add(writer: SessionWriter, stage: str = "done", error: str = "", **given: Any) -> int:
    """A `why` step of its own."""
    asked = params(**given)
    line = command_line("why", make_params(why.Params, asked))
    step = writer.add_step("why", asked, command=line, origin="tui")
    write(writer, step, stage, given.get("foil", ""))
    if error:
        writer.finish(step, "failed", error=error)
    return step


def try_off(writer: SessionWriter, step: int) -> None:
    """A `predict` step's end, with units off."""
    tokens = ((" Paris", 0.773, 0.12), (" the", 0.062, 0.31), (" Lyon", 0.004, 0.09))
    keys = (NextToken.TOKEN, NextToken.PROBABILITY, NextToken.PROBABILITY_EDITED)
    table = results.table("predict, edited", NextToken.VIEW, [dict(zip(keys, row, strict=True)) for row in tokens])
    writer.start(step, INFO, VERSIONS)
    said = f"' Paris' .773 → .120 after '{PROMPT}' · KL 1.44 · "
    said += "64 matched random sets of 3 neurons: median .002 (5–95 %: 0–.01); larger than all 64"
    writer.publish(
        step, headline=said,
        views={NextToken.VIEW: table},
        scalars={Answer.PROBABILITY_EDITED: 0.12, Effect.KL: 1.44},
    )  # fmt: skip
    writer.finish(step, "done")


class WhyClient(FakeClient):
    """`stage`: how far a question gets at once. Pins are kept, trials answered."""

    def __init__(self, status: WorkerStatus = READY, stage: str = "done", error: str = "") -> None:
        super().__init__(status)
        self.stage, self.error = stage, error

    async def request(self, message: Any) -> Any:
        if isinstance(message, Pin):
            self.requests.append(message)
            self.writer(message.session).pin(message.unit, message.name, message.remove)
            return Done()
        return await super().request(message)

    def _submit(self, message: Submit) -> Submitted:
        if message.experiment not in ("why", "predict"):
            return super()._submit(message)
        writer = self.writer(message.session)
        step = writer.add_step(
            message.experiment, message.params, message.edits, seed=message.seed, parent=message.parent, origin="tui",
            command=command_line("why", make_params(why.Params, message.params)) if message.experiment == "why" else "",
        )  # fmt: skip
        if message.experiment == "predict":
            try_off(writer, step)
        else:
            write(writer, step, self.stage, message.params.get("foil", ""))
            if self.error:
                writer.finish(step, "failed", error=self.error)
        if self.on_event:
            self.on_event(Changed(session=message.session, step=step, revision=1))
        return Submitted(session=message.session, step=step)

    def last(self, experiment: str) -> Submit:
        return [one for one in self.submitted if one.experiment == experiment][-1]


def session(path: Path, stage: str = "done", trial: bool = False, **given: Any) -> Path:
    """A session with one question, and with what was tried on it."""
    with SessionWriter(path) as writer:
        step = add(writer, stage, **given)
        if trial:
            edits = parse_edits([f"{', '.join(PICKED)}[1-]=0"])
            tried = writer.add_step("predict", {"prompt": PROMPT, "answer": " Paris"}, edits, parent=step)
            try_off(writer, tried)
    return path


@contextlib.asynccontextmanager
async def opened(
    client: WhyClient | None = None, path: Path | None = None, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[Pilot[Any], Why]]:
    """The screen, by its key; without a client a replay of `path`."""
    app = workbench(client, path) if client else replay(path)
    async with app.run_test(size=size) as pilot:
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(app.screen, Why), "the screen")
        yield pilot, app.screen


async def answered(pilot: Pilot[Any], page: Why) -> None:
    """The question is in the session, and what the file has is shown."""
    await until(pilot, lambda: page.state.finding and not page.has_class("empty"), "the answer")


def without_keys(writer: SessionWriter, step: int) -> None:
    """The step's tables as they were before columns had keys."""
    tables = {
        key: msgspec.structs.replace(
            view, row_keys=[], columns=[msgspec.structs.replace(column, key="") for column in view.columns]
        )
        for key, view in (
            (NextToken.VIEW, next_tokens()),
            (Units.NEURONS, units(Units.NEURONS, SHOWN)),
            (Units.HEADS, units(Units.HEADS, HEADS)),
            (Verdict.VIEW, verdict(64, True)),
            (Picked.VIEW, picked()),
        )
    }
    writer.publish(step, views=tables)
