"""A token inside running text: how it is written, and how the strongest one is marked, with colour and without."""

from __future__ import annotations

from workbench.drawing.style import Style
from workbench.text import width


def token_text(token: str, style: Style) -> str:
    """A token as it stands in running text: its spaces as they are, line ends as `↵`, what is unsafe visible.

    Never without width: an empty token is `∅`, one that takes no cell of its own sits on `◌`.
    """
    if not token:
        return style.glyphs("∅", "{}")
    shown = style.glyphs("↵", "\\n").join(map(style.clean_text, token.split("\n")))
    return shown if width(shown) else "◌" + shown


def body_of(text: str) -> tuple[int, int]:
    """Start and end of a token's text without the spaces around it; of all of it where there is nothing else."""
    body = text.strip(" ") or text
    start = text.index(body)
    return start, start + len(body)


def with_peak_mark(text: str, style: Style) -> str:
    """The strongest token's text: between `⟨` and `⟩` (`[ ]` in ASCII) where no colour can say so."""
    if style.color:
        return text
    start, end = body_of(text)
    return f"{text[:start]}{style.glyphs('⟨', '[')}{text[start:end]}{style.glyphs('⟩', ']')}{text[end:]}"


def peak_parts(text: str, fill: str, style: Style) -> list[tuple[str, str]]:
    """The strongest token's text, marked, in parts with their rich styles: bold, underlined where it has no marks."""
    start, end = body_of(text)
    look = f"bold underline {fill}".rstrip() if style.color else "bold"
    return [(text[:start], fill), (text[start:end], look), (text[end:], fill)]
