"""A `why` step as its screen shows it, read from the session file in one go. No widget here.

Everything is read leniently: the file may be anybody's, and a step that runs has only its first views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from workbench.drawing.check import mismatch
from workbench.edits import Edit, SetTo
from workbench.errors import UserError
from workbench.result_keys import NextToken, Picked, Units, Verdict
from workbench.session.shell_lines import split_options
from workbench.shell import NO_LINE, shell_line
from workbench.tui.widgets.result.snapshot import ShownView, Snapshot, read_step
from workbench.units import format_units, parse_unit, parse_units
from workbench.views import Bars, Column, Heatmap, Histogram, Table, from_builtins

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.session.records import StepRecord

V = TypeVar("V", Bars, Heatmap, Histogram, Table)
EXPERIMENT = "why"
USER_SET = "own_set"
"""the role of what the user's own set leaves of the answer"""
TRIAL = "predict"
"""what shows the model with units switched off"""
_TRIALS = 30
"""the newest trials of a step that are read"""


class UnitLine(NamedTuple):
    """One neuron or head. Effects are changes of the metric when it alone is off."""

    unit: str
    estimate: float | None = None
    exact: float | None = None
    remaining: float | None = None
    """what is left of the answer"""
    beyond: bool = False
    """further out than other answers have any unit"""
    picked: int = 0
    """its place in the pick, from 1"""


class LikelyToken(NamedTuple):
    """A next token."""

    token: str
    p: float
    edited: float | None = None
    role: str = ""
    """`NextToken.ANSWER`, `NextToken.FOIL` or empty"""


class Level(NamedTuple):
    """What is left of the answer under something; `low` and `high` (5 and 95 %) where that is many."""

    role: str
    """a row of `Verdict`, or USER_SET"""
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
        return next((shown for shown in self.snapshot.views if shown.key == key), None)

    def view(self, key: str, kind: type[V]) -> V | None:
        """The view of this key, where it is there and whole."""
        shown = self.shown(key)
        view = shown.view if shown else None
        return view if isinstance(view, kind) and not mismatch(view) else None

    def records(self, key: str) -> list[dict[str, Any]]:
        """A table's rows, each by the keys of its columns."""
        view = self.view(key, Table)
        return view.records() if view is not None else []

    def column(self, view: str, key: str) -> Column | None:
        table = self.view(view, Table)
        return table.column(key) if table is not None else None

    @property
    def is_readable(self) -> bool:
        """Whether its tables have keys; those of sessions from before there were any are shown as plain tables."""
        tables = [shown.view for shown in self.snapshot.views if isinstance(shown.view, Table)]
        return not tables or any(column.key for table in tables for column in table.columns)

    @property
    def picked(self) -> tuple[str, ...]:
        """The units that the search picked, in the order in which they were taken."""
        return tuple(text for row in self.records(Picked.VIEW) if (text := _unit(row.get(Units.UNIT))))

    def units(self, kind: str) -> list[UnitLine]:
        """`Units.NEURONS` (those that were picked on top) or `Units.HEADS`, the largest effect first."""
        others: dict[str, UnitLine] = {}
        picked: dict[str, UnitLine] = {}
        for row in self.records(Picked.VIEW) if kind == Units.NEURONS else ():
            if unit := _unit(row.get(Units.UNIT)):
                picked[unit] = _line(unit, row)._replace(picked=len(picked) + 1)
        for row in self.records(kind):
            if unit := _unit(row.get(Units.UNIT)):
                line = _line(unit, row)
                if unit in picked:
                    picked[unit] = line._replace(picked=picked[unit].picked)
                else:
                    others[unit] = line
        return [*picked.values(), *others.values()]

    def counted(self, kind: str) -> tuple[int | None, int | None]:
        """How many units of a kind there are, and how many of them stand out from chance; None before that is known."""
        scalars = self.record.scalars
        total, beyond = _number(scalars.get(kind)), _number(scalars.get(Units.beyond(kind)))
        return None if total is None else int(total), None if beyond is None else int(beyond)

    @property
    def likely_tokens(self) -> list[LikelyToken]:
        """The likeliest next tokens with nothing off; answer and foil are among them."""
        return _likely(self.view(NextToken.VIEW, Table))

    def token_as(self, role: str) -> LikelyToken | None:
        """The answer or the foil as a token; None before it is known."""
        return next((token for token in self.likely_tokens if token.role == role), None)

    @property
    def quantity(self) -> str:
        """What levels are of: `p(' Paris')`, `logit ' Paris' − ' Lyon'`."""
        column = self.column(Verdict.VIEW, Verdict.LEFT)
        return column.quantity if column else ""

    @property
    def is_probability(self) -> bool:
        column = self.column(Verdict.VIEW, Verdict.LEFT)
        return column is not None and column.kind == "probability"

    @property
    def effects(self) -> str:
        """What estimates and exact effects are: `change of log p(' Paris'), nats`."""
        column = self.column(Units.NEURONS, Units.ESTIMATE)
        return column.quantity if column else ""

    @property
    def levels(self) -> list[Level]:
        """Nothing off, the pick, random ones; last those picked for other answers, the first to go for want of room."""
        levels = []
        table = self.view(Verdict.VIEW, Table)
        roles = table.row_keys if table is not None else []
        for role, row in zip(roles, self.records(Verdict.VIEW), strict=False):
            value = _number(row.get(Verdict.LEFT))
            if value is not None:
                is_group = role in (Verdict.RANDOM, Verdict.SAME_DISTANCE)
                n = str(row.get(Verdict.WHICH) or "") if is_group else ""
                ends = (_number(row.get(Verdict.LOW)), _number(row.get(Verdict.HIGH)))
                levels.append(Level(role, str(row.get(Verdict.WHAT)), value, *ends, n=n))
        return sorted(levels, key=lambda level: level.role == Verdict.OTHER_ANSWER)

    @property
    def is_noise(self) -> bool:
        """Whether the search has ended with nothing beyond what it is compared with."""
        return self.record.status == "done" and self.record.scalars.get(Verdict.IS_BEYOND) == 0

    @property
    def first(self) -> int:
        """The first position at which units are off: 1, or 0 where the prompt is one token."""
        where = self.view(Units.WHERE, Heatmap)
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
        unit_set = frozenset(units)
        return next((trial for trial in self.trials if trial.units == unit_set), None)

    @property
    def command_words(self) -> list[str]:
        """Of the `workbench why PROMPT ANSWER …` that it stands for."""
        words = list(self.snapshot.words)
        options = split_options(EXPERIMENT, words[3:])
        texts = {option[0]: option[-1] for option in options if option[0] in ("--prompt", "--answer")}
        if words[2:3] == [EXPERIMENT] and "--prompt" in texts and not any(text[:1] == "-" for text in texts.values()):
            rest = [word for option in options if option[0] not in texts for word in option]
            answer = [texts["--answer"]] if "--answer" in texts else []
            words = ["workbench", EXPERIMENT, texts["--prompt"], *answer, *rest]
        return words

    @property
    def shell_line(self) -> str:
        """The same as one types it; a sentence where nobody can."""
        words = self.command_words
        return shell_line(words) or NO_LINE if words else ""


