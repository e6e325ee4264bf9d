"""The experiments, one file each; files that begin with _ hold what several of them share.

`experiments()` finds them by their `EXPERIMENT`: adding one is adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workbench.errors import UserError
from workbench.experiment import GROUPS, Experiment


@cache
def experiments() -> dict[str, Experiment]:
    """All experiments by name, in the order a newcomer meets them."""
    modules = (
        importlib.import_module(f"{__name__}.{file.name}")
        for file in pkgutil.iter_modules(__path__)
        if not file.name.startswith("_")
    )
    by_order = sorted(
        (module.EXPERIMENT for module in modules),
        key=lambda experiment: (list(GROUPS).index(experiment.group), experiment.order),
    )
    return {experiment.name: experiment for experiment in by_order}


def experiment(name: str) -> Experiment:
    """Raises UserError naming the ones there are."""
    if name not in experiments():
        raise UserError(f"there is no experiment {name!r}: there are {', '.join(experiments())}")
    return experiments()[name]
