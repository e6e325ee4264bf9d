"""A model without torch: experiments by name, that do what a test needs. Opened with `--lab`.

The experiments are those of the package (their parameters are checked before), told apart by the prompt:
`wait:SECONDS`, `stuck`, `crash`, `exit`, `gpu:WHAT`, `fail:SENTENCE`, `defect`, `eof`, `hold:SECONDS`, `big:BYTES`,
`batches:N:SECONDS`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from workbench.artifacts.direction import Direction
from workbench.edits import Edit, parse_edits
from workbench.errors import UserError
from workbench.experiments import experiment
from workbench.judging import JudgeCommand
from workbench.model_info import ModelInfo
from workbench.report import Report
from workbench.views import Lines, Series, Text

INFO = ModelInfo(
    name="fake",
    ref="fake",
    architecture="Fake",
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    d_model=4,
    d_head=2,
    d_mlp=8,
    d_vocab=16,
    n_ctx=32,
    gated_mlp=False,
)


class FakeLab:
    def __init__(self, model: str) -> None:
        self.info = INFO
        self.model = model
        self.cancel_check: Callable[[], None] | None = None
        self.hooks = 0

    def hooks_installed(self) -> int:
        return self.hooks

    def memory(self) -> int:
        return 0

    def cached(self) -> int:
        return 3 << 20

    def free(self) -> int:
        return 5 << 30

    def identify(self) -> ModelInfo:
        return ModelInfo(**{name: getattr(INFO, name) for name in INFO.__struct_fields__} | {"fingerprint": "f" * 64})

    def execute(
        self,
        experiment: str,
        params: dict[str, Any],
        edits: Sequence[Edit],
        seed: int,
        report: Report,
        directions: Mapping[str, Direction],
        judge: JudgeCommand | None = None,
    ) -> None:
        if experiment == "arms":
            report.note("came with a judge" if judge else "came without a judge")
            return
        prompt = params["prompt"]
        if experiment == "tokens":  # asked while a prompt is typed: what it says shall not be done yet
            return
        what, _, rest = prompt.partition(":")
        for name, direction in directions.items():
            report.scalar(f"@{name}", float(direction.numbers.sum()))
            if direction.remark:
                report.note(direction.remark)
        report.say(f"began {prompt[:40]}")
        report.add("text", Text(title="text", text=prompt))
        match what:
            case "wait":
                self._wait(float(rest))
            case "parts":
                self._parts(report, rest)
            case "stuck":
                time.sleep(3600)
            case "hold":
                # Sleeps without giving the lock of the interpreter to any other thread.
                ctypes.PyDLL(None).usleep(int(float(rest) * 1e6))
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "fail":
                raise UserError(rest)
            case "gpu":
                raise RuntimeError(f"CUDA error: {rest}")
            case "defect":
                raise ZeroDivisionError("by nothing")
            case "eof":
                raise EOFError("No data left in file")
            case "leak":
                self.hooks = 1
                for _ in report.track(range(100), "batches"):
                    self._wait(0.05)
            case "make":  # two artifacts in one message with a view that has arrays, then one more
                vector = np.arange(1, 5, dtype=np.float32) * float(rest)
                report.add("made", _lines("made", np.arange(3.0)))
                for name in ("made", "other"):
                    report.uses(Direction(name=name, vector=vector.tobytes()).content, name, "made")
                    vector = -2 * vector
                for _ in report.track(range(2), "batches"):
                    self._wait(0.3)
                report.uses(Direction(name="late", vector=vector.tobytes()).content, "late", "made")
            case "big":
                values = np.zeros(int(rest) // 8)
                report.add("big", _lines("big", values))
            case "batches":
                count, seconds = rest.split(":")
                random = np.random.default_rng(seed)
                total = 0.0
                for batch in report.track(range(int(count)), "batches"):
                    self._wait(float(seconds))
                    total += float(random.random())
                    y = np.full(3, total)
                    report.add(
                        "sum", Lines(title=f"{batch}", x=y, series=[Series(name="a", y=y)], x_label="", y_label="")
                    )
                report.scalar("total", total)
        report.scalar("pid", os.getpid())
        report.say(f"did {prompt[:40]}")

    def _parts(self, report: Report, then: str) -> None:
        """Two parts under the step; with `fail` or `wait` the second does not end by itself, with `skip` one fails."""
        params = experiment("predict").params
        if then == "skip":
            with suppress(UserError), report.part("predict", params(prompt="part 0"), stage="first") as part:
                for _ in part.track(range(1), "things", stage="part 0"):
                    part.say("began part 0")
                    raise UserError("this part failed")
        for number in (1, 2):
            with report.part("predict", params(prompt=f"part {number}"), parse_edits([f"L1.N{number}=0"])) as part:
                for step in part.track(range(3), "things", stage=f"part {number}"):
                    part.add("text", Text(title="text", text=f"{number}: {step}"))
                part.say(f"did part {number}")
                if number == 2 and then == "fail":
                    raise UserError("the second part failed")
                if number == 2 and then == "wait":
                    self._wait(3600)
        report.add("text", Text(title="text", text="both parts"))

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.cancel_check:
                self.cancel_check()
            time.sleep(0.005)


def _lines(title: str, y: np.ndarray) -> Lines:
    return Lines(title=title, x=y, series=[Series(name="a", y=y)], x_label="x", y_label="y")


def open_fake(model: str, device: str, dtype: str, tell: Any) -> FakeLab:
    """`fake:WORDS` says what happens: `slow`, `none`, `dies`."""
    tell("finding", "looking for nothing", None, None)
    what = model.partition(":")[2]
    if what == "none":
        raise UserError("there is no model of this name")
    if what == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    tell("loading", "loading nothing", 0.5, None)
    if what == "slow":
        time.sleep(1.5)
    return FakeLab(model)
