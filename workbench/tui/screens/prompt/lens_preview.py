"""A preview of the logit lens beside a prediction: a peek, so it is not logged; a next step logs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.tui.screens.run.runner import Runner
    from workbench.tui.widgets.result.snapshot import Snapshot

SLOT = "prompt-lens"
KEY = "look:lens"


class LensPreview:
    """After a finished prediction of one prompt, where there is room for a second view and a worker to ask."""

    def __init__(self, page: Runner) -> None:
        self._page = page
        self._step: int | None = None

    def after(self, snapshot: Snapshot) -> None:
        record, page = snapshot.record, self._page
        app = page.workbench
        if record.id == self._step or not snapshot.finished or record.status != "done":
            return
        applies = record.experiment == "predict" and not record.params.get("prompts")
        if not (applies and page.result.is_wide and app.link and app.link.connected):
            return
        self._step = record.id
        page.run_worker(self._peek(snapshot), group="lens-preview", exclusive=True)

    async def _peek(self, snapshot: Snapshot) -> None:
        from workbench.edits import Edit
        from workbench.tui.widgets.result.snapshot import ShownView
        from workbench.views import from_builtins
        from workbench.worker.peeks import peek_views
        from workbench.worker.protocol import Peek

        record = snapshot.record
        params = {
            name: record.params[name] for name in ("prompt", "chat", "messages", "answer") if record.params.get(name)
        }
        try:
            edits: Any = from_builtins(record.edits, as_type=list[Edit])
            session = str(self._page.workbench.session_path())
            answer = await self._page.workbench.request(
                Peek(slot=SLOT, experiment="logit-lens", params=params, edits=edits, session=session, step=record.id)
            )
            views = [] if answer.replaced else peek_views(answer)
        except (UserError, ValueError):
            return  # without a preview the result is still complete
        result = self._page.result
        if views and result.step == record.id:
            lines = max(12, result.size.height - 14)
            await result.show_beside(
                ShownView(
                    key=KEY,
                    title="Logit lens preview (1 saves it)",
                    revision=0,
                    view=views[0],
                    lines=lines,
                    experiment="logit-lens",
                    params=params,
                )
            )
