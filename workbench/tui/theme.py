"""Colours: one restrained palette, its 16-colour twin, and the same as Rich styles for lines we draw ourselves."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor
from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

    from workbench.drawing.style import Style

DARK = Theme(
    name="workbench",
    dark=True,
    primary="#7fb4ca",
    secondary="#e2b86b",
    accent="#7fb4ca",
    foreground="#d7dbe0",
    background="#101418",
    surface="#101418",
    panel="#1c232b",
    success="#8fbf7f",
    warning="#e2b86b",
    error="#e8837a",
    variables={
        "quiet": "#8d97a5",
        "line": "#39424e",
        "cursor-line": "#212b36",
        "input-cursor-background": "#d7dbe0",
        "input-cursor-foreground": "#101418",
        "input-selection-background": "#2f4a5c",
        "scrollbar": "#39424e",
        "scrollbar-background": "#101418",
    },
)

LIGHT = Theme(
    name="workbench-light",
    dark=False,
    primary="#1f6580",
    secondary="#8a5a00",
    accent="#1f6580",
    foreground="#20252b",
    background="#fbfaf7",
    surface="#fbfaf7",
    panel="#eceae4",
    success="#39702d",
    warning="#8a5a00",
    error="#a83228",
    variables={
        "quiet": "#626b76",
        "line": "#c9c6bd",
        "cursor-line": "#e4e6e3",
        "input-cursor-background": "#20252b",
        "input-cursor-foreground": "#fbfaf7",
        "input-selection-background": "#b9d6e2",
        "scrollbar": "#c9c6bd",
        "scrollbar-background": "#fbfaf7",
    },
)

SIXTEEN = Theme(
    name="workbench-16",
    ansi=True,
    dark=True,
    primary="ansi_cyan",
    secondary="ansi_yellow",
    accent="ansi_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    variables={
        "quiet": "ansi_default",
        "line": "ansi_default",
        "cursor-line": "ansi_default",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_cyan",
        "input-selection-foreground": "ansi_black",
        "scrollbar": "ansi_default",
        "scrollbar-background": "ansi_default",
        "border": "ansi_default",
        "border-blurred": "ansi_default",
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
    },
)


_BY_SETTING = {"auto": DARK, "dark": DARK, "light": LIGHT, "ansi": SIXTEEN}


def use_theme(app: App[int], setting: str) -> None:
    """The settings' theme; the terminal's own sixteen colours where it has no more, or where none are wanted."""
    for theme in (DARK, LIGHT, SIXTEEN):
        app.register_theme(theme)
    few = app.console.color_system in (None, "standard", "windows") or bool(os.environ.get("NO_COLOR"))
    app.theme = SIXTEEN.name if few else _BY_SETTING[setting].name
    # Textual chose its filters before it knew the theme; without colours nothing is left but the terminal's own.
    app._filters = [
        line_filter for line_filter in app._filters if not isinstance(line_filter, Monochrome | NoColor | Ascii)
    ]
    if app.no_color:
        app._filters.append(NoColor())
    if plain_ascii():
        app._filters.append(Ascii())


def plain_ascii() -> bool:
    """The terminal says that it can't show more than ASCII (or the user does: WORKBENCH_ASCII=1)."""
    if setting := os.environ.get("WORKBENCH_ASCII"):
        return setting != "0"
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C.UTF-8"
    return "utf" not in locale.lower() or os.environ.get("TERM") in ("vt100", "vt220", "dumb")


_GROUPS = {
    ">": "▌▸→▶⟩”", "v": "▾↓▼✓", "^": "↑▲", "<": "←◀⟨≤", ".": "·…░", "-": "─━–—−", "|": "│┃", "+": "├└┌┐┘┤┬┴┼╭╮╰╯±",
    "#": "█▇▆▊▉▋▓", "=": "▄▅▒", "_": "▁▂▃", "'": "‘’", '"': "“", "*": "×●★•◆", "o": "○", "/": "↵",
}  # fmt: skip
_PLAIN = str.maketrans({character: plain for plain, characters in _GROUPS.items() for character in characters})
# Braille plots: denser characters for more dots.
_PLAIN.update({0x2800 + dots: " .:::||##"[dots.bit_count()] for dots in range(256)})
_PLAIN.update(str.maketrans({"‖": "|", "ρ": "r", "Σ": "S", "²": "2"}))


