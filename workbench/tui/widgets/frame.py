"""The frame: one line on top, one below, and a place above the lower one for a sentence that stays until read."""

from __future__ import annotations

from typing import Any, Protocol

from rich.text import Text
from textual.events import Click
from textual.widget import Widget

from workbench.text import safe, shorten, width
from workbench.tui.theme import ink


class Framed(Protocol):
    """A screen, as far as the frame's lines need it."""

    def heading(self) -> tuple[Text, Text]:
        """The top line's left and right."""

    def state_words(self) -> Text:
        """The lower line's left."""

    def keys_now(self) -> list[tuple[str, str]]:
        """Keys that work here and now with their labels, the way to all of them last."""


_KEY_WORDS = {
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "delete": "Del",
    "backspace": "Backspace",
    "colon": ":",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "asterisk": "*",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "slash": "/",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


def key_word(key: str) -> str:
    """A key as the help and the lower line name it: `Enter`, `Ctrl+C`, `F1`, `j`."""
    if key in _KEY_WORDS:
        return _KEY_WORDS[key]
    if key.startswith("upper_"):
        return key.removeprefix("upper_").upper()
    if key[:1] == "f" and key[1:].isdigit():
        return key.upper()
    if "+" in key:
        return "+".join(_KEY_WORDS.get(part, part.capitalize()) for part in key.split("+"))
    return key


_KEYS = {word: key for key, word in _KEY_WORDS.items()}


class FrameLine(Widget):
    """A line of the frame, sent anew only where it says something else than before."""

    DEFAULT_CSS = "FrameLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._line: Text | None = None

    def restate(self) -> None:
        """Redraws the line if its text has changed."""
        line = self.words()
        if self._line is None or (line.plain, line.spans) != (self._line.plain, self._line.spans):
            self.refresh()

    def render(self) -> Text:
        self._line = self.words()
        return self._line

    def words(self) -> Text:
        """The line as it is to be now, in the widget's width."""
        raise NotImplementedError


class TopLine(FrameLine):
    """What this is (screen, session, prompt) on the left, with what (model, edits) on the right."""

    DEFAULT_CSS = "TopLine { dock: top; }"

    def words(self) -> Text:
        page: Framed = self.screen  # type: ignore[assignment]
        left, right = page.heading()
        return two_ends(left, right, self.size.width)


class BottomLine(FrameLine):
    """How the worker and its job are on the left, the keys that work here and now on the right: a click presses one."""

    DEFAULT_CSS = "BottomLine { dock: bottom; }"

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[range, str]] = []
        """the cells of each key and its label, from the left"""

    def words(self) -> Text:
        page: Framed = self.screen  # type: ignore[assignment]
        colors = ink(self.app)
        state = page.state_words()
        space = self.size.width - 2
        keys = page.keys_now()
        least = width(_joined(keys[-1:])) if keys else 0
        state = Text(shorten(state.plain, max(0, min(width(state.plain), space - least - 3))), state.style)
        # What is least needed goes first; the way to all the keys stays to the last.
        while len(keys) > 1 and width(state.plain) + 3 + width(_joined(keys)) > space:
            keys = [*keys[:-2], keys[-1]]
        line = Text(no_wrap=True)
        for at, (key, label) in enumerate(keys):
            line.append("  " if at else "", colors.quiet)
            line.append(key, colors.strong)
            line.append(f" {label}", colors.quiet)
        gap = max(1, space - width(state.plain) - width(line.plain))
        at = 1 + width(state.plain) + gap
        self._keys = []
        for key, label in keys:
            cells = width(f"{key} {label}")
            self._keys.append((range(at, at + cells), key))
            at += cells + 2
        return Text.assemble(" ", state, " " * gap, line, no_wrap=True, overflow="crop")

    def on_click(self, event: Click) -> None:
        """Presses the key that is named there."""
        word = next((word for cells, word in self._keys if event.x in cells), None)
        pressable = {key_word(key): key for key in self.screen.active_bindings}
        if word and (key := pressable.get(word) or _KEYS.get(word)):
            self.app.simulate_key(key)


def _joined(keys: list[tuple[str, str]]) -> str:
    return "  ".join(f"{key} {label}" for key, label in keys)


_RIGHT_LEAST = 24


def two_ends(left: Text, right: Text, cells: int) -> Text:
    """A line with something at both ends; what does not fit goes from the right's end, then from the left's."""
    left, right = left.copy(), right.copy()
    room = cells - 2 - (2 if right.plain else 0)
    right.truncate(max(_RIGHT_LEAST, room - width(left.plain)), overflow="ellipsis")
    left.truncate(max(0, room - width(right.plain)), overflow="ellipsis")
    gap = max(1, cells - 2 - width(left.plain) - width(right.plain))
    return Text.assemble(" ", left, " " * gap, right, no_wrap=True, overflow="crop")


class Notice(Widget):
    """One sentence, in place. It stays until the next thing is done or Esc is pressed."""

    DEFAULT_CSS = """
    Notice { height: auto; max-height: 6; dock: bottom; margin-bottom: 1; padding: 0 1; display: none; }
    Notice.shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.sentence = ""
        self._bad = False

    def say(self, sentence: str, bad: bool = False) -> None:
        self.sentence, self._bad = sentence, bad
        self.set_class(bool(sentence), "shown")
        self.refresh(layout=True)

    def render(self) -> Text:
        colors = ink(self.app)
        mark = Text("! ", colors.bad) if self._bad else Text("")
        return mark + Text(safe(self.sentence, newlines=True), colors.plain)


class Rule(Widget):
    """The one thin line that separates; with words in it where they help."""

    DEFAULT_CSS = "Rule { height: 1; }"

    def __init__(self, words: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._words = words

    def update(self, words: str) -> None:
        self._words = words
        self.refresh()

    def render(self) -> Text:
        return rule(self._words, self.size.width, self.app)


def rule(words: str, cells: int, app: Any) -> Text:
    colors = ink(app)
    if not words:
        return Text("─" * cells, colors.line, no_wrap=True)
    words = shorten(safe(words), cells - 6)
    return Text.assemble(
        ("── ", colors.line),
        (words, colors.quiet),
        (" " + "─" * max(0, cells - width(words) - 4), colors.line),
        no_wrap=True,
    )
