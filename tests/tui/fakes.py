"""A worker that answers at once and writes real session files, and sessions to look at."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from textual.pilot import Pilot

from tests.tui import results
from workbench.edits import SetTo
from workbench.errors import UserError
from workbench.model_info import ModelInfo
from workbench.report import NextStep, Progress
from workbench.result_keys import NextToken, Ranking, TokenIds
from workbench.session.writer import SessionWriter
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp
from workbench.views import Heatmap, Lines, Scalars, Series, Table, TokenRow, Tokens, to_builtins
from workbench.worker.protocol import (
    Attach,
    Cancel,
    Changed,
    Done,
    JobState,
    KeepStack,
    Note,
    Peek,
    PeekAnswer,
    Rename,
    Submit,
    Submitted,
    WorkerStatus,
)
from workbench.worker.worker_files import WorkerSpec

INFO = ModelInfo(
    name="SmolLM2-135M-Instruct (from Q4_1)", ref="default", fingerprint="abcdef012345",
    architecture="LlamaForCausalLM", n_layers=30, n_heads=9, n_kv_heads=3, d_model=576, d_head=64, d_mlp=1536,
    d_vocab=49152, n_ctx=8192, gated_mlp=True, chat_template=True,
)  # fmt: skip
PROMPT = "The capital of France is"
TOKENS = ["The", " capital", " of", " France", " is"]
READY = WorkerStatus(pid=1, stage="ready", info=INFO, memory=970_000_000, model="default")
LOADING = WorkerStatus(pid=1, stage="loading", seconds_left=9, model="default")


def next_token(edited: bool) -> Table:
    """`predict`'s next tokens with our numbers."""
    words = (" Paris", " the", " Lyon", " a", "\n")
    columns = {NextToken.PROBABILITY: (0.771, 0.062, 0.004, 0.0031, 0.0007)}
    if edited:
        columns[NextToken.PROBABILITY_EDITED] = (0.412, 0.171, 0.093, 0.011, 2e-5)
    logs = dict(zip(columns, ("log_prob", "log_prob_edited"), strict=False))
    rows: list[dict[str, Any]] = [{"rank": at, NextToken.TOKEN: word} for at, word in enumerate(words, 1)]
    for key, probabilities in columns.items():
        for row, p in zip(rows, probabilities, strict=True):
            row |= {key: p, logs[key]: math.log(p)}
    return results.table("predict, edited" if edited else "predict", NextToken.VIEW, rows)


def surprise() -> Tokens:
    values = np.array([np.nan, 8.1, 0.4, 3.2, 0.1])
    return results.view("predict", "surprise", rows=[TokenRow(name="surprise", values=values)])


def lens() -> Heatmap:
    rng = np.random.default_rng(0)
    words = [["the", " of", "the", ",", " capital"], ["the", " of", "the", ",", " Paris"]]
    return results.view(
        "logit-lens", "grid", values=rng.random((8, 5)), row_labels=[f"L{at}" for at in range(8)],
        texts=[words[at > 5] for at in range(8)],
    )  # fmt: skip


def curve() -> Lines:
    x = np.arange(30)
    series = [Series(name="clean", y=9 / (1 + x / 4)), Series(name="edited", y=8 / (1 + x / 5))]
    return results.view("logit-lens", "kl", x=x, x_ticks=None, series=series)


def numbers() -> Scalars:
    """Rounded: pictures are the same on every machine."""
    made = results.view("predict, edited", "numbers")
    items = [
        msgspec.structs.replace(
            item, value=round(item.value, 2), edited=None if item.edited is None else round(item.edited, 2)
        )
        for item in made.items
    ]
    return msgspec.structs.replace(made, items=items)


VERSIONS = {"torch": "2.13.0", "workbench": "0.1.0"}
NEXT = [
    NextStep(label="what is it thinking, layer by layer", experiment="logit-lens", params={"prompt": PROMPT}),
    NextStep(label="switch off L24.N88", experiment="predict", params={"prompt": PROMPT}, edits=["L24.N88=0"]),
    NextStep(label="what it goes on to say", experiment="generate", params={"prompt": PROMPT}),
]


