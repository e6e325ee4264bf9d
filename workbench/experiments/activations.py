"""What units do over a prompt: neurons, heads, sites, directions.

One number a token: a neuron's activation (in a gated MLP also its gate and linear parts, whose product it is), the norm
of what a head adds to the stream, the norm of a site, the projection of the stream on a named direction at every layer.
Under edits clean stands beside edited. With a set of prompts: the mean and the largest over each prompt's tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Experiment
from workbench.experiments._activations_set import run_set
from workbench.experiments._common import TokenizedRow, carried_params, tokenized_rows
from workbench.params import PromptParams, UnitsText
from workbench.report import NextStep, Report
from workbench.text import number, quoted, show_token
from workbench.units import Indexed, Unit, parse_unit, parse_units
from workbench.views import Column, Heatmap, Lines, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.kinds import Reading
    from workbench.lab.prompts import Prompt

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
    rows = tokenized_rows(lab, params)
    if params.prompts:
        run_set(lab, rows, units, params, report)
    else:
        _run_prompt(lab, rows[0], units, params, report)


def _run_prompt(lab: Lab, row: TokenizedRow, units: list[Unit], params: Params, report: Report) -> None:
    from workbench.lab.reading import read, remarks

    clean = read(lab, units, row.prompt)
    edited = read(lab, units, row.prompt, lab.edits) if lab.edits else None
    tokens = row.prompt.tokens
    by_token = [reading for reading in clean if reading.main and reading.values.ndim == 1]
    order = sorted(by_token, key=lambda reading: -float(np.abs(reading.values).max()))
    edited_by_part = {(reading.unit, reading.part): reading for reading in edited or []}
    shown = order[:SHOWN] if len(order) > SHOWN else by_token
    note = "; ".join(filter(None, [row.prompt.describe, remarks(units, lab.info)]))
    if len(shown) < len(by_token):
        note = f"the {SHOWN} largest of {len(by_token):,} units; {note}"
    if shown:
        report.add("tokens", _strip(row.prompt, shown, edited_by_part, note))
        report.add("lines", _plot(tokens, shown, edited_by_part, note))
        report.add("units", _table(tokens, order, edited_by_part))
        for name in ("clean", "edited")[: 1 + bool(edited_by_part)]:
            report.add(
                f"all_{name}",
                _grid(tokens, by_token, edited_by_part if name == "edited" else {}, name if edited_by_part else ""),
            )
    if not all(reading.main for reading in clean):
        strongest = {reading.unit for reading in shown}
        report.add("parts", _parts(tokens, [reading for reading in clean if reading.unit in strongest], edited_by_part))
    for reading in clean:
        if reading.part == "projection":
            _projection(report, tokens, reading, edited_by_part.get((reading.unit, reading.part)))
    report.say(_sentence(order, edited_by_part, tokens, clean, params))
    _suggest(report, params, order, lab)


def _strip(prompt: Prompt, shown: list[Reading], edited: dict[tuple[str, str], Reading], note: str) -> Tokens:
    rows = []
    for reading in shown:
        rows.append(TokenRow(name=f"{reading.unit} clean" if edited else reading.unit, values=reading.values))
        if edited:
            rows.append(TokenRow(name=f"{reading.unit} edited", values=edited[reading.unit, reading.part].values))
    signed = any(row.values.min() < 0 for row in rows)
    return Tokens(
        title="Over the prompt",
        note=note,
        tokenization=prompt.tokenization,
        tokens=prompt.tokens,
        rows=rows,
        value_label=_label(shown),
        low_label="negative" if signed else "small",
        high_label="positive" if signed else "large",
        signed=signed,
    )


def _label(readings: list[Reading]) -> str:
    parts = sorted({reading.part for reading in readings})
    return " or ".join(parts)


def _plot(tokens: list[str], shown: list[Reading], edited: dict[tuple[str, str], Reading], note: str) -> Lines:
    series = []
    for reading in shown[:6]:
        series.append(Series(name=f"{reading.unit} clean" if edited else reading.unit, y=reading.values))
        if edited:
            series.append(Series(name=f"{reading.unit} edited", y=edited[reading.unit, reading.part].values))
    return Lines(
        title="By position",
        note=note,
        x=np.arange(len(tokens), dtype=np.float64),
        x_ticks=tokens,
        series=series,
        x_label="position",
        y_label=_label(shown),
    )


def _table(tokens: list[str], order: list[Reading], edited: dict[tuple[str, str], Reading]) -> Table:
    columns = [
        Column(key="unit", name="unit", kind="unit"),
        Column(key="largest", name="largest", kind="signed", help="of the largest magnitude", gives_way="late"),
        Column(key="token", name="at", kind="token"),
        Column(key="mean", name="mean", kind="signed", help="from position 1 on", gives_way="late"),
    ]
    if edited:
        columns += [
            Column(key="largest_edited", name="edited there", kind="signed", edited=True),
            Column(key="mean_edited", name="edited mean", kind="signed", edited=True),
        ]
    rows: list[list[Any]] = []
    for reading in order:
        at = int(np.abs(reading.values).argmax())
        cells: list[Any] = [reading.unit, float(reading.values[at]), tokens[at], _mean(reading.values)]
        if edited:
            values = edited[reading.unit, reading.part].values
            cells += [float(values[at]), _mean(values)]
        rows.append(cells)
    return Table(title="Unit by unit", note="strongest first", columns=columns, rows=rows)


def _mean(values: np.ndarray) -> float | None:
    """From position 1 on: position 0 is unlike the others."""
    return float(values[1:].mean(dtype=np.float64)) if len(values) > 1 else None


def _grid(tokens: list[str], readings: list[Reading], edited: dict[tuple[str, str], Reading], name: str) -> Heatmap:
    values = np.stack([edited.get((reading.unit, reading.part), reading).values for reading in readings])
    signed = bool(values.min() < 0)
    return Heatmap(
        title="All units over the prompt" + (f", {name}" if name else ""),
        values=values,
        row_labels=[reading.unit for reading in readings],
        column_labels=tokens,
        row_axis="unit",
        column_axis="position",
        low_label="negative" if signed else "small",
        high_label="positive" if signed else "large",
        value_label="activation",
        signed=signed,
        first_row_low=False,
    )


def _parts(tokens: list[str], readings: list[Reading], edited: dict[tuple[str, str], Reading]) -> Table:
    """Gate, linear and product of gated neurons, or what the activation function was given, token by token."""
    names = list(
        dict.fromkeys(
            reading.part for reading in readings if reading.part in ("gate", "linear", "before", "activation")
        )
    )
    names.sort(key=["gate", "linear", "before", "activation"].index)
    meaning = {
        "gate": "before the activation function",
        "linear": "what the activated gate is multiplied with",
        "before": "before the activation function",
        "activation": "what W_out multiplies",
    }
    columns = [Column(key="unit", name="unit", kind="unit"), Column(key="token", name="token", kind="token")]
    columns += [Column(key=name, name=name, kind="signed", help=meaning[name], gives_way="late") for name in names]
    if edited:
        columns += [
            Column(key=f"{name}_edited", name=f"{name}, edited", kind="signed", help=meaning[name], edited=True)
            for name in names
        ]
    by_unit: dict[str, dict[str, Reading]] = {}
    for reading in readings:
        by_unit.setdefault(reading.unit, {})[reading.part] = reading
    rows: list[list[Any]] = []
    for unit, parts in by_unit.items():
        if not set(names) <= set(parts):
            continue
        for at, text in enumerate(tokens):
            cells: list[Any] = [unit, text, *(float(parts[name].values[at]) for name in names)]
            if edited:
                cells += [float(edited[unit, name].values[at]) for name in names]
            rows.append(cells)
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
                value_label="projection",
                signed=True,
            ),
        )


def _sentence(
    order: list[Reading],
    edited: dict[tuple[str, str], Reading],
    tokens: list[str],
    clean: list[Reading],
    params: Params,
) -> str:
    where = f"in {quoted(params.prompt)}"
    if not order:
        projection = next(reading for reading in clean if reading.part == "projection")
        layer, at = divmod(int(np.abs(projection.values).argmax()), len(tokens))
        value = number(float(projection.values[layer, at]))
        place = f"after L{layer} at {show_token(tokens[at])}"
        return f"the stream goes farthest along {projection.unit} {place}: {value} {where}"
    strongest = order[0]
    at = int(np.abs(strongest.values).argmax())
    change = f" → {number(float(edited[strongest.unit, strongest.part].values[at]))}" if edited else ""
    kind = "norm " if strongest.part == "norm" else ""
    value = number(float(strongest.values[at]))
    sentence = f"{strongest.unit} is at its strongest at {show_token(tokens[at])}: {kind}{value}{change} {where}"
    return sentence + (f" · the strongest of {len(order):,} units" if len(order) > 1 else "")


def _suggest(report: Report, params: Params, order: list[Reading], lab: Lab) -> None:
    edited_units = {str(unit) for edit in lab.edits for unit in edit.units}
    unit = next((reading.unit for reading in order if reading.unit not in edited_units), "")
    if unit and isinstance(parse_unit(unit), Indexed):
        report.suggest(
            NextStep(
                label=f"what if {unit} is switched off",
                experiment="predict",
                params=carried_params(params),
                edits=[*map(str, lab.edits), f"{unit}=0"],
            )
        )
    report.suggest(NextStep(label="what the model says next", experiment="predict", params=carried_params(params)))
    report.suggest(
        NextStep(label="what is it thinking, layer by layer", experiment="logit-lens", params=carried_params(params))
    )


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """What the model says with the unit set to 0 there; of a projection, the stream's top tokens there."""
    label = view.row_labels[row]
    if params.prompts:
        asked = carried_params(params, prompt=params.prompts[column].prompt, prompts=[])
        return NextStep(label=f"{label} over this prompt", experiment="activations", params={**asked, "units": label})
    asked = carried_params(params)
    if key in ("all_clean", "all_edited"):
        edit = f"{label}[{column}]=0"
        return NextStep(label=f"prediction with {edit}", experiment="predict", params=asked, edits=[edit])
    there = {**asked, "layer": label, "position": column}
    return NextStep(label=f"top tokens after {label}", experiment="logit-lens", params=there)


EXPERIMENT = Experiment(name="activations", help=__doc__, params=Params, run=run, group="says", order=4, cell=cell)
