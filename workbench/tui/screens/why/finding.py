"""A `why` step as its screen shows it, read from the session file in one go. No widget here.

Everything is read leniently: the file may be anybody's, and a step that runs has only its first views.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from workbench.drawing.check import mismatch
from workbench.edits import Edit, SetTo
from workbench.errors import UserError
from workbench.tui.widgets.result.snapshot import ShownView, Snapshot, read_step
from workbench.units import format_units, parse_unit, parse_units
from workbench.views import Bars, Heatmap, Histogram, Table, from_builtins

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord

V = TypeVar("V", Bars, Heatmap, Histogram, Table)
EXPERIMENT = "why"
TRIAL = "predict"
"""what shows the model with units switched off"""
_TRIALS = 30
"""the newest trials of a step that are read"""


class UnitLine(NamedTuple):
    """One neuron or head. Effects are changes of the metric when it alone is off."""

    unit: str
    estimate: float | None = None
    exact: float | None = None
    then: float | None = None
    """what is left of the answer"""
    beyond: bool = False
    """further out than other answers have any unit"""
    picked: int = 0
    """its place in the pick, from 1"""


class Likely(NamedTuple):
    """A next token."""

    token: str
    p: float
    edited: float | None = None
    asked: str = ""
    """`answer`, `foil` or empty"""


class Level(NamedTuple):
    """What is left of the answer under something; `low` and `high` (5 and 95 %) where that is many."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: str = ""


class Trial(NamedTuple):
    """A logged step with units switched off, under the step that asked."""

    units: frozenset[str]
    snapshot: Snapshot


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a step so far."""

    snapshot: Snapshot
    trials: tuple[Trial, ...]
    """the newest first"""
    pins: frozenset[str]

    @property
    def record(self) -> StepRecord:
        return self.snapshot.record

    @property
    def params(self) -> dict[str, Any]:
        return self.record.params

    @property
    def question(self) -> dict[str, Any]:
        """Prompt, answer, foil and template, for a step under it."""
        names = ("prompt", "answer", "foil", "chat")
        return {name: self.params[name] for name in names if self.params.get(name)}

    def shown(self, key: str) -> ShownView | None:
        return next((one for one in self.snapshot.views if one.key == key), None)

    def view(self, key: str, kind: type[V]) -> V | None:
        """The view of this key, where it is there and whole."""
        found = self.shown(key)
        view = found.view if found else None
        return view if isinstance(view, kind) and not mismatch(view) else None

    def cells(self, key: str) -> list[dict[str, Any]]:
        """A table's rows, each by the names of its columns."""
        view = self.view(key, Table)
        if view is None:
            return []
        names = [column.name for column in view.columns]
        return [dict(zip(names, row, strict=False)) for row in view.rows]

    @property
    def picked(self) -> tuple[str, ...]:
        """The units that the search picked, in the order in which they were taken."""
        return tuple(text for row in self.cells("picked") if (text := _unit(row.get("neuron"))))

    def units(self, kind: str) -> list[UnitLine]:
        """`neurons` (those that were picked on top) or `heads`, the largest effect first."""
        known: dict[str, UnitLine] = {}
        picked: dict[str, UnitLine] = {}
        for row in self.cells("picked") if kind == "neurons" else ():
            if unit := _unit(row.get("neuron")):
                picked[unit] = _line(unit, row)._replace(picked=len(picked) + 1)
        for row in self.cells(kind):
            if unit := _unit(row.get(kind.removesuffix("s"))):
                line = _line(unit, row)
                if unit in picked:
                    picked[unit] = line._replace(picked=picked[unit].picked)
                else:
                    known[unit] = line
        return [*picked.values(), *known.values()]

    @property
    def likely(self) -> list[Likely]:
        """The likeliest next tokens with nothing off; answer and foil are among them."""
        return [
            Likely(row["token"], p, asked=str(row.get("asked") or ""))
            for row in self.cells("next")
            if isinstance(row.get("token"), str) and (p := _number(row.get("probability"))) is not None
        ]

    def asked(self, what: str) -> Likely | None:
        """The `answer` or the `foil` as a token; None before it is known."""
        return next((one for one in self.likely if one.asked == what), None)

    @property
    def quantity(self) -> str:
        """What levels are of: `p(' Paris')`, `logit ' Paris' − ' Lyon'`."""
        view = self.view("verdict", Table)
        return view.columns[2].name if view is not None and len(view.columns) > 2 else ""

    @property
    def is_probability(self) -> bool:
        view = self.view("verdict", Table)
        return view is not None and len(view.columns) > 2 and view.columns[2].kind == "probability"

    @property
    def effects(self) -> str:
        """What estimates and exact effects are: `change of log p(' Paris'), nats`."""
        view = self.view("neurons", Table)
        helps = (column.help.partition(": ")[2] for column in view.columns if column.name == "estimate") if view else ()
        return next(iter(helps), "")

    @property
    def levels(self) -> list[Level]:
        """Nothing off, the pick, random ones; last those picked for other answers, the first to go for want of room."""
        found = []
        for row in self.cells("verdict"):
            value = _number(row.get(self.quantity))
            if value is not None:
                n = str(row.get("which") or "")
                ends = (_number(row.get("5 %")), _number(row.get("95 %")))
                found.append(Level(str(row.get("what")), value, *ends, n=n if n.startswith("n ") else ""))
        return sorted(found, key=lambda one: one.name.startswith("picked for"))

    @property
    def first(self) -> int:
        """The first position at which units are off: 1, or 0 where the prompt is one token."""
        where = self.view("where", Heatmap)
        return 0 if where is not None and where.values.shape[1] == 1 else 1

    def base(self) -> list[Edit]:
        """The edits under which it was asked. Raises UserError for ones from a notebook."""
        return _edits(self.record)

    def off_text(self, units: list[str]) -> str:
        """The edit that switches these off, as one types it."""
        parsed = [parse_unit(unit) for unit in units]
        where = f"[{self.first}-]" if self.first else ""
        return f"{format_units(parsed)}{where}=0"

    def trial(self, units: list[str]) -> Trial | None:
        """The newest step in which exactly these are off."""
        wanted = frozenset(units)
        return next((one for one in self.trials if one.units == wanted), None)

    @property
    def shell_line(self) -> str:
        """The `workbench why PROMPT ANSWER …` that it stands for."""
        command = self.record.command
        try:
            words = shlex.split(command)
        except ValueError:
            return command
        if words[:3] != ["workbench", "run", EXPERIMENT]:
            return command
        given, rest = {}, []
        at = 3
        while at < len(words):
            if words[at] in ("--prompt", "--answer") and at + 1 < len(words) and not words[at + 1].startswith("-"):
                given[words[at]] = words[at + 1]
                at += 2
            else:
                rest.append(words[at])
                at += 1
        if "--prompt" not in given:
            return command
        return shlex.join(["workbench", EXPERIMENT, given.pop("--prompt"), *given.values(), *rest])