def finish(writer: SessionWriter, step: int, experiment: str, edited: bool = False, headline: str = "") -> None:
    """A step's end, with views as the experiment's own."""
    views: dict[str, Any] = {NextToken.VIEW: next_token(edited), "surprise": surprise(), "numbers": numbers()}
    if experiment == "logit-lens":
        views = {"grid": lens(), "kl": curve()}
    if experiment == "generate":
        text = " Paris, the city of light.\nIt lies on the Seine."
        views = {"clean": results.view("generate", "clean", text=text)}
    if experiment == "unusual":
        score = Series(name="this text", y=np.arange(120.0) % 77)
        views = {Ranking.VIEW: results.view("unusual", Ranking.VIEW, x=np.arange(120.0), series=[score])}
    said = headline or ("' Paris' .771 → .412 · KL .318" if edited else f"' Paris' .771 after '{PROMPT}'")
    writer.publish(step, headline=said, views=views, scalars={"kl": 0.318, "entropy": 1.31}, next_steps=NEXT)
    writer.finish(step, "done")


def make_session(path: Path) -> Path:
    """Six steps with a branch, a failure, a cancelled one, an expectation and a note."""
    line = "workbench run predict --prompt 'The capital of France is'"
    with SessionWriter(path) as writer:
        writer.rename("tour")
        first = writer.add_step("predict", {"prompt": PROMPT, "chat": False}, command=line, origin="tui")
        writer.start(first, INFO, VERSIONS)
        finish(writer, first, "predict")
        edit = [SetTo("L24.N88", 0.0)]
        second = writer.add_step("predict", {"prompt": PROMPT, "chat": False}, edit, parent=first, command=line)
        writer.start(second, INFO, VERSIONS)
        finish(writer, second, "predict", edited=True)
        third = writer.add_step("logit-lens", {"prompt": PROMPT}, edit, parent=second, expected="late, after layer 20")
        writer.start(third, INFO, VERSIONS)
        finish(writer, third, "logit-lens", headline="' Paris' enters the top 1 at L27")
        fourth = writer.add_step("generate", {"prompt": PROMPT}, parent=first)
        writer.start(fourth, INFO, VERSIONS)
        writer.publish(fourth, progress=Progress(done=12, total=40, unit="tokens", started=time.time() - 2))
        finish(writer, fourth, "generate", headline="'… Paris, the city of light.'")
        fifth = writer.add_step("activations", {"prompt": PROMPT, "units": "L99.N1"})
        writer.start(fifth, INFO, VERSIONS)
        writer.finish(fifth, "failed", error="there is no layer 99: the model has 30 layers, 0 to 29")
        sixth = writer.add_step("generate", {"prompt": "Once upon a time"})
        writer.start(sixth, INFO, VERSIONS)
        writer.publish(sixth, headline="'… there was'")
        writer.finish(sixth, "cancelled")
        writer.note("overshoots above 8", fourth)
    return path