class Ascii(LineFilter):
    """Every character on the screen as ASCII, in as many cells. The texts kept and sent stay as they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.control or segment.text.isascii() else Segment(_ascii(segment.text), segment.style)
            for segment in segments
        ]


def _ascii(text: str) -> str:
    text = text.translate(_PLAIN)
    if text.isascii():
        return text
    from rich.cells import cell_len

    return "".join(character if character.isascii() else "?" * cell_len(character) for character in text)


class Ink:
    """The theme as Rich styles. Meaning never hangs on these alone: marks and words carry it."""

    def __init__(self, variables: dict[str, str], ansi: bool) -> None:
        self._variables = variables
        self.ansi = ansi
        """sixteen colours, or none: quietness is the terminal's own dim"""

    def _style(self, name: str, bold: bool = False, dim: bool = False) -> RichStyle:
        color = Color.parse(self._variables[name]).rich_color
        # False, not nothing: what is appended to a quiet text is not dim for it.
        return RichStyle(color=color, bold=bold or None, dim=dim if self.ansi else None)

    def color(self, name: str) -> str:
        """A theme variable as Rich names it, `default` where it is the terminal's own."""
        return Color.parse(self._variables[name]).rich_color.name

    @cached_property
    def plain(self) -> RichStyle:
        return self._style("foreground")

    @cached_property
    def strong(self) -> RichStyle:
        return self._style("foreground", bold=True)

    @cached_property
    def quiet(self) -> RichStyle:
        return self._style("quiet", dim=True)

    @cached_property
    def accent(self) -> RichStyle:
        return self._style("primary")

    @cached_property
    def second(self) -> RichStyle:
        """The edited run, what is expected, what needs attention."""
        return self._style("secondary")

    @cached_property
    def good(self) -> RichStyle:
        return self._style("success")

    @cached_property
    def bad(self) -> RichStyle:
        return self._style("error")

    @cached_property
    def line(self) -> RichStyle:
        return self._style("line", dim=True)

    @cached_property
    def cursor(self) -> RichStyle:
        """The background of the line under the cursor; bold where there are too few colours for one."""
        if self.ansi:
            return RichStyle(bold=True)
        return RichStyle(bgcolor=Color.parse(self._variables["cursor-line"]).rich_color)


def ink(app: App[Any]) -> Ink:
    """The Ink of the app's current theme."""
    cached: tuple[str, Ink] | None = getattr(app, "_ink", None)
    if cached is None or cached[0] != app.theme:
        # Made from the theme itself: `app.theme_variables` are those of the theme before until the CSS is read anew.
        cached = (app.theme, Ink(app.get_css_variables(), app.native_ansi_color))
        app._ink = cached  # type: ignore[attr-defined]
    return cached[1]


def drawing_style(app: App[Any]) -> Style:
    """How views are drawn in this theme."""
    from workbench.drawing import style as draw_style  # brings numpy, which the first paint does without

    colors = ink(app)
    base = draw_style.SIXTEEN if colors.ansi else draw_style.DARK if app.current_theme.dark else draw_style.LIGHT
    return replace(
        base,
        depth="256" if app.console.color_system == "256" and base.rgb else base.depth,
        color=not app.no_color,
        ascii=plain_ascii(),
        foreground=colors.color("foreground"),
        background=colors.color("background"),
        clean=colors.color("primary"),
        edited=colors.color("secondary"),
        good=colors.color("success"),
        bad=colors.color("error"),
    )
