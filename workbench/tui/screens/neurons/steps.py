"""Answers of experiments as things to browse: a ranking as a column, indexes as choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.index.completion import Completion
from workbench.result_keys import Ranking
from workbench.text import count, size
from workbench.views import AnyView, Lines

if TYPE_CHECKING:
    from workbench.index.catalogue import IndexColumn
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import IndexInfo
    from workbench.tui.screens.neurons.offer import Offer

UNUSUAL = "unusual"


def ranking_column(views: Mapping[str, AnyView], index: NeuronIndex) -> IndexColumn | None:
    """What `unusual` says of every neuron of the model, in its order, as a column."""
    from workbench.index.catalogue import IndexColumn

    view = views.get(Ranking.VIEW)
    if not isinstance(view, Lines) or index.sae is not None or len(view.x) != index.units.n:
        return None
    values = np.asarray(view.series[0].y, dtype=np.float32)
    return IndexColumn(name=UNUSUAL, title=UNUSUAL, help=view.y_label, kind="number", values=values)


def index_choices(available: Sequence[IndexInfo], offers: Sequence[Offer]) -> list[Completion]:
    """Indexes to browse, then ones to build."""
    choices = []
    for info in available:
        contents = (
            f"{count(info.tokens)} tokens, {count(info.documents)} documents" if info.kind != "weights" else "weights"
        )
        state = info.problem or ("" if info.complete or info.kind == "weights" else "unfinished, ")
        choices.append(
            Completion(
                info.path,
                f"browse {f'features of {info.sae}, ' if info.sae else ''}{info.corpus or 'weights alone'}",
                f"{state}{contents}, {size(info.bytes)}",
            )
        )
    return [*choices, *(Completion(offer.label, f"build {offer.label}", offer.help) for offer in offers)]
