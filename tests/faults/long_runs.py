"""kill -9 amid long runs on a planted model: asked again, each ends with the numbers of one that was left alone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.experiments.test_sparse_probe import labelled
from tests.lab.refusing import HARMFUL, HARMLESS, SIZES, Refusing, instructions
from tests.tiny import TEXT
from tests.worker.conftest import until
from workbench.artifacts import kinds, list_artifacts
from workbench.session.reader import SessionReader
from workbench.session.records import StepRow
from workbench.worker.client import WorkerClient, WorkerSpec, connect, run_step
from workbench.worker.protocol import Attach, Submit

START_SECONDS = 120
CLOCKED = ("tokens_per_second", "tokens_per_second_unedited", "train_tokens_per_second", "settings", "built")
"""scalars and views with a rate in them: no run has those twice"""
SAE_NAME = "made-in-a-long-run"


class LongRuns:
    """A refusal search, a battery, an SAE's training and an index, each killed once or more and asked again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "long"
        self._folder.mkdir()
        model = Refusing()
        model.carry(HARMFUL, 0)
        model.read_out("I", 0)
        self._spec = WorkerSpec(str(model.save(self._folder / "model")), "cpu", "float32")
        corpus = self._folder / "corpus.txt"
        corpus.write_text("\n\n".join(TEXT for _ in range(60)))
        sets = [msgspec.to_builtins(labelled(name=f"places {at}", rule=at != 1)) for at in range(3)]
        few = {"ks": [1, 3], "permutations": 9, "controls": 6, "text_tokens": 1000}
        small = {"width": 64, "tokens": 4000, "context": 64, "k": 4, "batch": 64, "held_out": 512, "passes": 20}
        self._asked: dict[str, dict[str, Any]] = {
            "refusal": {"harmful": instructions(HARMFUL), "harmless": instructions(HARMLESS), **SIZES},
            "battery": {"data": sets, **few},
            "sae-train": {"site": "L1.resid_post", "corpus": str(corpus), "name": SAE_NAME, **small},
            "index": {"corpus": str(corpus), "tokens": 20_000, "context": 64},
        }
        self._left_alone: dict[str, tuple[dict[str, str], float]] = {}
        self._killed = 0

    def one(self, chance: random.Random, kind: int | None = None) -> int:
        """One of them (`kind` says which); how often it was killed."""
        experiments = list(self._asked)
        return asyncio.run(self._one(chance, chance.choice(experiments) if kind is None else experiments[kind]))

    async def _one(self, chance: random.Random, experiment: str) -> int:
        if experiment not in self._left_alone:
            client = await self._ready()
            began = time.monotonic()
            session = self._folder / f"{experiment}-left-alone.db"
            numbers = self._numbers(session, await run_step(client, self._submit(session, experiment)))
            self._left_alone[experiment] = numbers, time.monotonic() - began
            await client.close()
        expected, seconds = self._left_alone[experiment]
        session = self._folder / f"{experiment}-{chance.randrange(10**9)}.db"
        kills = 0
        for _ in range(chance.choice([1, 1, 2, 3])):
            client = await self._ready()
            step = (await client.request(self._submit(session, experiment))).step
            await asyncio.sleep(chance.random() * seconds)
            await self._kill(client, control=chance.random() < 0.3)
            kills += 1
            if self._row(session, step).status == "done" or self._sae_made():
                break
        client = await self._ready()
        await client.request(Attach(session=str(session)))
        await until(client, lambda status: not status.jobs, START_SECONDS)
        row = self._row(session, step)
        assert row.status in ("done", "lost", "failed"), row
        if row.status != "done" and not self._sae_made():
            step = await run_step(client, self._submit(session, experiment))
        await client.close()
        numbers = self._numbers(session, step)
        assert numbers.items() <= expected.items(), f"{experiment} has other {dict(numbers.items() - expected.items())}"
        assert len(numbers) == len(expected) or row.status != "done", f"{experiment} has fewer results"
        return kills

    async def _kill(self, client: WorkerClient, control: bool) -> None:
        """Of the model process, or of the one that watches it: that one gives up after three within five minutes."""
        status = await until(client, lambda status: True)
        self._killed = 0 if control else self._killed + 1
        control = control or self._killed > 2
        os.kill(status.pid if control else status.model_pid, signal.SIGKILL)
        if control:
            self._killed = 0
            await client.closed.wait()
        await client.close()

    def _submit(self, session: Path, experiment: str) -> Submit:
        return Submit(session=str(session), experiment=experiment, params=self._asked[experiment], seed=3)

    async def _ready(self) -> WorkerClient:
        client = await connect(self._spec, client="test")
        await until(client, lambda status: status.stage == "ready", START_SECONDS)
        return client

    def _numbers(self, session: Path, step: int) -> dict[str, str]:
        """Of each scalar and view of the step, and of each folder that it made, a digest; the folders are removed."""
        made = [
            artifact
            for artifact in list_artifacts()
            if artifact.name == SAE_NAME
            or (artifact.kind in ("index", "activation store") and artifact.model == Path(self._spec.model).name)
        ]
        digests = {artifact.kind: artifact.hash for artifact in made}
        for artifact in made:
            kinds()[artifact.kind].remove(artifact)
        with SessionReader(session) as reader:
            record = reader.step(step)
            if record.status in ("lost", "failed") and "SAE" in digests:
                return digests  # it was killed once its result lay there, and a second of that name is refused
            assert record.status == "done", record.error
            digests |= {key: repr(number) for key, number in record.scalars.items()}
            digests |= {view.key: _digest(reader.load_view(view)) for view in reader.views(step)}
        return {key: digest for key, digest in digests.items() if key not in CLOCKED}

    @staticmethod
    def _sae_made() -> bool:
        return any(artifact.name == SAE_NAME for artifact in list_artifacts())

    @staticmethod
    def _row(session: Path, step: int) -> StepRow:
        with SessionReader(session) as reader:
            row = reader.row(step)
        assert row, step
        return row


def _digest(view: object) -> str:
    def plain(value: object) -> object:
        assert isinstance(value, (np.ndarray, np.generic)), type(value)
        return value.tobytes() if value.dtype != object else repr(value.tolist())

    return hashlib.sha256(msgspec.msgpack.encode(view, enc_hook=plain)).hexdigest()