def read_finding(reader: SessionReader, step: int, before: Finding | None) -> Finding:
    """The step as it is now, with what was tried on it; what has not changed is taken from `before`."""
    same = before if before is not None and before.record.id == step else None
    snapshot = read_step(reader, step, _views(same.snapshot if same else None))
    snapshots = {trial.snapshot.record.id: trial.snapshot for trial in same.trials} if same else {}
    children = [child for child, parent in reader.tree(step) if parent == step]
    rows = reader.rows_of(children[-_TRIALS:])
    trials = []
    for child in sorted(rows, reverse=True):
        if rows[child].experiment == TRIAL:
            previous = snapshots.get(child)
            child_snapshot = previous if previous and previous.finished else read_step(reader, child, _views(previous))
            if (units := _switched_off(child_snapshot.record, snapshot.record)) is not None:
                trials.append(Trial(units, child_snapshot))
    pins: set[str] = set()
    for pin in reader.pins():
        try:
            pins.update(map(str, parse_units(pin.unit)))
        except UserError:
            pins.add(pin.unit)  # of another model, or written elsewhere
    return Finding(snapshot=snapshot, trials=tuple(trials), pins=frozenset(pins))


def _views(snapshot: Snapshot | None) -> Mapping[str, ShownView]:
    return {shown.key: shown for shown in snapshot.views} if snapshot else {}


def _switched_off(trial: StepRecord, question: StepRecord) -> frozenset[str] | None:
    """The units that a step has off beside the edits of `question`; None for a step that is something else."""
    try:
        edits, base = _edits(trial), _edits(question)
    except UserError:
        return None
    if trial.params.get("prompt") != question.params.get("prompt") or edits[: len(base)] != base:
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


def trial_tokens(snapshot: Snapshot) -> list[LikelyToken]:
    """The likeliest next tokens of a trial, clean beside edited, clean order."""
    table = next((shown.view for shown in snapshot.views if shown.key == NextToken.VIEW), None)
    return _likely(table if isinstance(table, Table) and not mismatch(table) else None)


def _likely(table: Table | None) -> list[LikelyToken]:
    tokens = []
    for row in table.records() if table is not None else ():
        token, p = row.get(NextToken.TOKEN), _number(row.get(NextToken.PROBABILITY))
        if isinstance(token, str) and p is not None:
            edited, role = _number(row.get(NextToken.PROBABILITY_EDITED)), str(row.get(NextToken.ASKED) or "")
            tokens.append(LikelyToken(token, p, edited, role))
    return tokens


def _line(unit: str, row: dict[str, Any]) -> UnitLine:
    estimate, exact, remaining = (_number(row.get(key)) for key in (Units.ESTIMATE, Units.EXACT, Units.LEFT))
    return UnitLine(unit, estimate, exact, remaining, row.get(Units.BEYOND) == Units.YES)


def _unit(value: Any) -> str:
    try:
        return str(parse_unit(value)) if isinstance(value, str) else ""
    except UserError:
        return ""


def _number(value: Any) -> float | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300
    return float(value) if fine else None
