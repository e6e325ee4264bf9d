"""What units do over a prompt: neurons, heads, sites, directions.

One number a token: a neuron's activation (in a gated MLP also its gate and linear parts, whose product it is), the norm
of what a head adds to the stream, the norm of a site, the projection of the stream on a named direction at every layer.
Under edits clean stands beside edited. With a set of prompts: the mean and the largest over each prompt's tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.edits import edit_units
from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._common import Asked, asked, carried, clustered, quoted
from workbench.params import PromptParams, UnitsText
from workbench.report import NextStep, Report
from workbench.text import number, show_token
from workbench.units import Direction, Head, Neuron, Unit, parse_units
from workbench.views import Column, Heatmap, Lines, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.reading import Reading

MAX_UNITS = 2000
SHOWN = 12
"""units in the strip and in the plot: the strongest"""


class Params(PromptParams, kw_only=True, frozen=True):
    units: Annotated[
        UnitsText,
        Meta(
            description="neurons, heads, sites or directions",
            extra={"example": "L12.N345, L5.H3, L5.resid_post, @L12.N345.out"},
        ),
    ] = ""


def run(lab: Lab, params: Params, report: Report) -> None:
    if not params.units.strip():
        raise UserError("no unit named: give --units, for example L12.N345, L5.H3 or L5.resid_post")
    units = parse_units(params.units, lab.info)
    if len(units) > MAX_UNITS:
        raise UserError(f"{len(units):,} units are more than this can show: name at most {MAX_UNITS:,}")
    rows = asked(lab, params)
    if params.prompts:
        _run_set(lab, rows, units, params, report)
    else:
        _run_one(lab, rows[0], units, params, report)


def _main(reading: Reading) -> bool:
    """The part that stands for the unit; the others explain it."""
    return reading.part in ("activation", "norm", "projection")


# --- one prompt ------------------------------------------------------------------------------------


def _run_one(lab: Lab, row: Asked, units: list[Unit], params: Params, report: Report) -> None:
    clean = lab.read(units, row.prompt)
    edited = lab.read(units, row.prompt, lab.edits) if lab.edits else None
    tokens = row.prompt.tokens
    flat = [reading for reading in clean if _main(reading) and reading.values.ndim == 1]
    order = sorted(flat, key=lambda one: -float(np.abs(one.values).max()))
    other = {(one.unit, one.part): one for one in edited or []}
    shown = order[:SHOWN] if len(order) > SHOWN else flat
    note = "; ".join(filter(None, [row.prompt.describe, _heads_note(lab, units)]))
    if len(shown) < len(flat):
        note = f"the {SHOWN} largest of {len(flat):,} units; {note}"
    if shown:
        report.add("tokens", _strip(tokens, shown, other, note))
        report.add("lines", _plot(tokens, shown, other, note))
        report.add("units", _table(tokens, order, other))
        for name in ("clean", "edited")[: 1 + bool(other)]:
            report.add(f"all_{name}", _grid(tokens, flat, other if name == "edited" else {}, name if other else ""))
    neurons = [unit for unit in units if isinstance(unit, Neuron)]
    if neurons:
        strongest = {one.unit for one in shown}
        report.add("parts", _parts(tokens, [one for one in clean if one.unit in strongest], other))
    for reading in clean:
        if reading.part == "projection":
            _projection(report, tokens, reading, other.get((reading.unit, reading.part)))
    report.say(_sentence(order, other, tokens, clean, params))
    _suggest(report, params, order, lab)


def _heads_note(lab: Lab, units: list[Unit]) -> str:
    """What a head's norm leaves out where a norm stands between attention and the stream."""
    if not lab.info.post_norm or not any(isinstance(unit, Head) for unit in units):
        return ""
    return "norms of heads are taken before the norm that follows attention in this model"


def _strip(tokens: list[str], shown: list[Reading], other: dict[tuple[str, str], Reading], note: str) -> Tokens:
    rows = []
    for one in shown:
        rows.append(TokenRow(name=f"{one.unit} clean" if other else one.unit, values=one.values))
        if other:
            rows.append(TokenRow(name=f"{one.unit} edited", values=other[one.unit, one.part].values))
    signed = any(row.values.min() < 0 for row in rows)
    return Tokens(
        title="Over the prompt",
        note=note,
        tokens=tokens,
        rows=rows,
        value_label=_label(shown),
        low_label="negative" if signed else "small",
        high_label="positive" if signed else "large",
        signed=signed,
    )


def _label(readings: list[Reading]) -> str:
    parts = sorted({one.part for one in readings})
    return " or ".join(parts)


