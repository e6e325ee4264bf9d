"""Parameters of experiments: what a run is asked with, as data. Forms, flags, JSON and help follow from them."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from workbench.errors import UserError


class PromptRow(msgspec.Struct, frozen=True):
    """One line of a prompt set."""

    prompt: str
    answer: str = ""
    foil: str = ""


class Params(msgspec.Struct, kw_only=True, frozen=True):
    """Base of every experiment's parameters.

    A field is `name: Annotated[type, Meta(description=…, extra={"unit": …, "example": …, "flag": False})] = default`.
    Plain types only (str, int, float, bool, lists of them), so that flags, forms and JSON agree.
    """


class PromptParams(Params, kw_only=True, frozen=True):
    """What every experiment on prompts takes: one prompt, or a set of them."""

    prompt: Annotated[
        str, Meta(description="the text the model reads", extra={"example": "The capital of France is"})
    ] = ""
    prompts: Annotated[
        list[PromptRow],
        Meta(description="a file of prompts instead: text (one a line) or JSONL with prompt, answer, foil"),
    ] = []
    chat: Annotated[bool, Meta(description="put the prompt into the model's chat template")] = False

    def rows(self) -> list[PromptRow]:
        """The prompts with their answers and foils. Raises UserError where there is none."""
        if self.prompts and self.prompt:
            raise UserError("a prompt and a prompt file were both given: leave one out")
        if self.prompts:
            return self.prompts
        return [PromptRow(self.prompt, getattr(self, "answer", ""), getattr(self, "foil", ""))]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter as forms, flags and listings show it."""

    name: str
    type: str
    """str, int, float, bool, prompts, or list"""
    default: Any
    help: str
    unit: str = ""
    example: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    more: bool = False
    """belongs under "more" in a form"""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@cache
def fields(params: type[Params]) -> tuple[Field, ...]:
    """A Params class as a list of fields, in its order."""
    hints = get_type_hints(params, include_extras=True)
    return tuple(_field(info, hints[info.name]) for info in msgspec.structs.fields(params))


def _field(info: Any, hint: Any) -> Field:
    meta: Meta | None = None
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        meta = next((item for item in rest if isinstance(item, Meta)), None)
    extra = (meta.extra if meta else None) or {}
    kind = {str: "str", int: "int", float: "float", bool: "bool"}.get(hint)
    choices: tuple[str, ...] = ()
    if kind is None:
        if str(get_origin(hint)) == "typing.Literal":
            kind, choices = "str", get_args(hint)
        elif get_args(hint) and get_args(hint)[0] is PromptRow:
            kind = "prompts"
        else:
            kind = "list"
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    low = meta and (meta.ge if meta.ge is not None else meta.gt)
    high = meta and (meta.le if meta.le is not None else meta.lt)
    return Field(
        name=info.name,
        type=kind,
        default=default,
        help=(meta.description if meta else None) or "",
        unit=extra.get("unit", ""),
        example=str(extra.get("example", "")),
        choices=choices,
        minimum=low,
        maximum=high,
        more=bool(extra.get("more", False)),
    )


def make_params(params: type[Params], values: dict[str, Any]) -> Any:
    """A validated Params. Strings are read as the field's type. Raises UserError naming field and bounds."""
    known = {field.name: field for field in fields(params)}
    for name in values:
        if name not in known:
            raise UserError(f"there is no parameter {name!r} here: there are {', '.join(known)}")
    typed = {name: _number_typed(value) if known[name].type == "float" else value for name, value in values.items()}
    try:
        return msgspec.convert(typed, params, strict=False)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at `$.")
        name = where.strip("`").partition("[")[0].partition(".")[0]
        field = known.get(name)
        shown = f" ({field.help}; for example {field.flag} {field.example or field.default})" if field else ""
        raise UserError(f"{name or 'a parameter'}: {sentence[0].lower()}{sentence[1:]}{shown}") from None


def _number_typed(value: Any) -> Any:
    """`.5` and `1e-3` as people type them; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def params_builtins(params: Params) -> dict[str, Any]:
    """Parameters as plain data, for the log and `--json`."""
    plain: dict[str, Any] = msgspec.to_builtins(params)
    return plain
