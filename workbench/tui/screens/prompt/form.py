"""An experiment's parameters as a form: a handful at first, the rest under "more", all from its `Params`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, ItemGrid
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.text import safe
from workbench.tui.suggest import unit_goes_on
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field as TextField

if TYPE_CHECKING:
    from workbench.params import Field
    from workbench.tui.page import Page

APART = ("prompt", "chat")
"""shown by the screen itself, not as fields of the form"""
EXPECT = "expect"
_MOST = 4
"""fields shown at once, beside the prompt"""


class FormField(Horizontal):
    """A parameter: its name, its value, its unit."""

    DEFAULT_CSS = """
    FormField { height: 1; }
    FormField Static { width: auto; color: $quiet; }
    FormField Field { width: auto; max-width: 80%; min-width: 1; color: $primary; }
    FormField .unit { margin-left: 1; }
    """

    def __init__(self, field: Field, value: str, page: Page) -> None:
        super().__init__()
        self.field = field
        self.input = _input(field, value, page)

    def compose(self) -> ComposeResult:
        yield Static(safe(self.field.name.replace("_", " ")) + " ")
        if isinstance(self.input, Choice):
            yield self.input
        else:
            yield Static("⟨")
            yield self.input
            yield Static("⟩")
        if self.field.unit:
            yield Static(safe(self.field.unit), classes="unit")

    @property
    def value(self) -> str:
        return self.input.value

    def set(self, value: str) -> None:
        if isinstance(self.input, Choice):
            self.input.set(value)
        else:
            self.input.fill(value)


def _input(field: Field, value: str, page: Page) -> Choice | TextField:
    if field.type == "bool":
        return Choice(("off", "on"), value or written(field.default))
    if field.choices:
        return Choice(field.choices, value or written(field.default))
    goes_on = unit_goes_on(page) if field.name in ("units", "unit") else None
    return TextField(value, goes_on=goes_on, placeholder=_placeholder(field))


class Form(ItemGrid):
    """`values()` are those that differ from the defaults."""

    DEFAULT_CSS = """
    Form { height: auto; min-height: 1; padding: 0 2; grid-gutter: 0 2; }
    Form.-empty { display: none; }
    """

    class Submitted(Message):
        """Enter in one of the fields."""

    def __init__(self) -> None:
        super().__init__(min_column_width=34, stretch_height=False)
        self.more = False
        self._fields: list[Field] = []

    async def show(self, fields: list[Field], values: dict[str, Any]) -> None:
        """These parameters, filled with `values`; what was typed into fields of the same name stays otherwise."""
        typed = {field.field.name: field.value for field in self.fields}
        self._fields = [field for field in fields if field.name not in APART]
        page: Page = self.screen  # type: ignore[assignment]
        wanted = [field for field in self._fields if self.more or not self._hidden(field)]
        filled = {**typed, **{name: written(value) for name, value in values.items()}}
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(FormField(field, filled.get(field.name, ""), page) for field in wanted)
        self.set_class(not wanted, "-empty")

    def _hidden(self, field: Field) -> bool:
        first = [field for field in self._fields if not field.more and field.type != "prompts"]
        return field not in first[:_MOST]

    @property
    def has_more(self) -> bool:
        return any(map(self._hidden, self._fields))

    @property
    def fields(self) -> list[FormField]:
        return list(self.query(FormField))

    def values(self) -> dict[str, str]:
        """What was typed, by parameter; what was left alone is not in it."""
        return {
            one.field.name: one.value for one in self.fields if one.value and one.value != written(one.field.default)
        }

    def clear(self) -> None:
        for field in self.fields:
            field.set(written(field.field.default) if isinstance(field.input, Choice) else "")

    def help_of(self, widget: Widget | None) -> str:
        """What the field of this widget is for, with its unit, default and an example."""
        for field in self.fields:
            if widget is not None and widget in field.children:
                return explain(field.field)
        return ""

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())


def _placeholder(field: Field) -> str:
    default = written(field.default)
    if default:
        return default
    return f"such as {field.example}" if field.example else "–"


def explain(field: Field) -> str:
    """`top: how many of the likeliest tokens to list (tokens, 10 unless given, 1 to 1,000)`."""
    words = [field.unit] if field.unit else []
    default = written(field.default)
    words.append(f"{default} unless given" if default else "may stay empty")
    if field.example:
        words.append(f"for example {field.example!r}")
    if field.minimum is not None and field.maximum is not None:
        words.append(f"{field.minimum:g} to {field.maximum:g}")
    return f"{field.name.replace('_', ' ')}: {field.help} ({', '.join(words)})"


def written(value: Any) -> str:
    """A parameter's value as it is typed into a field."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