def _plot(tokens: list[str], shown: list[Reading], other: dict[tuple[str, str], Reading], note: str) -> Lines:
    series = []
    for one in shown[:6]:
        series.append(Series(name=f"{one.unit} clean" if other else one.unit, y=one.values))
        if other:
            series.append(Series(name=f"{one.unit} edited", y=other[one.unit, one.part].values))
    return Lines(
        title="By position",
        note=note,
        x=np.arange(len(tokens), dtype=np.float64),
        x_ticks=tokens,
        series=series,
        x_label="position",
        y_label=_label(shown),
    )


def _table(tokens: list[str], order: list[Reading], other: dict[tuple[str, str], Reading]) -> Table:
    columns = [
        Column(name="unit", kind="unit"),
        Column(name="largest", kind="signed", help="of the largest magnitude"),
        Column(name="at", kind="token"),
        Column(name="mean", kind="signed", help="from position 1 on"),
    ]
    if other:
        columns += [Column(name="edited there", kind="signed"), Column(name="edited mean", kind="signed")]
    rows: list[list[Any]] = []
    for one in order:
        at = int(np.abs(one.values).argmax())
        line: list[Any] = [one.unit, float(one.values[at]), tokens[at], _mean(one.values)]
        if other:
            values = other[one.unit, one.part].values
            line += [float(values[at]), _mean(values)]
        rows.append(line)
    return Table(title="Unit by unit", note="strongest first", columns=columns, rows=rows)


def _mean(values: np.ndarray) -> float | None:
    """From position 1 on: position 0 is unlike the others."""
    return float(values[1:].mean(dtype=np.float64)) if len(values) > 1 else None


def _grid(tokens: list[str], flat: list[Reading], other: dict[tuple[str, str], Reading], name: str) -> Heatmap:
    values = np.stack([other.get((one.unit, one.part), one).values for one in flat])
    signed = bool(values.min() < 0)
    return Heatmap(
        title="All units over the prompt" + (f", {name}" if name else ""),
        values=values,
        row_labels=[one.unit for one in flat],
        column_labels=tokens,
        row_axis="unit",
        column_axis="position",
        low_label="negative" if signed else "small",
        high_label="positive" if signed else "large",
        signed=signed,
        first_row_low=False,
    )


def _parts(tokens: list[str], readings: list[Reading], other: dict[tuple[str, str], Reading]) -> Table:
    """Gate, linear and product of gated neurons, or what the activation function was given, token by token."""
    names = list(dict.fromkeys(one.part for one in readings if one.part in ("gate", "linear", "before", "activation")))
    names.sort(key=["gate", "linear", "before", "activation"].index)
    meaning = {
        "gate": "before the activation function",
        "linear": "what the activated gate is multiplied with",
        "before": "before the activation function",
        "activation": "what W_out multiplies",
    }
    columns = [Column(name="unit", kind="unit"), Column(name="token", kind="token")]
    columns += [Column(name=name, kind="signed", help=meaning[name]) for name in names]
    if other:
        columns += [Column(name=f"{name}, edited", kind="signed", help=meaning[name]) for name in names]
    by_unit: dict[str, dict[str, Reading]] = {}
    for one in readings:
        by_unit.setdefault(one.unit, {})[one.part] = one
    rows: list[list[Any]] = []
    for unit, parts in by_unit.items():
        if not set(names) <= set(parts):
            continue
        for at, text in enumerate(tokens):
            line: list[Any] = [unit, text, *(float(parts[name].values[at]) for name in names)]
            if other:
                line += [float(other[unit, name].values[at]) for name in names]
            rows.append(line)
    return Table(title="Parts of the neurons", note="token by token", columns=columns, rows=rows)


def _projection(report: Report, tokens: list[str], clean: Reading, edited: Reading | None) -> None:
    for reading, name in ((clean, "clean"), (edited, "edited")):
        if reading is None:
            continue
        layers = [f"L{layer}" for layer in range(len(reading.values))]
        report.add(
            f"{reading.unit}_{name}",
            Heatmap(
                title=f"The stream along {reading.unit}" + (f", {name}" if edited else ""),
                note="resid_post projected on the direction, scaled to length 1",
                values=reading.values,
                row_labels=layers,
                column_labels=tokens,
                row_axis="layer",
                column_axis="position",
                low_label="against it",
                high_label="along it",
                signed=True,
            ),
        )


