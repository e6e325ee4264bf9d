"""The Python API: the experiments of the terminal from a notebook, with NumPy arrays as results.

lab = open_lab("default", session="capitals.db")
result = lab.predict(prompt="The capital of France is", edits=["L12.N345=0"])
result.headline, result.scalars["kl"], result.arrays

def double(activation, context):               # a copy; a tensor or an array of its shape comes back
    return activation * 2
lab.predict(prompt="The capital of France is", edits=[("L5.resid_post", double)])

cache = lab.cache(["The capital of France is"], ["L5.resid_post"])
cache["L5.resid_post"]                         # float32 [prompt, position, d_model]
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.artifacts.direction import direction_names
from workbench.edits import Edit, Function
from workbench.experiments import experiment, experiments
from workbench.judging import read_command
from workbench.model_info import ModelInfo
from workbench.params import PROMPT_SET, Params, fields
from workbench.report import NextStep, Report
from workbench.session.directions import resolve_directions
from workbench.session.report_sink import SessionSink
from workbench.session.submission import Submission, expand_baskets, make_submission, read_edits
from workbench.session.typed_sets import read_sets
from workbench.settings import load
from workbench.view_arrays import view_arrays
from workbench.views import AnyView

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.cache import Cache
    from workbench.lab.editing import PythonEdit
    from workbench.session.writer import SessionWriter

EditLike = str | Edit | tuple[str, Callable[[Any, Any], Any]]
"""`L12.N345=0`, an edit object, or units and a Python function `(activation, context) -> activation`"""


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
            lab.set_fingerprint(lab.model.identity.read().result())
    except BaseException:
        if writer:
            writer.close()
        raise
    return OpenedLab(lab, writer)


@dataclass(frozen=True)
class Result:
    """The results of an experiment."""

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

    def run(
        self,
        name: str,
        /,
        *,
        edits: Sequence[EditLike] | EditLike = (),
        seed: int = 0,
        transfer: bool = False,
        judge: str = "",
        **params: Any,
    ) -> Result:
        """Run an experiment by its name. Parameters are those of `workbench run NAME --help`.

        `prompts` may be a list of texts, or of mappings with prompt, answer and foil; or a file, or `@NAME` of a stored
        set. With `transfer`, directions of another model of the same width may be used. `judge` is a command as in
        `--judge`. Raises UserError.
        """
        from workbench.execute import execute
        from workbench.lab.editing import PythonEdit

        stack = self._stack(edits)
        values, names = read_sets(experiment(name).params, params, str(self.session or ""))
        submission = make_submission(
            name,
            _builtin_params(experiment(name).params, values),
            _without_functions(stack),
            session=str(self.session or ""),
            info=self.info,
            model=self.info.ref,
            seed=seed,
            names=names,
            transfer=transfer,
            judge=read_command(judge, load().judge_seconds) if judge else None,
        )
        stack = [
            PythonEdit(edit, original.call) if isinstance(original, PythonEdit) and isinstance(edit, Function) else edit
            for original, edit in zip(stack, submission.edits, strict=True)
        ]
        sink = self._sink(submission, seed)
        report = Report(sink)
        report.earlier = submission.earlier
        try:
            execute(self._lab, name, submission.params, stack, seed, report, submission.directions, submission.judge)
        except BaseException as error:
            sink.end(report, error)
            raise
        sink.end(report)
        return Result(report.headline, report.scalars, report.views, report.notes, report.next_steps, sink.step)

    def cache(
        self,
        prompts: Sequence[str] | str,
        sites: Sequence[str] | str,
        *,
        edits: Sequence[EditLike] | EditLike = (),
        chat: bool = False,
        transfer: bool = False,
    ) -> Cache:
        """Activations at sites (`L5.resid_post`, `L*.mlp_post`) over prompts. Raises UserError.

        `transfer` as in `run`; a note that `run` would make of directions is not made.
        """
        from workbench.lab.cache import cache
        from workbench.lab.directions.fit import check_fit

        stack = self._stack(edits)
        names = direction_names(_without_functions(stack))
        directions = resolve_directions(names, str(self.session or ""), transfer=transfer)
        job = self._lab.job(stack, directions=directions)
        check_fit(job, directions, Report(SessionSink(None, None, 0, self.info, {}, directions)))
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
        return f"<{self.info.name} on {self.info.place} in {self.info.dtype}{logged}>"

    @staticmethod
    def _methods() -> list[str]:
        return [name.replace("-", "_") for name in experiments()]

    def _stack(self, edits: Sequence[EditLike] | EditLike) -> list[Edit | PythonEdit]:
        single = isinstance(edits, str | Edit) or (isinstance(edits, tuple) and len(edits) == 2 and callable(edits[1]))
        edit_list: Any = [edits] if single else edits
        stack: list[Edit | PythonEdit] = []
        for edit in edit_list:
            if isinstance(edit, str):
                session = str(self.session or "")
                stack += expand_baskets(read_edits([edit], session, self.info), session)
            elif isinstance(edit, tuple):
                stack.append(_python_edit(*edit))
            else:
                stack.append(edit)
        return stack

    def _sink(self, submission: Submission, seed: int) -> SessionSink:
        """Where the run's report goes; with a session, its step has begun."""
        if not self._writer:
            return SessionSink(None, None, seed, self.info, {}, submission.directions)
        from workbench.worker.engine import versions

        step = self._writer.submit(submission)
        sink = SessionSink(self._writer, step, seed, self.info, versions(), submission.directions)
        self._writer.start(step, self.info, sink.versions)
        return sink


def _without_functions(stack: Sequence[Edit | PythonEdit]) -> list[Edit]:
    """Edits as data: Python edits without their functions."""
    from workbench.lab.editing import PythonEdit

    return [edit.edit if isinstance(edit, PythonEdit) else edit for edit in stack]


def _python_edit(units: str, call: Callable[[Any, Any], Any]) -> PythonEdit:
    from workbench.lab.editing import PythonEdit

    try:
        source = textwrap.dedent(inspect.getsource(call))
    except (OSError, TypeError):
        source = repr(call)
    return PythonEdit(Function(units, source), call)


def _builtin_params(params: type[Params], values: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's values as an experiment's parameters take them: plain data."""
    sets = {field.name for field in fields(params) if field.kind is PROMPT_SET}
    return {name: _rows(value) if name in sets else _builtin(value) for name, value in values.items()}


def _rows(prompts: Sequence[Any]) -> list[Any]:
    """Rows of a prompt set: texts, mappings or PromptRows."""
    return [
        {"prompt": row} if isinstance(row, str) else dict(row) if isinstance(row, Mapping) else row for row in prompts
    ]


def _builtin(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