def read_finding(reader: SessionReader, step: int, before: Finding | None) -> Finding:
    """The step as it is now, with what was tried on it; what has not changed is taken from `before`."""
    same = before if before is not None and before.record.id == step else None
    snapshot = read_step(reader, step, _views(same.snapshot if same else None))
    known = {one.snapshot.record.id: one.snapshot for one in same.trials} if same else {}
    children = [child for child, parent in reader.tree(step) if parent == step]
    rows = reader.rows_of(children[-_TRIALS:])
    trials = []
    for child in sorted(rows, reverse=True):
        if rows[child].experiment == TRIAL:
            had = known.get(child)
            fresh = had if had and had.finished else read_step(reader, child, _views(had))
            if (units := _switched_off(fresh.record, snapshot.record)) is not None:
                trials.append(Trial(units, fresh))
    pins: set[str] = set()
    for pin in reader.pins():
        try:
            pins.update(map(str, parse_units(pin.unit)))
        except UserError:
            pins.add(pin.unit)  # of another model, or written elsewhere
    return Finding(snapshot=snapshot, trials=tuple(trials), pins=frozenset(pins))


def _views(snapshot: Snapshot | None) -> Mapping[str, ShownView]:
    return {shown.key: shown for shown in snapshot.views} if snapshot else {}


def _switched_off(trial: StepRecord, asked: StepRecord) -> frozenset[str] | None:
    """The units that a step has off beside the edits of `asked`; None for a step that is something else."""
    try:
        edits, base = _edits(trial), _edits(asked)
    except UserError:
        return None
    if trial.params.get("prompt") != asked.params.get("prompt") or edits[: len(base)] != base:
        return None
    off: set[str] = set()
    for edit in edits[len(base) :]:
        if not isinstance(edit, SetTo) or edit.value != 0:
            return None
        try:
            off.update(map(str, parse_units(edit.units)))
        except UserError:
            return None
    return frozenset(off) or None


def _edits(record: StepRecord) -> list[Edit]:
    try:
        edits: list[Edit] = from_builtins(record.edits, as_type=list[Edit])
    except ValueError:
        raise UserError(f"the edits of step {record.id} can't be taken over: they came from a notebook") from None
    return edits


def trial_tokens(snapshot: Snapshot) -> list[Likely]:
    """The likeliest next tokens of a trial, clean beside edited, clean order."""
    table = next((one.view for one in snapshot.views if one.key == "next"), None)
    if not isinstance(table, Table) or mismatch(table):
        return []
    names = [column.name for column in table.columns]
    found = []
    for row in table.rows:
        cells = dict(zip(names, row, strict=False))
        p, edited = _number(cells.get("clean")), _number(cells.get("edited"))
        if isinstance(cells.get("token"), str) and p is not None:
            found.append(Likely(cells["token"], p, edited))
    return found


def _line(unit: str, row: dict[str, Any]) -> UnitLine:
    estimate, exact, then = map(_number, (row.get("estimate"), row.get("exact"), row.get("then")))
    return UnitLine(unit, estimate, exact, then, row.get("beyond chance") == "yes")


def _unit(value: Any) -> str:
    try:
        return str(parse_unit(value)) if isinstance(value, str) else ""
    except UserError:
        return ""


def _number(value: Any) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300
    return float(value) if fine else None
