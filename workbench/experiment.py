"""Experiments: parameters in; a sentence, views and scalars out. One definition serves every front.

An experiment is a module in `workbench.experiments` with a docstring, `Params` and `run(lab, params, report)`; one that
takes long has `cost(params, info)` too.
From it follow the form, the flags, the JSON in the log, validation, replay and help.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from workbench.edits import Edit
from workbench.errors import UserError
from workbench.views import AnyView

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

T = TypeVar("T")


# --- parameters ---------------------------------------------------------------------------------


class PromptRow(msgspec.Struct, frozen=True):
    """One line of a prompt set."""

    prompt: str
    answer: str = ""
    foil: str = ""


class Params(msgspec.Struct, kw_only=True, frozen=True):
    """Base of every experiment's parameters.

    A field is `name: Annotated[type, Meta(description=…, extra={"unit": …, "example": …, "flag": False})] = default`.
    Plain types only (str, int, float, bool, lists of them), so that flags, forms and JSON agree.
    """


class PromptParams(Params, kw_only=True, frozen=True):
    """What every experiment on prompts takes: one prompt, or a set of them."""

    prompt: Annotated[
        str, Meta(description="the text the model reads", extra={"example": "The capital of France is"})
    ] = ""
    prompts: Annotated[
        list[PromptRow],
        Meta(description="a file of prompts instead: text (one a line) or JSONL with prompt, answer, foil"),
    ] = []
    chat: Annotated[bool, Meta(description="put the prompt into the model's chat template")] = False

    def rows(self) -> list[PromptRow]:
        """The prompts with their answers and foils. Raises UserError where there is none."""
        if self.prompts and self.prompt:
            raise UserError("a prompt and a prompt file were both given: leave one out")
        if self.prompts:
            return self.prompts
        return [PromptRow(self.prompt, getattr(self, "answer", ""), getattr(self, "foil", ""))]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter as forms, flags and listings show it."""

    name: str
    type: str
    """str, int, float, bool, prompts, or list"""
    default: Any
    help: str
    unit: str = ""
    example: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    more: bool = False
    """belongs under "more" in a form"""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


class NextStep(msgspec.Struct, kw_only=True):
    """A further experiment that a result suggests, filled in."""

    label: str
    experiment: str
    params: dict[str, Any] = {}
    edits: list[str] | None = None
    """edit texts; None keeps the ones that are on"""


class Progress(msgspec.Struct, kw_only=True):
    """How far a step is. `total` is None where it is not known."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    started: float = 0.0
    """seconds since the epoch"""
    stage: str = ""


class Cost(msgspec.Struct, kw_only=True, frozen=True):
    """How much work a run is, in whole forward passes."""

    passes: float
    tokens: float
    """of each pass"""
    typical: bool = True
    """a run does all of it, so that its time tells the rate; not where part of it may be there already"""

    @property
    def work(self) -> float:
        """Tokens."""
        return self.passes * self.tokens


# --- the report an experiment writes to ---------------------------------------------------------


class Sink(Protocol):
    """Where a report goes: the worker's pipe, or a notebook."""

    def changed(self, report: Report) -> None:
        """Something was added; the sink may publish now or later (at most four times a second)."""

    def between_batches(self, report: Report) -> None:
        """Raises Cancelled if the step was cancelled; waiting interactive work gets its turn."""

    def streamed(self, report: Report) -> None:
        """Like `changed`, in the middle of a batch (generation): publishes, never runs other work."""


class PartSink(Sink, Protocol):
    """Where a part of a step goes: a step of its own under it."""

    def done(self, report: Report) -> None:
        """The part has said all it has to say."""


class StepsSink(Sink, Protocol):
    """A sink that keeps parts as steps; others (peeks, notebooks) keep the whole only."""

    def part(self, experiment: str, params: dict[str, Any], edits: Sequence[Edit]) -> PartSink:
        """Begin a part."""