def long_session(path: Path, steps: int) -> Path:
    """A session of six steps made long, fast: copies of its first row."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(step)") if row[1] not in ("id", "uuid")]
        columns = ", ".join(names)
        connection.executemany(
            f"INSERT INTO step (id, uuid, {columns}) SELECT ?, ?, {columns} FROM step WHERE id = 1",
            [(at, f"copy-{at}") for at in range(7, steps + 1)],
        )
    return path


async def split(message: Peek) -> PeekAnswer:
    """What `tokens` finds of a text, each word a token; the template writes one before and one after it."""
    words = re.findall(r" ?\S+|\s+", message.params["prompt"])
    chat = bool(message.params.get("chat"))
    texts = [("<user>", "template"), *((word, "text") for word in words), ("<end>", "template")]
    rows = [{TokenIds.TOKEN: text, TokenIds.ORIGIN: origin} for text, origin in (texts if chat else texts[1:-1])]
    added = "2 of them the chat template's" if chat else "no BOS"
    counted = f"{len(rows)} token{'s' * (len(rows) != 1)}, {added}"
    table = results.table("tokens", TokenIds.VIEW, rows, tokenization=counted)
    return PeekAnswer(slot=message.slot, views=[to_builtins(table, lambda array: {})])


class FakeClient:
    """Stands for WorkerClient. `hold` keeps steps queued, as while a model loads."""

    def __init__(self, status: WorkerStatus = READY, hold: bool = False) -> None:
        self.status = status
        self.hold = hold
        self.on_event: Callable[[Any], None] | None = None
        self.closed = asyncio.Event()
        self.tokens: Callable[[Peek], Awaitable[PeekAnswer]] | None = None
        """answers the peeks of a prompt's tokens"""
        self.requests: list[Any] = []
        self.writers: dict[str, SessionWriter] = {}

    def writer(self, session: str) -> SessionWriter:
        if session not in self.writers:
            self.writers[session] = SessionWriter(session)
        return self.writers[session]

    def asked(self, kind: type) -> list[Any]:
        return [message for message in self.requests if isinstance(message, kind)]

    async def request(self, message: Any) -> Any:
        self.requests.append(message)
        if isinstance(message, Submit):
            return self._submit(message)
        if isinstance(message, Note):
            self.writer(message.session).note(message.text, message.step)
            return Done()
        if isinstance(message, Rename):
            self.writer(message.session).rename(message.title)
            return Done()
        if isinstance(message, KeepStack):
            self.writer(message.session).keep_stack(message.name, message.entries, message.remove)
            return Done()
        if isinstance(message, Cancel):
            self.writer(message.session).finish(message.step, "cancelled")
            self.tell(self.status, jobs=[])
            return Done()
        if isinstance(message, Peek):
            if message.experiment == "tokens" and self.tokens is not None:
                return await self.tokens(message)
            return PeekAnswer(slot=message.slot, error="no peeks here")
        if isinstance(message, Attach):
            return Done()
        raise UserError(f"the fake knows no {type(message).__name__}")

    def _submit(self, message: Submit) -> Submitted:
        writer = self.writer(message.session)
        step = writer.add_step(
            message.experiment, message.params, message.edits, seed=message.seed, expected=message.expected,
            parent=message.parent, origin=message.origin, command=f"workbench run {message.experiment}",
        )  # fmt: skip
        if self.hold:
            job = JobState(session=message.session, step=step, experiment=message.experiment, state="queued")
            self.tell(self.status, jobs=[job])
        else:
            writer.start(step, INFO, VERSIONS)
            finish(writer, step, message.experiment, bool(message.edits))
        if self.on_event:
            self.on_event(Changed(session=message.session, step=step, revision=1))
        return Submitted(session=message.session, step=step)

    def tell(self, status: WorkerStatus, **changes: Any) -> None:
        """The worker's state is another one."""
        self.status = msgspec.structs.replace(status, **changes)
        if self.on_event:
            self.on_event(self.status)

    async def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()

    @property
    def submitted(self) -> list[Submit]:
        return [message for message in self.requests if isinstance(message, Submit)]


def workbench(client: FakeClient | None = None, session: Path | None = None, **settings: Any) -> WorkbenchApp:
    """The app on a fake worker; without one it never gets a connection."""

    async def connect(spec: WorkerSpec) -> Any:
        if client is None:
            await asyncio.Event().wait()
        return client

    return WorkbenchApp(WorkerSpec(), session, Settings(**settings), connect=connect)


def replay(session: Path) -> WorkbenchApp:
    return WorkbenchApp(None, session, Settings())


async def until(pilot: Pilot[Any], condition: Callable[[], Any], what: str = "", seconds: float = 15.0) -> Any:
    """Waits for a condition, letting the app work in between."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"{what or condition} did not come true\n\n{screen(pilot.app)}"
        await pilot.pause(0.01)


def screen(app: Any) -> str:
    """What is on the screen, as text."""
    lines = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


@contextlib.contextmanager
def shown(app: Any) -> Iterator[Callable[[str], bool]]:
    """`has(text)` says whether the screen holds it."""
    yield lambda text: text in screen(app)
