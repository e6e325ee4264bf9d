"""A figure of a paper: its width, its title and note, its colours and letters. Sizes in points (72 an inch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from workbench.drawing.layout import wrap
from workbench.text import safe, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PaperColumns = Literal[1, 2]
WIDTHS: dict[int, float] = {1: 3.25 * 72, 2: 6.75 * 72}
"""points, by the columns of a paper that a figure takes"""
FONT, SMALL = 8.0, 7.0
LINE = 1.35
"""lines' distance, as a share of the font's size"""
CELL = 0.602
"""width of a character in monospace, as a share of the font's size; of others about as much at most"""
INK, QUIET, RULE = "#1a1a1a", "#595959", "#b0b0b0"
GROUND = "#ffffff"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a6761d", "#56b4e9", "#000000")
"""told apart with any colour vision: Okabe & Ito 2008, its yellow and orange left out, too light for lines"""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MONO = ["DejaVu Sans Mono", "Menlo", "Consolas", "monospace"]
RC: dict[str, object] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "workbench",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],  # the first comes with matplotlib
    "font.size": FONT,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": FONT,
    "axes.unicode_minus": True,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
}


class Page:
    """A figure with room above for the view's title and below for its note; `body` is drawn between them."""

    def __init__(self, columns: PaperColumns, title: str, notes: Sequence[str]) -> None:
        self.width = WIDTHS[columns]
        self.title = title
        self.notes = [note for note in notes if note]

    def characters(self, size: float) -> int:
        """Characters of monospace of this size on a line."""
        return max(8, int(self.width / (size * CELL)))

    def figure(self, height: float) -> Figure:
        """The figure with its title and note, for a body of `height` points; notes must be complete by now."""
        from matplotlib.figure import Figure

        title = self._lines(self.title, FONT + 1, 2)
        note = self._lines(" · ".join(self.notes), SMALL, 8)
        self._above = len(title) * (FONT + 1) * LINE + (5 if title else 0)
        self._below = len(note) * SMALL * LINE + (3 if note else 0)
        self.height = height + self._above + self._below
        figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=72)
        for at, line in enumerate(title):
            top = 1 - (2 + at * (FONT + 1) * LINE) / self.height
            figure.text(0.0, top, line, ha="left", va="top", fontsize=FONT + 1, fontweight="bold")
        for at, line in enumerate(note):
            top = (self._below - 3 - at * SMALL * LINE) / self.height
            figure.text(0.0, top, line, ha="left", va="top", fontsize=SMALL, color=QUIET)
        return figure

    def _lines(self, text: str, size: float, most: int) -> list[str]:
        cells = self.characters(size)
        lines = wrap(" ".join(safe(text, newlines=True).split("\n")), cells) if text else []
        return lines if len(lines) <= most else [*lines[: most - 1], shorten(lines[most - 1], cells - 2) + " …"]

    def plot(self, height: float, rows_above: int = 0) -> tuple[Figure, Axes]:
        """A figure with axes that leave room for their labels, and for rows of small labels on top of them."""
        figure = self.figure(height + rows_above * SMALL * LINE)  # the layout makes room for what stands outside
        bottom, top = self._below / self.height, 1 - self._above / self.height
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        rect = (0, bottom, 1, top - bottom)
        figure.set_layout_engine(ConstrainedLayoutEngine(rect=rect, w_pad=2 / 72, h_pad=2 / 72))
        return figure, figure.add_subplot()

    def sheet(self, height: float) -> tuple[Figure, Axes]:
        """A figure with axes that measure points, from the body's upper left corner down."""
        figure = self.figure(height)
        axes = figure.add_axes((0, self._below / self.height, 1, height / self.height))
        axes.set_xlim(0, self.width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        return figure, axes


def color(index: int) -> str:
    """Of the series at `index`."""
    return PALETTE[index % len(PALETTE)]


def label(text: str, cells: int) -> str:
    """Text of a view or a model as it may stand in a figure: on one line, nothing in it is read as a command."""
    return shorten(safe(text), cells)


def name_of_axis(text: str, cells: int) -> str:
    """An axis' name on as many lines as it takes."""
    return "\n".join(wrap(safe(text), cells))