class _Unkept:
    """A part that is not kept: cancel and turns are the whole's."""

    def __init__(self, whole: Report) -> None:
        self._whole = whole

    def changed(self, report: Report) -> None:
        return

    def between_batches(self, report: Report) -> None:
        self._whole._sink.between_batches(self._whole)

    def streamed(self, report: Report) -> None:
        return

    def done(self, report: Report) -> None:
        return


class Report:
    """What an experiment has to say so far. All of it is kept if the step is cancelled or fails."""

    def __init__(self, sink: Sink, whole: Report | None = None) -> None:
        self._sink = sink
        self._whole = whole
        """the report this is a part of"""
        self.headline = ""
        self.scalars: dict[str, float | None] = {}
        self.views: dict[str, AnyView] = {}
        """by key, in the order they were first added; the first is the main view"""
        self.dirty: set[str] = set()
        """keys of views changed since the sink last published"""
        self.notes: list[str] = []
        self.next_steps: list[NextStep] = []
        self.progress = Progress()

    def say(self, headline: str) -> None:
        """The sentence the step leads with."""
        self.headline = headline
        self._sink.changed(self)

    def scalar(self, name: str, value: float | None) -> None:
        """A named number for `--json` and comparisons; nan is kept as None."""
        self.scalars[name] = None if value is None or math.isnan(value) else float(value)

    def add(self, key: str, view: AnyView) -> None:
        """Add a view, or replace the one with this key."""
        self.views[key] = view
        self.dirty.add(key)
        self._sink.changed(self)

    def stream(self, key: str, view: AnyView) -> None:
        """Replace a view from inside a batch, for example at each generated token."""
        self.views[key] = view
        self.dirty.add(key)
        self._sink.streamed(self)

    def note(self, sentence: str) -> None:
        """Something the reader must know: a halved batch, a truncated prompt. Said once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self._sink.changed(self)

    def expect(self, sentence: str) -> None:
        """What the run will take, before it begins."""
        self.progress = Progress(stage=sentence)
        self._progressed()

    def suggest(self, step: NextStep) -> None:
        """Up to three next steps, filled in."""
        self.next_steps = [*self.next_steps, step][:3]

    @contextmanager
    def part(self, experiment: str, params: Params, edits: Sequence[Edit] = ()) -> Iterator[Report]:
        """A report for one part of this step, logged as a step under it: same model, its own parameters and edits.

        with report.part("sweep", params) as part:
            sweep.run(lab, params, part)
        """
        sink: PartSink = _Unkept(self)
        if hasattr(self._sink, "part"):
            sink = cast(StepsSink, self._sink).part(experiment, params_builtins(params), edits)
        part = Report(sink, self)
        yield part
        sink.done(part)

    def track(self, batches: Iterable[T], unit: str, total: float | None = None, stage: str = "") -> Iterator[T]:
        """Loop over `batches`: the one place where progress is told and cancel is noticed."""
        import time

        if total is None and isinstance(batches, Sized):
            total = len(batches)
        self.progress = Progress(total=total, unit=unit, started=time.time(), stage=stage)
        self._progressed()
        for batch in batches:
            self._sink.between_batches(self)
            yield batch
            self.progress.done += 1
            self._progressed()
        self._sink.between_batches(self)

    def _progressed(self) -> None:
        self._sink.changed(self)
        if self._whole is not None:
            self._whole.progress = self.progress
            self._whole._progressed()


# --- the registry --------------------------------------------------------------------------------


class Experiment(msgspec.Struct, frozen=True):
    """A module of `workbench.experiments`, as data."""

    name: str
    summary: str
    """the docstring's first line"""
    help: str
    params: type[Params]
    run: Callable[[Lab, Any, Report], None]
    takes_edits: bool
    batch: bool = False
    """takes long: interactive work goes between its batches"""
    cost: Callable[[Any, ModelInfo], Cost | None] | None = None
    """what a run will take, where that is worth saying before it begins; from parameters that may be no good"""


