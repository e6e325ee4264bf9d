"""The Python API: the experiments of the terminal from a notebook, with NumPy arrays as results.

lab = open_lab("default", session="capitals.db")
found = lab.predict(prompt="The capital of France is", edits=["L12.N345=0"])
found.headline, found.scalars["kl"], found.arrays

def double(activation, context):               # a copy; a tensor or an array of its shape comes back
    return activation * 2
lab.predict(prompt="The capital of France is", edits=[("L5.resid_post", double)])

cache = lab.cache(["The capital of France is"], ["L5.resid_post"])
cache["L5.resid_post"]                         # float32 [prompt, position, d_model]
"""

from __future__ import annotations

import inspect
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.artifacts.direction import Direction, direction_names
from workbench.edits import Edit, Function
from workbench.errors import Cancelled, UserError
from workbench.experiments import experiment, experiments
from workbench.model_info import ModelInfo
from workbench.params import PROMPT_SET, Params, fields
from workbench.report import NextStep, Report
from workbench.session.directions import resolve_directions
from workbench.session.submission import Submission, expand_baskets, make_submission, read_edits
from workbench.session.typed_sets import read_sets
from workbench.view_arrays import view_arrays
from workbench.views import AnyView

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.cache import Cache
    from workbench.lab.editing import PythonEdit
    from workbench.session.update import Update
    from workbench.session.writer import SessionWriter

EditLike = str | Edit | tuple[str, Callable[[Any, Any], Any]]
"""`L12.N345=0`, an edit object, or units and a Python function `(activation, context) -> activation`"""

PUBLISH_EVERY = 0.25
"""seconds between two writings of a running step"""


def open_lab(
    model: str = "default", session: str | Path | None = None, device: str = "auto", dtype: str = "auto"
) -> OpenedLab:
    """Load a model (a hub id, a folder, or `default`) and, with `session`, log every run into that file.

    Raises UserError where the model can't be had or the session can't be written.
    """
    from workbench.lab.finding.source import resolve

    source = resolve(model)
    writer = None
    if session is not None:
        from workbench.session.writer import SessionWriter

        writer = SessionWriter(session)
    try:
        from workbench.lab.model import load_lab

        lab = load_lab(source, device, dtype)
        if writer and not lab.info.fingerprint:
            from workbench.lab.finding.fingerprint import fingerprint

            lab.set_fingerprint(fingerprint(source))
    except BaseException:
        if writer:
            writer.close()
        raise
    return OpenedLab(lab, writer)


