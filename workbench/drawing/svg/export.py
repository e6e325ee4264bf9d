"""`export_svg`: a view as one SVG document, drawn by matplotlib, which is imported when the first one is asked for."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

from workbench.drawing.check import mismatch
from workbench.drawing.svg.heat import heatmap_figure
from workbench.drawing.svg.page import RC, Page, PaperColumns
from workbench.drawing.svg.plots import bars_figure, histogram_figure, lines_figure, scatter_figure
from workbench.drawing.svg.tables import scalars_figure, table_figure
from workbench.drawing.svg.words import text_figure, tokens_figure
from workbench.paths import cache_dir
from workbench.views import AnyView, Bars, Heatmap, Histogram, Lines, Scalars, Scatter, Table, Text, Tokens

_LOCK = threading.Lock()
"""matplotlib's settings are the process's"""


def export_svg(view: AnyView, columns: PaperColumns = 2, titled: bool = True) -> str:
    """The view as an SVG document on a white ground, for one (3.25 in) or two (6.75 in) columns of a paper.

    The same view gives the same bytes. `titled`: with the view's title on top; its note is always below. A view whose
    parts do not fit together becomes a sentence that says so.
    """
    page = Page(columns, view.title if titled else "", [view.note])
    problem = mismatch(view)
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # characters that our font lacks: the reader's fonts draw them
        matplotlib = _matplotlib()
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # nobody's own settings
            matplotlib.rcParams.update(RC)
            if problem:
                figure = text_figure(Text(title="", text=f"this view cannot be drawn: {problem}"), page)
            else:
                figure = _DRAWN[type(view)](view, page)
            out = io.StringIO()
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _matplotlib() -> Any:
    # Its list of the system's fonts is kept where our caches are.
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib

    return matplotlib


_DRAWN: dict[type, Callable[[Any, Page], Any]] = {
    Table: table_figure,
    Scalars: scalars_figure,
    Tokens: tokens_figure,
    Lines: lines_figure,
    Bars: bars_figure,
    Histogram: histogram_figure,
    Scatter: scatter_figure,
    Heatmap: heatmap_figure,
    Text: text_figure,
}
