"""How things are drawn: with which colours, in which characters. Nothing here says anything by colour alone."""

from __future__ import annotations

import codecs
import locale
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import IO, Any, Literal

import rich.text

from workbench.settings import light_by_environment
from workbench.text import safe, shorten, width

Line = rich.text.Text
"""One line of a drawing. Model text is appended to it, never parsed as markup."""

Depth = Literal["rgb", "256", "16"]

_STEPS = 64
_PLAIN = str.maketrans(
    {
        "·": ".", "…": "~", "–": "-", "—": "-", "−": "-", "±": "+-", "→": ">", "←": "<", "↑": "^", "×": "x", "∞": "inf",
        "▇": "#", "█": "#", "▀": "'", "▄": ",", "│": "|", "─": "-", "└": "+", "┘": "+", "┌": "+", "┐": "+", "┤": "+",
        "├": "+", "┬": "+", "┴": "+", "┼": "+", "╎": "|", "•": "o", "◌": "", "≥": ">=", "≤": "<=", "★": "*", "‖": "|",
        "≈": "~", "✓": "v", "ε": "eps", "°": "deg", "▌": ">", "▏": "#", "⟨": "[", "⟩": "]",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A drawing's colours (rich style names or `#rrggbb`) and characters."""

    color: bool = True
    """False: nothing is coloured; dim and bold stay"""
    depth: Depth = "rgb"
    """24-bit colours, the fixed ones of 256, or the terminal's own sixteen"""
    dark: bool = True
    """the ground is"""
    ascii: bool = False
    """only ASCII characters, for locales that are not UTF-8"""
    foreground: str = "#e0e0e0"
    background: str = "#121212"
    clean: str = "#5fafd7"
    edited: str = "#e0a448"
    low: str = "#4d86d9"
    """the low (negative) end of signed scales"""
    high: str = "#d9634d"
    """the high end of signed scales"""
    good: str = "#6fbf73"
    bad: str = "#e06c60"
    more: tuple[str, ...] = ("#7fbf7f", "#c586c0", "#d7d75f", "#70c0b8", "#d78787", "#a0a0a0")
    """third series and on"""

    def paint(self, name: str, extra: str = "") -> str:
        """A rich style for a colour name of this class (`clean`), with attributes such as `bold`."""
        colour = getattr(self, name) if self.color else ""
        return f"{extra} {colour}".strip()

    def series(self, index: int) -> str:
        """The colour of the series at `index`: clean, edited, then the others in turn."""
        if not self.color:
            return ""
        return (self.clean, self.edited, *self.more)[index if index < 2 else 2 + (index - 2) % len(self.more)]

    @property
    def rgb(self) -> bool:
        """Colours can be mixed."""
        return self.depth != "16"

    def clean_text(self, text: str) -> str:
        """Any text as it may be drawn: safe, and ASCII where only that can be shown."""
        text = safe(text)
        if self.ascii and not text.isascii():
            text = text.translate(_PLAIN).encode("ascii", "backslashreplace").decode()
        return text

    def glyphs(self, text: str, plain: str) -> str:
        """Characters of ours: `text`, or `plain` where only ASCII can be shown."""
        return plain if self.ascii else text

    def shorten(self, text: str, cells: int) -> str:
        """`workbench.text.shorten`, in this style's characters."""
        return shorten(text, cells).replace("…", "~") if self.ascii else shorten(text, cells)

    def fit(self, text: str, cells: int, right: bool = False) -> str:
        """`workbench.text.fit`, in this style's characters."""
        text = self.shorten(text, cells)
        padding = " " * (cells - width(text))
        return padding + text if right else text + padding


# No bright colours, which are lost on light grounds, and blue, which is lost on many dark ones, last.
SIXTEEN = Style(
    depth="16", foreground="default", background="default", clean="cyan", edited="yellow", low="cyan", high="red",
    good="green", bad="red", more=("green", "magenta", "red", "blue"),
)  # fmt: skip
LIGHT = Style(
    dark=False, foreground="#202020", background="#fafafa", clean="#0b6aa2", edited="#a85f00", low="#2f6fd0",
    high="#c8442d", good="#2e7d32", bad="#b3261e",
    more=("#3a7d3a", "#8e3a8e", "#6f6f09", "#18766e", "#9a4a4a"),
)  # fmt: skip
DARK = Style()


def detect(stream: IO[Any], theme: str = "auto") -> Style:
    """The style for what is printed to `stream`: its encoding, `NO_COLOR`, COLORTERM and TERM are looked at."""
    term = os.environ.get("TERM", "")
    color = stream.isatty() and not os.environ.get("NO_COLOR") and term not in ("dumb", "")
    rgb = os.environ.get("COLORTERM", "") in ("truecolor", "24bit") or "direct" in term
    if theme == "ansi" or not (rgb or "256color" in term):
        base = SIXTEEN
    else:
        light = theme == "light" or (theme == "auto" and light_by_environment())
        base = replace(LIGHT if light else DARK, depth="rgb" if rgb else "256")
    return replace(base, color=color, ascii=not speaks_utf8(stream))


def speaks_utf8(stream: IO[Any] | None = None) -> bool:
    """Whether block and braille characters can be shown: the stream's (else the locale's) encoding is UTF-8.

    WORKBENCH_ASCII=1 says that they cannot, whatever the encoding.
    """
    if os.environ.get("WORKBENCH_ASCII", "0") not in ("", "0"):
        return False
    encoding = getattr(stream, "encoding", None) or locale.getpreferredencoding(False)
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False


def mix(low: str, high: str, share: float) -> str:
    """The colour `share` of the way from `low` to `high` (`#rrggbb`), in 64 steps."""
    return _mixed(low, high, round(share * _STEPS))


@lru_cache(maxsize=4096)
def _mixed(low: str, high: str, step: int) -> str:
    share = step / _STEPS
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (low, high)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


@lru_cache(maxsize=4096)
def readable_on(colour: str) -> str:
    """Black or white, whichever has the higher contrast with `colour` (`#rrggbb`); that is never below 4.5."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # WCAG's ratio with black is (luminance + .05) / .05, with white 1.05 / (luminance + .05).
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"
