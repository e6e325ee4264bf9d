"""Which SAEs are registered, whether each fits the model, and the newest figures of the session. No widget here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workbench.artifacts.activations import site_width
from workbench.artifacts.sae import SaeConfig, content_of, list_saes, stored_config
from workbench.errors import UserError
from workbench.session.records import FINISHED, StepRecord
from workbench.text import count

if TYPE_CHECKING:
    from workbench.model_info import ModelInfo
    from workbench.session.reader import SessionReader

MEASURED = ("sae-check", "sae-train", "sae-errors")
"""experiments whose numbers are an SAE's quality"""
FIGURES = ("explained_variance", "recovered_zero", "l0", "dead")
"""the numbers of these steps that are shown"""
LISTED = (*MEASURED, "features")
"""experiments whose steps are shown"""
_MOST = 200
"""steps of an SAE that are listed at most, the newest"""


class SaeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One registered SAE, or why it can't be read."""

    name: str
    hash: str = ""
    """by which sessions know it; empty for one that can't be read"""
    config: SaeConfig | None = None
    problem: str = ""
    """why it can't be read"""

    def misfit(self, info: ModelInfo | None) -> str:
        """Why it can't be this model's; empty where it may be, and where no model is known."""
        if info is None or self.config is None:
            return ""
        for address, width in ((self.config.site, self.config.d_in), (self.config.site_out, self.config.d_out)):
            layer, _, site = address.partition(".")
            if not layer[1:].isdigit():
                return "its folder names no site"
            if int(layer[1:]) >= info.n_layers:
                return f"for layer {layer[1:]}; the model has layers 0 to {info.n_layers - 1}"
            if (there := site_width(info, site)) != width:
                return f"{address} of this model has {count(there)} numbers, and it takes {count(width)}"
        return ""


class Catalogue:
    """Reads them; steps that are finished are remembered."""

    def __init__(self) -> None:
        self._records: dict[int, StepRecord] = {}
        self._entries: dict[tuple[str, str, str], SaeEntry] = {}
        """by path, hash and what is wrong"""

    def forget(self) -> None:
        """Another session: its steps have the same numbers."""
        self._records.clear()

    def entries(self) -> list[SaeEntry]:
        """By site, then name; those that can't be read last."""
        listed = []
        for artifact in list_saes():
            key = (artifact.path, artifact.hash, artifact.problem)
            if key not in self._entries:
                try:
                    if artifact.problem:
                        raise UserError(artifact.problem)
                    config = stored_config(Path(artifact.path))[0]
                    self._entries[key] = SaeEntry(name=artifact.name, hash=content_of(artifact).hash, config=config)
                except UserError as error:
                    self._entries[key] = SaeEntry(name=artifact.name, problem=str(error))
            listed.append(self._entries[key])
        return sorted(listed, key=_order)

    def runs(self, reader: SessionReader, entry: SaeEntry) -> list[StepRecord]:
        """The steps that used or made it, newest first."""
        if not entry.hash:
            return []
        steps = {use.step for use in reader.steps_with(entry.hash) if use.experiment in LISTED}
        return [self._record(reader, step) for step in sorted(steps, reverse=True)[:_MOST]]

    def figures(self, records: list[StepRecord], name: str) -> Mapping[str, float | None]:
        """The newest numbers that are this SAE's quality; empty where the session has none.

        A run over several SAEs has them under its name: `NAME_explained_variance`.
        """
        for record in records:
            if record.experiment not in MEASURED:
                continue
            for prefix in ("", f"{name}_"):
                if record.scalars.get(f"{prefix}explained_variance") is not None:
                    return {key: record.scalars.get(f"{prefix}{key}") for key in FIGURES}
        return {}

    def _record(self, reader: SessionReader, step: int) -> StepRecord:
        if step not in self._records:
            record = reader.step(step)
            if record.status not in FINISHED:
                return record
            self._records[step] = record
        return self._records[step]


def _order(entry: SaeEntry) -> tuple[bool, int, str]:
    site = entry.config.site if entry.config is not None else ""
    layer = site.partition(".")[0][1:]
    return entry.config is None, int(layer) if layer.isdigit() else 0, entry.name