def _sentence(
    order: list[Reading], other: dict[tuple[str, str], Reading], tokens: list[str], clean: list[Reading], params: Params
) -> str:
    where = f"in {quoted(params.prompt)}"
    if not order:
        first = next(one for one in clean if one.part == "projection")
        layer, at = divmod(int(np.abs(first.values).argmax()), len(tokens))
        value = number(float(first.values[layer, at]))
        return (
            f"the stream goes farthest along {first.unit} after L{layer} at {show_token(tokens[at])}: {value} {where}"
        )
    one = order[0]
    at = int(np.abs(one.values).argmax())
    change = f" → {number(float(other[one.unit, one.part].values[at]))}" if other else ""
    kind = "norm " if one.part == "norm" else ""
    value = number(float(one.values[at]))
    said = f"{one.unit} is at its strongest at {show_token(tokens[at])}: {kind}{value}{change} {where}"
    return said + (f" · the strongest of {len(order):,} units" if len(order) > 1 else "")


def _suggest(report: Report, params: Params, order: list[Reading], lab: Lab) -> None:
    edited = {str(unit) for edit in lab.plain_edits for unit in edit_units(edit, lab.info)}
    unit = next((one.unit for one in order if one.unit not in edited), "")
    if unit.partition(".")[2][:1] in ("N", "H"):
        report.suggest(
            NextStep(
                label=f"what if {unit} is switched off",
                experiment="predict",
                params=carried(params),
                edits=[*map(str, lab.edits), f"{unit}=0"],
            )
        )
    report.suggest(NextStep(label="what the model says next", experiment="predict", params=carried(params)))
    report.suggest(
        NextStep(label="what is it thinking, layer by layer", experiment="logit-lens", params=carried(params))
    )


# --- a set of prompts ------------------------------------------------------------------------------


def _run_set(lab: Lab, rows: list[Asked], units: list[Unit], params: Params, report: Report) -> None:
    if any(isinstance(unit, Direction) for unit in units):
        raise UserError("directions are read over one prompt at a time: give --prompt, or leave the direction out")
    names = [str(unit) for unit in units]
    clean: list[list[np.ndarray]] = []
    edited: list[list[np.ndarray]] = []
    for row in report.track(rows, "prompts"):
        clean.append([one.values for one in lab.read(units, row.prompt) if _main(one)])
        if lab.edits:
            edited.append([one.values for one in lab.read(units, row.prompt, lab.edits) if _main(one)])
        _tell_set(report, rows, names, clean, edited, _heads_note(lab, units))
    report.suggest(NextStep(label="what the model says next", experiment="predict", params=carried(params)))


def _tell_set(
    report: Report,
    rows: list[Asked],
    names: list[str],
    clean: list[list[np.ndarray]],
    edited: list[list[np.ndarray]],
    heads: str,
) -> None:
    peaks = np.asarray([[values[np.abs(values).argmax()] for values in line] for line in clean])
    columns = [
        Column(name="unit", kind="unit"),
        Column(name="mean", kind="signed", help="over tokens from position 1 on"),
        Column(name="±", kind="number", help="standard error, clustered by prompt"),
        Column(name="largest", kind="signed", help="of the largest magnitude, over all prompts"),
        Column(name="in prompt"),
    ]
    if edited:
        columns.append(Column(name="edited mean", kind="signed"))
    cells: list[list[Any]] = []
    for at, name in enumerate(names):
        own = clustered(*_sums(clean, at))
        best = int(np.abs(peaks[:, at]).argmax())
        line: list[Any] = [
            name,
            _number(own.value),
            _number(own.se),
            float(peaks[best, at]),
            rows[best].prompt.text,
        ]
        if edited:
            line.append(_number(clustered(*_sums(edited, at)).value))
        cells.append(line)
    strength = np.abs(peaks).max(axis=0)
    order = np.argsort(-strength, kind="stable")
    note = "; ".join(filter(None, [f"{len(clean):,} of {len(rows):,} prompts; strongest first", heads]))
    report.add("units", Table(title="Unit by unit", note=note, columns=columns, rows=[cells[at] for at in order]))
    shown = [int(at) for at in order[:50]]
    report.add(
        "prompts",
        Heatmap(
            title="Largest over each prompt",
            note=note,
            values=peaks[:, shown].T,
            row_labels=[names[at] for at in shown],
            column_labels=[row.prompt.text for row in rows[: len(clean)]],
            row_axis="unit",
            column_axis="prompt",
            low_label="negative",
            high_label="positive",
            signed=True,
            first_row_low=False,
        ),
    )
    top = int(order[0])
    where = quoted(rows[int(np.abs(peaks[:, top]).argmax())].prompt.text)
    report.say(f"{names[top]} reaches {number(float(cells[top][3]))} in {where} · {len(clean):,} prompts")


def _sums(lines: list[list[np.ndarray]], at: int) -> tuple[list[float], list[int]]:
    """Sum and count of each prompt's tokens from position 1 on."""
    return [float(line[at][1:].sum(dtype=np.float64)) for line in lines], [len(line[at]) - 1 for line in lines]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


EXPERIMENT = Experiment(name="activations", help=__doc__, params=Params, run=run, group="says", order=4)
