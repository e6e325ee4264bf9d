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
from workbench.tui.suggest import suggester
from workbench.tui.widgets.choice import Choice
from workbench.tui.widgets.field import Field as TextField

if TYPE_CHECKING:
    from workbench.params import Field
    from workbench.tui.page import Page


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
    if field.kind.is_switch:
        return Choice(("off", "on"), value or field.kind.write(field.default))
    if field.choices:
        return Choice(field.choices, value or field.kind.write(field.default))
    return TextField(value, suggest=suggester(page, field.kind), placeholder=_placeholder(field))


class Form(ItemGrid):
    """`values()` are those that differ from the defaults."""

    DEFAULT_CSS = """
    Form { height: auto; min-height: 1; padding: 0 2; grid-gutter: 0 2; }
    Form.-empty { display: none; }
    """

    class Submitted(Message):
        """Enter in one of the fields."""

    def __init__(self, shown_at_first: int) -> None:
        """`shown_at_first` fields are shown at once, the others under "more"."""
        super().__init__(min_column_width=34, stretch_height=False)
        self._shown_at_first = shown_at_first
        self.more = False
        self._fields: list[Field] = []

    async def show(self, fields: list[Field], values: dict[str, Any]) -> None:
        """These parameters, filled with `values`; what was typed into fields of the same name stays otherwise.

        One of `values` that is not the default has its field shown: it is part of what is asked.
        """
        typed = {field.field.name: field.value for field in self.fields}
        self._fields = fields
        page: Page = self.screen  # type: ignore[assignment]
        new_values = {field.name: field.kind.write(values[field.name]) for field in fields if field.name in values}
        filled_in = {name for name, text in new_values.items() if text}
        shown = [
            field
            for field in fields
            if self.more
            or not self._hidden(field)
            or (field.name in filled_in and new_values[field.name] != field.kind.write(field.default))
        ]
        filled = {**typed, **new_values}
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(FormField(field, filled.get(field.name, ""), page) for field in shown)
        self.set_class(not shown, "-empty")

    def _hidden(self, field: Field) -> bool:
        first = [field for field in self._fields if not field.more]
        return field not in first[: self._shown_at_first]

    @property
    def has_more(self) -> bool:
        return any(map(self._hidden, self._fields))

    @property
    def fields(self) -> list[FormField]:
        return list(self.query(FormField))

    def values(self) -> dict[str, str]:
        """What was typed, by parameter; what was left alone is not in it."""
        return {
            field.field.name: field.value
            for field in self.fields
            if field.value and field.value != field.field.kind.write(field.field.default)
        }

    def enter(self) -> None:
        """Into its first field."""
        for field in self.fields[:1]:
            field.input.focus()

    def forget(self, name: str) -> None:
        """Empties the field of this parameter."""
        for field in self.fields:
            if field.field.name == name:
                field.set("")

    def clear(self) -> None:
        for field in self.fields:
            field.set(field.field.kind.write(field.field.default) if isinstance(field.input, Choice) else "")

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
    default = field.kind.write(field.default)
    if default:
        return default
    return f"such as {field.example}" if field.example else "–"


def explain(field: Field) -> str:
    """`top: how many of the likeliest tokens to list (tokens, 10 unless given, 1 to 1,000)`."""
    words = [field.unit] if field.unit else []
    default = field.kind.write(field.default)
    words.append(f"{default} unless given" if default else "may stay empty")
    if field.example:
        words.append(f"for example {field.example!r}")
    if field.minimum is not None and field.maximum is not None:
        words.append(f"{field.minimum:g} to {field.maximum:g}")
    return f"{field.name.replace('_', ' ')}: {field.help} ({', '.join(words)})"
