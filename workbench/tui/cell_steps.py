"""What a cell of a heat map stands for, as its experiment says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.report import NextStep
    from workbench.views import Heatmap


def cell_step(
    experiment_name: str, params: dict[str, Any], key: str, view: Heatmap, row: int, column: int
) -> NextStep | None:
    """The step to run for a cell; None where it stands for none, or the step is of a version that asked otherwise."""
    from workbench.experiments import experiment
    from workbench.params import make_params

    try:
        made = experiment(experiment_name)
        return made.cell(make_params(made.params, params), key, view, row, column) if made.cell else None
    except UserError:
        return None
