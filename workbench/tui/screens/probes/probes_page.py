"""What can be asked of the set, the step and the neuron or feature under the cursors."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from textual import on

from workbench.errors import UserError
from workbench.tui.page import Page
from workbench.tui.screens.probes.panes import Panes
from workbench.tui.screens.probes.state import ProbesState
from workbench.tui.unit_actions import open_unit, toggle_pin
from workbench.tui.widgets.map_panel import MapPanel
from workbench.tui.widgets.table_panel import TablePanel

if TYPE_CHECKING:
    from workbench.report import NextStep

REPLAY = "this is a replay: `workbench` alone has a model"
_ASKS = {
    "sparse": "sparse-probe",
    "neurons": "neuron-probe",
    "dense": "dense-probe",
    "ablate": "probe-ablate",
    "apply": "probe-apply",
}
"""actions that ask the model, and the experiment that each asks"""


class ProbesPage(Page):
    """A screen with Panes."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ProbesState(self, self.show_all)

    @abstractmethod
    def show_all(self) -> None:
        """Draws what the state holds."""

    @property
    def panes(self) -> Panes:
        return self.query_one(Panes)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        finding = self.state.finding
        if action in _ASKS and not self._can_ask():
            return False
        if action in ("turn", "texts", "copy", "save") and finding is None:
            return False
        if action == "turn" and (self.has_class("texts") or not finding or not finding.drawn):
            return False
        if action == "ablate" and not self._probed_unit:
            return False
        if action == "apply" and not (finding and finding.probe):
            return False
        return super().check_action(action, parameters)

    # --- keys: asking ---

    def _can_ask(self) -> bool:
        """There are a model and a set that can be read."""
        entry = self.state.entry
        return self.workbench.link is not None and entry is not None and bool(entry.hash)

    def action_sparse(self) -> None:
        self._offer(_ASKS["sparse"], {})

    def action_neurons(self) -> None:
        self._offer(_ASKS["neurons"], {})

    def action_dense(self) -> None:
        entry = self.state.entry
        self._offer(_ASKS["dense"], {"method": "ridge"} if entry is not None and entry.numeric else {})

    def action_apply(self) -> None:
        """The form of `probe-apply` with this probe: another set, or a text."""
        finding = self.state.finding
        if finding is not None:
            self._offer(_ASKS["apply"], {"probe": finding.probe}, with_set=False)

    def action_ablate(self) -> None:
        """The neuron or feature under the cursor switched off, class by class."""
        entry, finding = self.state.entry, self.state.finding
        if entry is not None and finding is not None and self._probed_unit:
            step = self._step(_ASKS["ablate"], {"data": self.panes.set_name or entry.name, "units": self._probed_unit})
            self.workbench.ask(step, parent=finding.record.id)

    @property
    def _probed_unit(self) -> str:
        """Under the cursor of the panes that are seen."""
        return self.panes.probed_unit if self.state.finding is not None and not self.has_class("texts") else ""

    def _offer(self, experiment: str, params: dict[str, Any], with_set: bool = True) -> None:
        from workbench.tui.pages import page_of

        entry = self.state.entry
        if entry is not None:
            asked = {"data": entry.name, **params} if with_set else params
            self.workbench.show(page_of(experiment)).offer(self._step(experiment, asked))

    def _step(self, experiment: str, params: dict[str, Any]) -> NextStep:
        from workbench.report import NextStep

        return NextStep(label="", experiment=experiment, params=params)

    @on(MapPanel.Opened)
    def _cell_opened(self, event: MapPanel.Opened) -> None:
        """What the cell stands for, as a step under this one."""
        from workbench.tui.cell_steps import cell_step

        finding, view, cell = self.state.finding, event.panel.heatmap, event.panel.cell
        if finding is None or view is None or cell is None:
            return
        record = finding.record
        step = cell_step(record.experiment, record.params, finding.parts.cells, view, *cell)
        if self.workbench.link is None:
            self.say(REPLAY, bad=True)
        elif step is not None:
            self.workbench.ask(step, parent=record.id)

    # --- keys: units ---

    @on(TablePanel.Opened)
    def _row_opened(self, event: TablePanel.Opened) -> None:
        if event.panel.unit:
            open_unit(self.workbench, event.panel.unit)

    @on(TablePanel.Pinned)
    async def _row_pinned(self, event: TablePanel.Pinned) -> None:
        if event.panel.unit:
            try:
                await toggle_pin(self.workbench, event.panel.unit)
            except UserError as error:
                self.say(str(error), bad=True)
