"""The columns that a state folder holds beside its accumulators: statistics and families."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench.index import statistics
from workbench.index.families import family_bits, first_family, memberships
from workbench.index.format import IndexFile, weights_folder_name
from workbench.index.reader import NeuronIndex
from workbench.model_info import ModelInfo


def weight_columns(home: Path, info: ModelInfo) -> dict[str, np.ndarray]:
    """What families need of the weights part in `home`. Raises UserError where there is none."""
    index = NeuronIndex.open(home / weights_folder_name(info))
    names = ("vocab_kurtosis", "vocab_skew", "vocab_var", "rho", "w_out")
    columns = {name: np.array(index.columns[name].values) for name in names}
    columns["rho_chance"] = np.array(index.file.facts["rho_chance"])
    index.close()
    return columns


def derived_columns(
    arrays: Mapping[str, np.ndarray], file: IndexFile, weights: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Columns from accumulators; `weights` as `weight_columns` gives them."""
    columns = statistics.columns(arrays, file.counts)
    met = memberships(weights | columns, file.model, float(weights["rho_chance"]), file.features)
    return columns | {"family": first_family(met), "families": family_bits(met)}


def feature_columns(
    arrays: Mapping[str, np.ndarray], file: IndexFile, weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Columns of the features of an SAE; `weights` follow from the SAE alone, and are kept with every state."""
    columns = statistics.columns(arrays, file.counts)
    fired = arrays["positive_counts"]
    with np.errstate(divide="ignore", invalid="ignore"):
        active = np.where(fired > 0, arrays["sums"][:, 0].sum(axis=0) / fired, np.nan)
    return {**columns, "active": active.astype(np.float32), **weights}
