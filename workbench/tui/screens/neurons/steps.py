"""Answers of experiments as things to browse: a ranking as a column, indexes as choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UserError
from workbench.index.completion import Completion
from workbench.text import count, size
from workbench.units import Neuron, parse_unit
from workbench.views import AnyView, Table

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import IndexInfo
    from workbench.tui.screens.neurons.offer import Offer

UNUSUAL = "unusual"


def ranking_column(views: Sequence[AnyView], index: NeuronIndex) -> IndexColumn | None:
    """A table with units and numbers as a column: the first number after the unit, nan for neurons not in it."""
    from workbench.index.catalogue import IndexColumn

    for view in views:
        if not isinstance(view, Table):
            continue
        kinds = [column.kind for column in view.columns]
        unit = kinds.index("unit") if "unit" in kinds else None
        number = next((at for at, kind in enumerate(kinds) if kind in ("number", "signed", "probability")), None)
        if unit is None or number is None:
            continue
        values = np.full(index.info.n_neurons, np.nan, np.float32)
        for row in view.rows:
            try:
                neuron = parse_unit(str(row[unit]), index.info)
            except UserError:
                continue
            if isinstance(neuron, Neuron) and row[number] is not None:
                values[neuron.layer * index.info.d_mlp + neuron.index] = row[number]
        column = view.columns[number]
        return IndexColumn(
            name=UNUSUAL, title=column.name, help=column.help or "on your text", kind="number", values=values
        )
    return None


def index_choices(there: Sequence[IndexInfo], offered: Sequence[Offer]) -> list[Completion]:
    """Indexes to browse, then ones to build."""
    found = []
    for info in there:
        what = f"{count(info.tokens)} tokens, {count(info.documents)} documents" if info.kind == "data" else "weights"
        state = info.problem or ("" if info.complete or info.kind != "data" else "unfinished, ")
        found.append(
            Completion(info.path, f"browse {info.corpus or 'weights alone'}", f"{state}{what}, {size(info.bytes)}")
        )
    return [*found, *(Completion(offer.label, f"build {offer.label}", offer.help) for offer in offered)]
