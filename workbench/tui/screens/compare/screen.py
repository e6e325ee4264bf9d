"""Two steps side by side: what differs in how they were asked, then in what they found."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget

from workbench.text import safe
from workbench.tui.latest import Following
from workbench.tui.page import Page
from workbench.tui.screens.compare.difference import differences, scalars_table
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.result import ResultPane
from workbench.tui.widgets.view_panel import ViewPanel
from workbench.tui.widgets.words import Words

_BESIDE = 100
"""cells from which the two stand side by side; below, one above the other"""


class Compare(Page):
    NAME = "Compare"
    ABOUT = (
        "Two steps of the session: above, what differs in how they were asked and in the numbers that both have; below "
        "the two results. Tab goes from one to the other, Esc back to the timeline."
    )
    AUTO_FOCUS = "#first"
    DEFAULT_CSS = """
    Compare #what { height: auto; padding: 0 2; margin: 1 0 0 0; }
    Compare #numbers { height: auto; max-height: 40%; padding: 0 2; margin: 1 0 0 0; }
    Compare #two { height: 1fr; layout: vertical; }
    Compare.beside #two { layout: horizontal; }
    Compare.beside #between { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._steps = (0, 0)
        self._reads = Following(self, self._show_differences, lambda sentence: self.trouble(self._reads, sentence))

    def body(self) -> ComposeResult:
        yield Words(id="what")
        with VerticalScroll(id="numbers", can_focus=False):
            yield ViewPanel()
        yield Rule("")
        with Horizontal(id="two"):
            yield ResultPane(brief=True, id="first")
            yield Rule("", id="between")
            yield ResultPane(brief=True, id="second")

    def details(self) -> str:
        return f" · steps {self._steps[0]} and {self._steps[1]}" if self._steps[0] else ""

    def default_focus(self) -> Widget:
        return self.query_one("#first")

    def show_steps(self, first: int, second: int) -> None:
        """These two, the earlier one first."""
        self._steps = (first, second)
        if self.is_mounted:
            self._show()

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= _BESIDE, "beside")

    def session_changed(self) -> None:
        for pane in self.query(ResultPane):
            pane.reread()

    def _show(self) -> None:
        for name, step in zip(("#first", "#second"), self._steps, strict=True):
            self.query_one(name, ResultPane).show(step)
        self.refresh_frame()
        self._reads.ask()

    async def _show_differences(self) -> None:
        first_step, second_step = self._steps
        first, second = await self.workbench.feed.read(
            lambda reader: (reader.step(first_step), reader.step(second_step))
        )
        lines = differences(first, second)
        alike = "asked alike: same experiment, parameters, edits, seed and model"
        text = "\n".join(safe(line) for line in lines) or alike
        self.query_one("#what", Words).show(lambda colors: Text(text, colors.plain if lines else colors.quiet))
        table = scalars_table(first, second)
        self.query_one("#numbers").display = table is not None
        self.query_one(ViewPanel).show(table)
