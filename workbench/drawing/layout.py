"""Lines that keep their width: headings, notes, wrapped text."""

from __future__ import annotations

from rich.cells import chop_cells

from workbench.drawing.style import Line, Style
from workbench.text import safe, width


def plain(text: str, style: str = "") -> Line:
    """A line of text that is not parsed as markup."""
    line = Line(end="", no_wrap=True)
    line.append(text, style)  # a span: what is appended later does not inherit it
    return line


def wrap(text: str, cells: int) -> list[str]:
    """`text` (already safe) on lines of at most `cells` terminal cells, broken between words where there are any."""
    cells = max(2, cells)
    lines: list[str] = []
    for paragraph in text.split("\n"):
        if width(paragraph) <= cells:
            lines.append(paragraph)
            continue
        current, used = "", 0
        for word in _words(paragraph):
            taken = width(word)
            if used + width(word.rstrip()) <= cells:
                current, used = current + word, used + taken
                continue
            if current:
                lines.append(current.rstrip())
            pieces = chop_cells(word, cells) if width(word.rstrip()) > cells else [word]
            lines += pieces[:-1]
            current, used = pieces[-1], width(pieces[-1])
        lines.append(current.rstrip())
    return lines


def _words(text: str) -> list[str]:
    """Words with the spaces that follow them."""
    words: list[str] = []
    start = 0
    for at in range(1, len(text)):
        if text[at - 1] == " " and text[at] != " ":
            words.append(text[start:at])
            start = at
    return [*words, text[start:]]


def paragraph(text: str, cells: int, style: Style, rich_style: str = "", indent: str = "") -> list[Line]:
    """Running text, wrapped; its own newlines stay."""
    text = "\n".join(style.clean_text(line) for line in safe(text, newlines=True).split("\n"))
    return [plain(indent + line, rich_style) for line in wrap(text, cells - len(indent))]


def heading(title: str, cells: int, style: Style) -> list[Line]:
    """A view's title, on one line; nothing where there is none."""
    return [plain(style.shorten(style.clean_text(title), cells), "bold")] if title else []


def footnote(note: str, cells: int, style: Style) -> list[Line]:
    """The dim line under a view: n, the baseline, what was left out."""
    return paragraph(note, cells, style, "dim") if note else []


def joined(*parts: str) -> str:
    """Notes side by side, leaving out empty ones."""
    return " · ".join(part for part in parts if part)


def align_points(texts: list[str]) -> list[str]:
    """Numbers with their points under each other; what is before and after the point is padded."""
    after = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    most = max(after, default=0)
    return [text + " " * (most - tail) for text, tail in zip(texts, after, strict=True)]