@dataclass(frozen=True)
class Result:
    """What an experiment found."""

    headline: str
    scalars: dict[str, float | None]
    views: dict[str, AnyView]
    """by key; the first is the main one"""
    notes: list[str]
    """what the reader must know: a halved batch, an answer of several tokens"""
    next_steps: list[NextStep]
    step: int | None = None
    """its number in the session, where there is one"""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in the views as arrays, by `title.part`; what `--out FILE.npz` saves."""
        return view_arrays(self.views.values())

    def __str__(self) -> str:
        return self.headline


class OpenedLab:
    """A loaded model. Every experiment is a method: `lab.predict(prompt=…)`, `lab.logit_lens(prompt=…)`."""

    def __init__(self, lab: Lab, writer: SessionWriter | None = None) -> None:
        self._lab = lab
        self._writer = writer

    @property
    def info(self) -> ModelInfo:
        """The model's name, identity and shape."""
        return self._lab.info

    @property
    def session(self) -> Path | None:
        """The file that runs are logged in."""
        return self._writer.path if self._writer else None

    def run(self, name: str, *, edits: Sequence[EditLike] | EditLike = (), seed: int = 0, **params: Any) -> Result:
        """Run an experiment by its name. Parameters are those of `workbench run NAME --help`.

        `prompts` may be a list of texts, or of mappings with prompt, answer and foil; or a file, or `@NAME` of a stored
        set. Raises UserError.
        """
        from workbench.execute import execute
        from workbench.lab.editing import PythonEdit

        stack = self._stack(edits)
        values, names = read_sets(experiment(name).params, params, str(self.session or ""))
        asked = make_submission(
            name,
            _plain(experiment(name).params, values),
            _plain_edits(stack),
            session=str(self.session or ""),
            info=self.info,
            model=self.info.ref,
            seed=seed,
            names=names,
        )
        stack = [
            PythonEdit(edit, given.call) if isinstance(given, PythonEdit) and isinstance(edit, Function) else edit
            for given, edit in zip(stack, asked.edits, strict=True)
        ]
        step = self._begin(asked)
        sink = _Sink(self._writer, step, seed, self.info, asked.directions)
        report = Report(sink)
        try:
            execute(self._lab, name, asked.params, stack, seed, report, asked.directions)
        except BaseException as error:
            for part, said in sink.open.items():
                self._end(part, said, error)
            self._end(step, report, error)
            raise
        self._end(step, report, None)
        return Result(report.headline, report.scalars, report.views, report.notes, report.next_steps, step)

    def cache(
        self,
        prompts: Sequence[str] | str,
        sites: Sequence[str] | str,
        *,
        edits: Sequence[EditLike] | EditLike = (),
        chat: bool = False,
    ) -> Cache:
        """Activations at sites (`L5.resid_post`, `L*.mlp_post`) over prompts. Raises UserError."""
        from workbench.lab.cache import cache

        stack = self._stack(edits)
        directions = resolve_directions(direction_names(_plain_edits(stack)), str(self.session or ""))
        job = self._lab.job(stack, directions=directions)
        return cache(job, prompts, sites, job.edits, chat)

    def close(self) -> None:
        """Ends the session's file; the model stays usable, unlogged."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> OpenedLab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Callable[..., Result]:
        if name.startswith("_") or name.replace("_", "-") not in experiments():
            raise AttributeError(f"there is no {name!r} here: the experiments are {', '.join(self._methods())}")

        def run(**params: Any) -> Result:
            return self.run(name.replace("_", "-"), **params)

        run.__doc__ = experiment(name.replace("_", "-")).help
        return run

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._methods()]

    def __repr__(self) -> str:
        logged = f", logged in {self.session}" if self.session else ""
        return f"<{self.info.name} on {self.info.device} in {self.info.dtype}{logged}>"

    @staticmethod
    def _methods() -> list[str]:
        return [name.replace("-", "_") for name in experiments()]

    def _stack(self, edits: Sequence[EditLike] | EditLike) -> list[Edit | PythonEdit]:
        single = isinstance(edits, str | Edit) or (isinstance(edits, tuple) and len(edits) == 2 and callable(edits[1]))
        given: Any = [edits] if single else edits
        stack: list[Edit | PythonEdit] = []
        for edit in given:
            if isinstance(edit, str):
                session = str(self.session or "")
                stack += expand_baskets(read_edits([edit], session, self.info), session)
            elif isinstance(edit, tuple):
                stack.append(_python_edit(*edit))
            else:
                stack.append(edit)
        return stack

    def _begin(self, asked: Submission) -> int | None:
        if not self._writer:
            return None
        from workbench.worker.engine import versions

        step = self._writer.submit(asked)
        self._writer.start(step, self.info, versions())
        return step

    def _end(self, step: int | None, report: Report, error: BaseException | None) -> None:
        if self._writer is None or step is None:
            return
        if error is None:
            self._writer.apply(step, _update(report), "done")
        elif isinstance(error, Cancelled | KeyboardInterrupt):
            self._writer.apply(step, _update(report), "cancelled")
        else:
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._writer.apply(step, _update(report), "failed", said)


@dataclass
class _Sink:
    """Where a report goes: into the session, at most four times a second; Ctrl+C is the cancel."""

    writer: SessionWriter | None
    step: int | None
    seed: int
    info: ModelInfo
    directions: Mapping[str, Direction]
    """that the step came with"""
    open: dict[int, Report] = field(default_factory=dict)
    """parts that have begun and are not done, by their steps"""
    published: float = field(default_factory=time.monotonic)

    def changed(self, report: Report) -> None:
        now = time.monotonic()
        if self.writer and self.step is not None and now - self.published >= PUBLISH_EVERY:
            self.published = now
            self.writer.apply(self.step, _update(report))

    def streamed(self, report: Report) -> None:
        self.changed(report)

    def between_batches(self, report: Report) -> None:
        return

    def part(self, experiment_name: str, params: dict[str, Any], edits: Sequence[Edit]) -> _PartSink:
        """A step under this one."""
        if self.writer is None or self.step is None:
            return _PartSink(None, None, self.seed, self.info, {})
        from workbench.worker.engine import versions

        asked = make_submission(
            experiment_name,
            params,
            edits,
            info=self.info,
            model=self.info.ref,
            seed=self.seed,
            directions=self.directions,
        )
        step = self.writer.submit(asked, parent=self.step, origin="part")
        self.writer.start(step, self.info, versions())
        return _PartSink(self.writer, step, self.seed, self.info, {}, whole=self)


@dataclass
class _PartSink(_Sink):
    """Of a part of a step."""

    whole: _Sink | None = None

    def changed(self, report: Report) -> None:
        if self.whole and self.step is not None:
            self.whole.open[self.step] = report
        super().changed(report)

    def done(self, report: Report) -> None:
        if self.writer and self.step is not None:
            self.writer.apply(self.step, _update(report), "done")
            if self.whole:
                self.whole.open.pop(self.step, None)


def _update(report: Report) -> Update:
    """What is new in a report since the last one."""
    from workbench.session.encode import encode_views
    from workbench.session.update import Update

    views = encode_views(report.views, set(report.dirty))
    report.dirty.clear()
    return Update(
        headline=report.headline,
        scalars=report.scalars,
        progress=report.progress,
        remarks=report.notes,
        next_steps=report.next_steps,
        views=views,
        artifacts=report.artifacts,
    )


def _plain_edits(stack: Sequence[Edit | PythonEdit]) -> list[Edit]:
    """As data: Python edits without their functions."""
    from workbench.lab.editing import PythonEdit

    return [edit.edit if isinstance(edit, PythonEdit) else edit for edit in stack]


def _python_edit(units: str, call: Callable[[Any, Any], Any]) -> PythonEdit:
    from workbench.lab.editing import PythonEdit

    try:
        source = textwrap.dedent(inspect.getsource(call))
    except (OSError, TypeError):
        source = repr(call)
    return PythonEdit(Function(units, source), call)


def _plain(params: type[Params], values: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's values as the parameters want them."""
    sets = {field.name for field in fields(params) if field.kind is PROMPT_SET}
    return {name: _rows(value) if name in sets else _builtin(value) for name, value in values.items()}


def _rows(prompts: Sequence[Any]) -> list[Any]:
    """Rows of a prompt set: texts, mappings or PromptRows."""
    return [
        {"prompt": row} if isinstance(row, str) else dict(row) if isinstance(row, Mapping) else row for row in prompts
    ]


def _builtin(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
