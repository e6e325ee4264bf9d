"""One-line text fields: every printable key is theirs, nothing blinks, pasted newlines stay and never submit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Blur, Key, Paste
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Input

from workbench.text import safe
from workbench.tui import keys


def pictured(text: str) -> str:
    """Each character that a terminal must not get as one that stands for it, so that columns and cursor agree.

    `workbench.text.safe` writes such characters as several; here one has to stay one, since it can be edited.
    """
    if text.isprintable():
        return text
    return "".join(character if _harmless(character) else _picture(character) for character in text)


def _harmless(character: str) -> bool:
    return character.isprintable() and safe(character) in (character, "◌" + character)


def _picture(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "↵"
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"


async def run_own_binding(widget: Widget, event: Key) -> bool:
    """Does what the focused `widget` itself binds to a key that prints nothing, in its turn; whether it did.

    Textual lets such a key wander up to the app first: in a burst of keys, as a slow line brings them, a backspace
    would come after all the letters that were typed behind it.
    """
    if event.is_printable or widget.screen.focused is not widget:
        return False
    _, bindings = widget.screen._binding_chain[0]
    for binding in bindings.key_to_bindings.get(event.key, ()):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return True
    return False


class Field(Input, inherit_bindings=False):
    """An Input without box, in line with the words around it."""

    DEFAULT_CSS = """
    Field {
        height: 1; overflow: hidden hidden; border: none; padding: 0; background: $background; color: $foreground;
        &:focus { border: none; background: $panel; background-tint: $foreground 0%; }
        &.-invalid { border: none; }
        & > .input--placeholder, & > .input--suggestion { color: $quiet; }
        &:ansi { &:focus { background: ansi_default; text-style: underline; } }
    }
    """
    # Textual's own for text, without those of a scrolling container, which one line has no use for.
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            binding
            for binding in Input.BINDINGS
            if not isinstance(binding, Binding) or binding.action != "delete_left_all"
        ),
        *keys.FIELD,
    ]
    virtual_size = Reactive(Size(0, 0))
    """how wide what is typed is: it moves nothing else, so no key lays out the screen, as a widget's own would"""

    def __init__(self, value: str = "", *, suggest: Callable[[str], str] | None = None, **options: Any) -> None:
        self._suggest = suggest
        """the likeliest completion of a text, as a whole text, or nothing: shown behind the cursor; → takes it"""
        self.on_text_change: Callable[[], None] = lambda: None
        """called in the same turn as a change, so that what follows the text is painted in the same frame"""
        self._deleted: list[tuple[str, int]] = []
        """what stood here before each deletion of more than a character, and where the cursor was"""
        super().__init__(value, select_on_focus=False, compact=True, **options)
        self.cursor_blink = False

    def watch_value(self, value: str) -> None:
        # Textual's own suggesters answer in a later turn, which is a second repaint at every key.
        self._suggestion = self._suggest(value) if self._suggest and value else ""
        self.on_text_change()

    def fill(self, text: str) -> None:
        """Another text, with the cursor at its end."""
        self.value = text
        self.cursor_position = len(text)

    def delete(self, start: int, end: int) -> None:
        """A key that deletes more than a character can be undone."""
        if abs(end - start) > 1:
            self._deleted.append((self.value, self.cursor_position))
        super().delete(start, end)

    def _on_blur(self, event: Blur) -> None:
        super()._on_blur(event)
        self._deleted.clear()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where no words were deleted here, the key that undoes is the app's."""
        return bool(self._deleted) if action == "undo_deletion" else super().check_action(action, parameters)

    def action_undo_deletion(self) -> None:
        if self._deleted:
            self.value, self.cursor_position = self._deleted.pop()

    @property
    def _value(self) -> Text:
        return Text(pictured(self.value), no_wrap=True, overflow="ignore", end="")

    def _position_to_cell(self, position: int) -> int:
        return cell_len(pictured(self.value[:position]))

    async def _on_key(self, event: Key) -> None:
        await run_own_binding(self, event)

    def _on_paste(self, event: Paste) -> None:
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.replace(text, *sorted(self.selection))
        event.stop()
        event.prevent_default()