@cache
def experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order a newcomer meets them (each module's ORDER)."""
    package = importlib.import_module("workbench.experiments")
    modules = [
        importlib.import_module(f"workbench.experiments.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
        if not found.name.startswith("_")
    ]
    modules.sort(key=lambda module: (module.ORDER, module.__name__))
    return {found.name: found for found in map(_experiment, modules)}


def _experiment(module: ModuleType) -> Experiment:
    text = (module.__doc__ or "").strip()
    return Experiment(
        name=module.__name__.rpartition(".")[2].replace("_", "-"),
        summary=text.splitlines()[0].rstrip("."),
        help=text,
        params=module.Params,
        run=module.run,
        takes_edits=getattr(module, "TAKES_EDITS", True),
        batch=getattr(module, "BATCH", False),
        cost=getattr(module, "cost", None),
    )


def experiment(name: str) -> Experiment:
    """Raises UserError naming the ones there are."""
    found = experiments().get(name)
    if not found:
        raise UserError(f"there is no experiment {name!r}: there are {', '.join(experiments())}")
    return found


@cache
def fields(params: type[Params]) -> tuple[Field, ...]:
    """A Params class as a list of fields, in its order."""
    hints = get_type_hints(params, include_extras=True)
    return tuple(_field(info, hints[info.name]) for info in msgspec.structs.fields(params))


def _field(info: Any, hint: Any) -> Field:
    meta: Meta | None = None
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        meta = next((item for item in rest if isinstance(item, Meta)), None)
    extra = (meta.extra if meta else None) or {}
    kind = {str: "str", int: "int", float: "float", bool: "bool"}.get(hint)
    choices: tuple[str, ...] = ()
    if kind is None:
        if str(get_origin(hint)) == "typing.Literal":
            kind, choices = "str", get_args(hint)
        elif get_args(hint) and get_args(hint)[0] is PromptRow:
            kind = "prompts"
        else:
            kind = "list"
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    low = meta and (meta.ge if meta.ge is not None else meta.gt)
    high = meta and (meta.le if meta.le is not None else meta.lt)
    return Field(
        name=info.name,
        type=kind,
        default=default,
        help=(meta.description if meta else None) or "",
        unit=extra.get("unit", ""),
        example=str(extra.get("example", "")),
        choices=choices,
        minimum=low,
        maximum=high,
        more=bool(extra.get("more", False)),
    )


def make_params(params: type[Params], values: dict[str, Any]) -> Any:
    """A validated Params. Strings are read as the field's type. Raises UserError naming field and bounds."""
    known = {field.name: field for field in fields(params)}
    for name in values:
        if name not in known:
            raise UserError(f"there is no parameter {name!r} here: there are {', '.join(known)}")
    typed = {name: _number_typed(value) if known[name].type == "float" else value for name, value in values.items()}
    try:
        return msgspec.convert(typed, params, strict=False)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at `$.")
        name = where.strip("`").partition("[")[0].partition(".")[0]
        field = known.get(name)
        shown = f" ({field.help}; for example {field.flag} {field.example or field.default})" if field else ""
        raise UserError(f"{name or 'a parameter'}: {sentence[0].lower()}{sentence[1:]}{shown}") from None


def _number_typed(value: Any) -> Any:
    """`.5` and `1e-3` as people type them; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def params_builtins(params: Params) -> dict[str, Any]:
    """Parameters as plain data, for the log and `--json`."""
    plain: dict[str, Any] = msgspec.to_builtins(params)
    return plain


def command_line(
    name: str,
    params: Params,
    edits: Sequence[Edit] = (),
    *,
    model: str | None = None,
    seed: int | None = None,
) -> str:
    """The `workbench run …` line that a step stands for."""
    words = ["workbench", "run", name]
    for field in fields(type(params)):
        value = getattr(params, field.name)
        if value == field.default:
            continue
        if field.type == "bool":
            words.append(field.flag if value else "--no-" + field.name.replace("_", "-"))
        elif field.type == "prompts":
            words += [field.flag, "prompts.jsonl"]
        elif field.type == "list":
            words += [field.flag, ",".join(map(str, value))]
        else:
            words += [field.flag, str(value)]
    for edit in edits:
        words += ["--edit", str(edit)]
    if model:
        words += ["--model", model]
    if seed:
        words += ["--seed", str(seed)]
    return shlex.join(words)
