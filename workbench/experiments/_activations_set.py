"""`activations` over a set of prompts: the mean and the largest over each prompt's tokens. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UserError
from workbench.experiments._common import TokenizedRow, carried_params, number_or_none
from workbench.params import PromptParams
from workbench.report import NextStep, Report
from workbench.statistics import clustered_mean
from workbench.text import number, quoted
from workbench.units import Unit
from workbench.views import Column, Heatmap, Table

if TYPE_CHECKING:
    from workbench.lab import Lab


def run_set(lab: Lab, rows: list[TokenizedRow], units: list[Unit], params: PromptParams, report: Report) -> None:
    from workbench.lab.kinds import lab_kind
    from workbench.lab.reading import read, remarks

    if any(lab_kind(unit).per_layer for unit in units):
        raise UserError("directions are read over one prompt at a time: give --prompt, or leave the direction out")
    names = [str(unit) for unit in units]
    clean: list[list[np.ndarray]] = []
    edited: list[list[np.ndarray]] = []
    for row in report.track(rows, "prompts"):
        clean.append([reading.values for reading in read(lab, units, row.prompt) if reading.main])
        if lab.edits:
            edited.append([reading.values for reading in read(lab, units, row.prompt, lab.edits) if reading.main])
        _add_set_views(report, rows, names, clean, edited, remarks(units, lab.info))
    report.suggest(NextStep(label="what the model says next", experiment="predict", params=carried_params(params)))


def _add_set_views(
    report: Report,
    rows: list[TokenizedRow],
    names: list[str],
    clean: list[list[np.ndarray]],
    edited: list[list[np.ndarray]],
    remark: str,
) -> None:
    peaks = np.asarray([[values[np.abs(values).argmax()] for values in row_cells] for row_cells in clean])
    columns = [
        Column(key="unit", name="unit", kind="unit"),
        Column(key="mean", name="mean", kind="signed", help="over tokens from position 1 on"),
        Column(key="se", name="±", kind="number", help="standard error, clustered by prompt", gives_way="never"),
        Column(
            key="largest",
            name="largest",
            kind="signed",
            help="of the largest magnitude, over all prompts",
            gives_way="late",
        ),
        Column(key="prompt", name="in prompt", kind="prompt", gives_way="early"),
    ]
    if edited:
        columns.append(Column(key="mean_edited", name="edited mean", kind="signed", edited=True))
    cells: list[list[Any]] = []
    for at, name in enumerate(names):
        token_mean = clustered_mean(*_sums(clean, at))
        best = int(np.abs(peaks[:, at]).argmax())
        row_cells: list[Any] = [
            name,
            number_or_none(token_mean.value),
            number_or_none(token_mean.se),
            float(peaks[best, at]),
            rows[best].prompt.text,
        ]
        if edited:
            row_cells.append(number_or_none(clustered_mean(*_sums(edited, at)).value))
        cells.append(row_cells)
    strength = np.abs(peaks).max(axis=0)
    order = np.argsort(-strength, kind="stable")
    note = "; ".join(filter(None, [f"{len(clean):,} of {len(rows):,} prompts; strongest first", remark]))
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
            value_label="largest activation",
            signed=True,
            first_row_low=False,
        ),
    )
    top = int(order[0])
    where = quoted(rows[int(np.abs(peaks[:, top]).argmax())].prompt.text)
    report.say(f"{names[top]} reaches {number(float(cells[top][3]))} in {where} · {len(clean):,} prompts")


def _sums(by_prompt: list[list[np.ndarray]], at: int) -> tuple[list[float], list[int]]:
    """Sum and count of each prompt's tokens from position 1 on."""
    return [float(values[at][1:].sum(dtype=np.float64)) for values in by_prompt], [
        len(values[at]) - 1 for values in by_prompt
    ]
