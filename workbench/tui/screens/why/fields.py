"""The question as fields: prompt, answer, foil, how many to pick."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field

EXAMPLE = {"prompt": "The capital of France is", "answer": " Paris"}
_ABOUT = {
    "prompt": ("the text the model reads", "such as The capital of France is"),
    "answer": ("the next token to explain, with its space", "the top prediction"),
    "foil": ("compare with: how far the logits are apart", "none"),
    "size": ("how many neurons to pick", "5"),
}


class QuestionFields(Vertical):
    """`values()` are those that were filled in."""

    DEFAULT_CSS = """
    QuestionFields { height: auto; padding: 1 2 1 2; }
    QuestionFields Horizontal { height: 1; }
    QuestionFields Static { width: auto; color: $quiet; }
    QuestionFields .name { width: 8; color: $foreground; }
    QuestionFields .value { width: 24; padding-right: 2; }
    QuestionFields #wide { width: 1fr; }
    QuestionFields .about { width: 1fr; }
    QuestionFields Field { width: 1fr; color: $primary; }
    QuestionFields.short { padding: 0 2; }
    """

    class Submitted(Message):
        """Enter in one of the fields."""

    def compose(self) -> ComposeResult:
        for name, (about, example) in _ABOUT.items():
            with Horizontal():
                yield Static(name, classes="name")
                with Horizontal(id="wide" if name == "prompt" else None, classes="value"):
                    yield Static("⟨")
                    yield Field(id=name, placeholder=example)
                    yield Static("⟩")
                if name != "prompt":
                    yield Static(about, classes="about")
        with Horizontal():
            yield Static("chat", classes="name")
            with Horizontal(classes="value"):
                yield Choice(("off", "on"), "off", id="chat")
            yield Static("put the prompt into the chat template", classes="about")

    def field(self, name: str) -> Field:
        return self.query_one(f"#{name}", Field)

    def fill(self, params: dict[str, Any]) -> None:
        """As in this question; what is not in it becomes empty."""
        for name in _ABOUT:
            value = params.get(name, "")
            self.field(name).fill(value if isinstance(value, str) else str(value))
        self.query_one("#chat", Choice).set("on" if params.get("chat") else "off")

    def values(self) -> dict[str, Any]:
        """What is asked, as parameters; an empty field is left to its default."""
        params: dict[str, Any] = {name: value for name in _ABOUT if (value := self.field(name).value)}
        if "size" in params:
            params["size"] = params["size"].strip()
        if self.query_one("#chat", Choice).value == "on":
            params["chat"] = True
        return params

    def focus_first(self) -> None:
        """Where there is something to type."""
        self.field("prompt").focus()

    def places(self) -> list[Field | Choice]:
        """Tab's round."""
        return [*map(self.field, _ABOUT), self.query_one("#chat", Choice)]

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())
