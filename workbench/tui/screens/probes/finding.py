"""What the session's steps found on a labelled set, and the views of one of them. No widget here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from workbench.artifacts import probe
from workbench.result_keys import Along, Battery, DenseProbe, NeuronProbe, ProbeAblate, ProbeApply, SparseProbe
from workbench.session.records import FINISHED, StepRecord
from workbench.tui.widgets.result.snapshot import ShownView, Snapshot, read_step
from workbench.views import Heatmap, Table

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.tui.screens.probes.catalogue import SetEntry

_MOST = 200
"""steps of a set that are listed at most, the newest"""


class Parts(NamedTuple):
    """Keys of an experiment's views, by where the screen shows them."""

    drawn: tuple[str, ...]
    """one at a time, in this order"""
    cells: str = ""
    """a heat map whose cells are walked"""
    rows: str = ""
    """a table whose rows name units"""
    below: str = ""
    """a table where there is room for it"""


PARTS = {
    "sparse-probe": Parts(
        (SparseProbe.F1, SparseProbe.MCC, SparseProbe.AUC, SparseProbe.CURVE),
        SparseProbe.MAP,
        SparseProbe.NEURONS,
        SparseProbe.BASELINES,
    ),
    "neuron-probe": Parts(
        (NeuronProbe.BY_CLASS, NeuronProbe.BY_LAYER, NeuronProbe.CURVE, NeuronProbe.ERRORS),
        rows=NeuronProbe.NEURONS,
        below=NeuronProbe.BASELINES,
    ),
    "dense-probe": Parts(
        (DenseProbe.LAYERS, DenseProbe.HEADS, DenseProbe.CURVE, DenseProbe.PREDICTED),
        rows=Along.NEURONS,
        below=DenseProbe.BASELINES,
    ),
    "probe-ablate": Parts((ProbeAblate.BY_CLASS, ProbeAblate.ERRORS), rows=ProbeAblate.CLASSES),
    "battery": Parts((Battery.COMPARED, Battery.ONE), Battery.BEST, Battery.SETS),
    "probe-apply": Parts((ProbeApply.ALONG, ProbeApply.TEXT), below=ProbeApply.SCORES),
}
"""the experiments whose steps are listed"""


class Finding(NamedTuple):
    """One step on a set."""

    snapshot: Snapshot
    probe: str = ""
    """the name of the probe that it made"""

    @property
    def record(self) -> StepRecord:
        return self.snapshot.record

    @property
    def parts(self) -> Parts:
        return PARTS[self.record.experiment]

    def shown(self, key: str) -> ShownView | None:
        return next((shown for shown in self.snapshot.views if shown.key == key), None) if key else None

    @property
    def drawn(self) -> list[ShownView]:
        """What can be drawn at the left."""
        return [shown for key in self.parts.drawn if (shown := self.shown(key)) is not None]

    @property
    def cells(self) -> Heatmap | None:
        shown = self.shown(self.parts.cells)
        return shown.view if shown is not None and isinstance(shown.view, Heatmap) else None

    @property
    def rows(self) -> Table | None:
        return self._table(self.parts.rows)

    @property
    def below(self) -> Table | None:
        return self._table(self.parts.below)

    def _table(self, key: str) -> Table | None:
        shown = self.shown(key)
        return shown.view if shown is not None and isinstance(shown.view, Table) else None


class Finder:
    """Reads them; finished steps and views that were read once are remembered."""

    def __init__(self) -> None:
        self._records: dict[int, StepRecord] = {}
        self._views: dict[int, dict[str, ShownView]] = {}

    def forget(self) -> None:
        """Another session: its steps have the same numbers."""
        self._records.clear()
        self._views.clear()

    def runs(self, reader: SessionReader, entry: SetEntry) -> list[StepRecord]:
        """The steps on a set, newest first; also those that read a text with a probe which was fitted on it."""
        if not entry.hash:
            return []
        uses = reader.steps_with(entry.hash)
        steps = {use.step for use in uses if use.experiment in PARTS}
        for step in list(steps):
            for made in reader.artifacts_of(step):
                if made.kind == probe.NAME and made.role == "made":
                    steps |= {use.step for use in reader.steps_with(made.hash) if use.experiment in PARTS}
        return [self._record(reader, step) for step in sorted(steps, reverse=True)[:_MOST]]

    def counts(self, reader: SessionReader, entries: list[SetEntry]) -> dict[str, int]:
        """How many steps probe each set, by the set's hash."""
        return {
            entry.hash: len({use.step for use in reader.steps_with(entry.hash) if use.experiment in PARTS})
            for entry in entries
            if entry.hash
        }

    def finding(self, reader: SessionReader, step: int) -> Finding:
        """Raises UserError."""
        snapshot = read_step(reader, step, self._views.get(step, {}))
        self._views[step] = {shown.key: shown for shown in snapshot.views}
        names = [made.name for made in reader.artifacts_of(step) if made.kind == probe.NAME and made.role == "made"]
        return Finding(snapshot, names[0] if names else "")

    def _record(self, reader: SessionReader, step: int) -> StepRecord:
        if step not in self._records:
            record = reader.step(step)
            # The texts of a set in its parameters are read again where they are needed.
            record = msgspec.structs.replace(record, params={})
            if record.status not in FINISHED:
                return record
            self._records[step] = record
        return self._records[step]
