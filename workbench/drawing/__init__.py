"""Views as lines of text: for the command line, for the TUI's widgets, for files. Never torch, never textual.

`draw` gives rich Text lines, none wider than asked. Model text passes `workbench.text.safe` and is appended as plain
text: nothing in it is read as markup.
"""

from workbench.drawing.export import export_csv, export_text
from workbench.drawing.look import Look
from workbench.drawing.style import DARK, LIGHT, SIXTEEN, Line, Style, detect, speaks_utf8
from workbench.drawing.view import draw

__all__ = [
    "DARK",
    "LIGHT",
    "SIXTEEN",
    "Line",
    "Look",
    "Style",
    "detect",
    "draw",
    "export_csv",
    "export_text",
    "speaks_utf8",
]
