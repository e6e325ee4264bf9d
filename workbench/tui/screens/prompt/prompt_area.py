"""Where the prompt is written. Enter runs; pasted line breaks stay in the text."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import TextArea

from workbench.tui import keys
from workbench.tui.widgets.field import pictured, run_own_binding


class PromptArea(TextArea, inherit_bindings=False):
    """Grows with its text up to a third of the screen."""

    DEFAULT_CSS = """
    PromptArea {
        height: auto; max-height: 33vh; border: none; padding: 0 1; scrollbar-size: 1 1;
        background: $background; color: $foreground; text-style: bold;
        &:focus { border: none; background: $background; }
        & .text-area--cursor-line { background: $background; }
        & .text-area--placeholder { color: $quiet; }
        & .text-area--cursor { background: $input-cursor-background; color: $input-cursor-foreground; }
        &:ansi .text-area--cursor { text-style: reverse; }
    }
    """
    # Textual's own for text, without those of a scrolling container, since the text is wrapped, and without F6 and F7,
    # which lead to other screens from anywhere.
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            binding
            for binding in TextArea.BINDINGS
            if not isinstance(binding, Binding) or binding.key not in ("f6", "f7")
        ),
        *keys.WRITE,
    ]

    class Submitted(Message):
        """Enter was pressed, by hand."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            soft_wrap=True, tab_behavior="focus", show_line_numbers=False, compact=True, highlight_cursor_line=False,
            placeholder="the text the model reads", **options,
        )  # fmt: skip
        self.cursor_blink = False

    def get_line(self, line_index: int) -> Text:
        return Text(pictured(self.document.get_line(line_index)), end="", no_wrap=True)

    def set_text(self, text: str) -> None:
        """Another prompt, with the cursor at its end."""
        if text != self.text:
            self.text = text
            self.move_cursor(self.document.end)

    async def _on_key(self, event: Key) -> None:
        await run_own_binding(self, event)  # Enter among them: TextArea would break the line

    async def _on_paste(self, event: Paste) -> None:
        event.prevent_default()
        event.stop()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.insert(text)

    def action_submit(self) -> None:
        self.post_message(self.Submitted())

    def action_newline(self) -> None:
        self.insert("\n")
