"""Parameters of experiments: what a run is asked with, as data. Forms, flags, JSON and help follow from them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from workbench.datasets.conversation import Turn, problem_of, read_conversation
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.labelled.reading import read_typed
from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.errors import UserError
from workbench.units import direction_name

LABEL = 200
"""characters of a step's label"""
EVERY_DIRECTION = "all"
"""where directions are named: all that the session and the data folder have"""


class StoredProbe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fitted probe as it travels with a run, `workbench.artifacts.probe` reads it; without numbers none was named."""

    name: str = ""
    spec: dict[str, Any] = {}
    """all but its numbers, plain data"""
    numbers: bytes = b""
    """float64, little-endian"""

    def __bool__(self) -> bool:
        return bool(self.numbers)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a parameter is: its flag, its field, its completion, a step's label and what the log writes out follow."""

    name: str
    """in listings: `text`, `whole number`"""
    metavar: str = "TEXT"
    label: Callable[[Any], str] | None = None
    """of a value that a step is about: what the timeline calls the step"""
    read: Callable[[str], Any] | None = None
    """a value from what is typed into a flag or a field; None where the text is the value"""
    write: Callable[[Any], str] = str
    """what one would type for a value"""
    is_switch: bool = False
    """on or off: `--name` and `--no-name`"""
    units: bool = False
    """names units: completed from the model, and sets of the basket are written out when a step begins"""
    directions: bool = False
    """names directions: completed from the session, and their numbers travel with the run"""


_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*(?=,|\Z)|([^,]*))(?:,|\Z)')


def _items(text: str) -> list[str]:
    """What commas separate; one that holds a comma, a quote or outer spaces stands in quotes, as in a CSV."""
    items = []
    for match in _ITEM.finditer(text):
        in_quotes, plain = match.groups()
        if in_quotes is not None:
            items.append(in_quotes.replace('""', '"'))
        elif plain.strip():
            items.append(plain.strip())
    return items


def write_items(items: Iterable[object], separator: str = ",") -> str:
    """What `_items` reads as these."""
    return separator.join(
        f'"{item.replace(chr(34), 2 * chr(34))}"' if item != item.strip() or {",", '"'} & set(item) else item
        for item in map(str, items)
    )


def _switch(text: str) -> bool | str:
    return {"on": True, "off": False}.get(text, text)


def _on_off(value: Any) -> str:
    return "on" if value else "off"


def _read_prompts(text: str) -> list[PromptRow]:
    return read_prompts(Path(text).expanduser())


def _read_data(text: str) -> LabelledSet:
    return read_typed(text) if text.strip() else LabelledSet()


def _read_data_list(text: str) -> list[LabelledSet]:
    return [_read_data(item) for item in _items(text)]


def _read_probe(text: str) -> StoredProbe:
    """Names are looked up in the session, before this."""
    if text.strip():
        raise UserError(f"there is no probe {text.strip()} here: a session has the probes that were fitted in it")
    return StoredProbe()


def _read_direction(text: str) -> str:
    return f"@{direction_name(text)}" if text.strip() else ""


def _read_folder(text: str) -> str:
    """From where it is typed: the worker has another working directory."""
    return os.path.abspath(Path(text).expanduser()) if text.strip() else ""


def _messages(turns: Sequence[Any]) -> str:
    """Turns as JSON, as they are read again."""
    return msgspec.json.encode(turns).decode() if turns else ""


def _typed_set(value: Any) -> str:
    """A file or an `@NAME` that is not read yet; rows are more than a field can hold."""
    return value if isinstance(value, str) else ""


def _count_prompts(rows: Sequence[Any]) -> str:
    return f"{len(rows):,} prompts"


def _count_examples(labelled: Mapping[str, Any]) -> str:
    return f"{sum(len(text['spans']) for text in labelled.get('texts', ())):,} examples"


def _count_sets(sets: Sequence[Any]) -> str:
    return f"{len(sets)} data set{'s' * (len(sets) != 1)}"


TEXT = Kind(name="text")
TOKEN = Kind(name="token")
"""spaces as typed"""
WHOLE_NUMBER = Kind(name="whole number", metavar="N")
NUMBER = Kind(name="number", metavar="X", write="{:g}".format)
SWITCH = Kind(name="yes or no", is_switch=True, read=_switch, write=_on_off)
CHOICE = Kind(name="choice")
LIST = Kind(name="list", metavar="A,B,…", read=_items, write=lambda values: write_items(values, ", "))
NUMBERS = Kind(name="list of numbers", metavar="X,Y,…", read=_items, write=lambda values: ", ".join(map(str, values)))
PROMPT = Kind(name="prompt", label=str)
"""the text that the model reads"""
TEMPLATE = Kind(name="yes or no", is_switch=True, read=_switch, write=_on_off)
"""whether prompts are put into the model's chat template"""
PROMPT_SET = Kind(
    name="file of prompts", metavar="FILE|@NAME", label=_count_prompts, read=_read_prompts, write=_typed_set
)
DATA_SET = Kind(name="data set", metavar="NAME|FILE", label=_count_examples, read=_read_data, write=_typed_set)
"""a labelled set: a file, or the name of one that is stored or ships"""
DATA_SETS = Kind(name="list of data sets", metavar="A,B,…", label=_count_sets, read=_read_data_list, write=_typed_set)
"""several of them, typed with commas between"""
PROBE = Kind(name="probe", metavar="NAME", read=_read_probe, write=_typed_set)
"""a fitted probe of the session, by its name"""
STORED = (PROMPT_SET, DATA_SET, DATA_SETS, PROBE)
"""typed as files or names, sent as what that holds, and kept once in the session"""
CONVERSATION = Kind(name="conversation", metavar="FILE|JSON", read=read_conversation, write=_messages)
"""the turns of a chat before the prompt"""
UNIT = Kind(name="unit", metavar="UNIT", label=str, units=True)
UNITS = Kind(name="units", metavar="UNITS", label=str, units=True)
DIRECTION = Kind(name="direction", metavar="@NAME", label=str, read=_read_direction, directions=True)
"""one: `@refusal`, or a neuron's own weights, `@L12.N345.out`"""
DIRECTIONS = Kind(name="directions", metavar="@A,@B,…|all", directions=True)
"""several; EVERY_DIRECTION is written out when a step begins"""
CORPUS = Kind(name="corpus", label=str)
RULE = Kind(name="rule", label=str)
"""which tokens something holds for, as `find-neuron` reads it"""
INDEX = Kind(name="index", metavar="NAME")
SAE = Kind(name="SAE", metavar="NAME", label=str)
"""a registered sparse autoencoder, by its name"""
NEW_FOLDER = Kind(name="new folder", metavar="FOLDER", read=_read_folder)
"""where something is written: a path that is not there yet"""

PromptText = Annotated[str, PROMPT]
TokenText = Annotated[str, TOKEN]
UnitText = Annotated[str, UNIT]
UnitsText = Annotated[str, UNITS]
DirectionText = Annotated[str, DIRECTION]
DirectionsText = Annotated[str, DIRECTIONS]
CorpusText = Annotated[str, CORPUS]
RuleText = Annotated[str, RULE]
IndexName = Annotated[str, INDEX]
SaeName = Annotated[str, SAE]
NewFolder = Annotated[str, NEW_FOLDER]
ChatSwitch = Annotated[bool, TEMPLATE]


PromptSet = Annotated[list[PromptRow], PROMPT_SET]
DataSet = Annotated[LabelledSet, DATA_SET]
"""a field of this kind has `LabelledSet()` as its default: no data named"""
DataSets = Annotated[list[LabelledSet], DATA_SETS]
ProbeName = Annotated[StoredProbe, PROBE]
"""a field of this kind has `StoredProbe()` as its default: no probe named"""
Conversation = Annotated[list[Turn], CONVERSATION]


class Params(msgspec.Struct, kw_only=True, frozen=True):
    """Base of every experiment's parameters.

    A field is `name: Annotated[type, Meta(description=…, extra={"unit": …, "example": …})] = default`. The type is
    plain (str, int, float, bool, a Literal, a list of texts), or one that says its kind (`PromptText`, `TokenText`,
    `UnitText` …), so that flags, forms and JSON agree.
    """


class PromptParams(Params, kw_only=True, frozen=True):
    """What every experiment on prompts takes: one prompt, or a set of them."""

    prompt: Annotated[
        PromptText, Meta(description="the text the model reads", extra={"example": "The capital of France is"})
    ] = ""
    prompts: Annotated[
        PromptSet,
        Meta(
            description="a file of prompts instead: text (one a line), or JSONL, JSON or CSV with prompt, answer, foil",
            extra={"more": True},
        ),
    ] = []
    chat: Annotated[ChatSwitch, Meta(description="put the prompt into the model's chat template")] = False
    messages: Annotated[
        Conversation,
        Meta(
            description="a conversation that the prompt goes on with, in the chat template: a JSON file "
            '[{"role": "user", "content": "…"}, …]; its last turn is the prompt where none is given',
            extra={"more": True},
        ),
    ] = []

    def __post_init__(self) -> None:
        """A conversation that ends with the user's turn is a prompt, and the turns before it."""
        if self.messages and self.messages[-1].role == "user" and not (self.prompt or self.prompts):
            msgspec.structs.force_setattr(self, "prompt", self.messages[-1].content)
            msgspec.structs.force_setattr(self, "messages", self.messages[:-1])

    def rows(self) -> list[PromptRow]:
        """The prompts with their answers and foils. Raises UserError where a prompt and a set are given."""
        if self.prompts and self.prompt:
            raise UserError("a prompt and a prompt file were both given: leave one out")
        if self.messages:
            self._check_messages()
        return self.prompts or [self.single()]

    def _check_messages(self) -> None:
        """Raises UserError where the prompt can't be the conversation's next turn."""
        if problem := problem_of(self.messages):
            raise UserError(f"messages: {problem}")
        if self.messages[-1].role == "user":
            raise UserError("the messages end with the user's turn, and a prompt was given too: leave one of them out")
        if not self.chat:
            raise UserError("a conversation is read in the chat template: --chat")

    def single(self) -> PromptRow:
        """The one prompt, where no set is given."""
        return PromptRow(self.prompt)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter as forms, flags and listings show it."""

    name: str
    kind: Kind
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


_PLAIN: dict[Any, Kind] = {str: TEXT, int: WHOLE_NUMBER, float: NUMBER, bool: SWITCH, list[float]: NUMBERS}


@cache
def fields(params: type[Params]) -> tuple[Field, ...]:
    """A Params class as a list of fields, in its order."""
    hints = get_type_hints(params, include_extras=True)
    return tuple(_field(info, hints[info.name]) for info in msgspec.structs.fields(params))


def _field(info: Any, hint: Any) -> Field:
    annotations: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *annotations = get_args(hint)
    meta = next((annotation for annotation in annotations if isinstance(annotation, Meta)), None)
    extra = (meta.extra if meta else None) or {}
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    plain = CHOICE if choices else _PLAIN.get(hint, LIST)
    kind = next((annotation for annotation in annotations if isinstance(annotation, Kind)), plain)
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    low = meta and (meta.ge if meta.ge is not None else meta.gt)
    high = meta and (meta.le if meta.le is not None else meta.lt)
    return Field(
        name=info.name,
        kind=kind,
        default=default,
        help=(meta.description if meta else None) or "",
        unit=extra.get("unit", ""),
        example=str(extra.get("example", "")),
        choices=choices,
        minimum=low,
        maximum=high,
        more=bool(extra.get("more", False)),
    )


def naming_fields(params: type[Params]) -> list[str]:
    """The parameters that name units or directions."""
    return [field.name for field in fields(params) if field.kind.units or field.kind.directions]


def make_params(params: type[Params], values: dict[str, Any]) -> Any:
    """A validated Params. Strings are read as the field's type. Raises UserError naming field and bounds."""
    by_name = {field.name: field for field in fields(params)}
    for name in values:
        if name not in by_name:
            raise UserError(f"there is no parameter {name!r} here: there are {', '.join(by_name)}")
        if isinstance(value := values[name], str) and "\0" in value:
            raise UserError(f"{name}: the text holds a NUL (the character 0), which no command could be given")
    typed = {name: _typed(by_name[name].kind, value) for name, value in values.items()}
    try:
        return msgspec.convert(typed, params, strict=False)
    except msgspec.ValidationError as error:
        sentence, _, where = str(error).partition(" - at `$.")
        name = where.strip("`").partition("[")[0].partition(".")[0]
        field = by_name.get(name)
        shown = f" ({field.help}; for example {field.flag} {field.example or field.default})" if field else ""
        raise UserError(f"{name or 'a parameter'}: {sentence[0].lower()}{sentence[1:]}{shown}") from None


def _typed(kind: Kind, value: Any) -> Any:
    if kind is NUMBERS and isinstance(value, (list, tuple)):
        return [_number_typed(item) for item in value]
    return _number_typed(value) if kind is NUMBER else value


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


def read_params(params: type[Params], typed: Mapping[str, Any]) -> Any:
    """Parameters from what was typed into flags or fields; what is no text is a value already.

    Raises UserError naming field and bounds, or the file and its line.
    """
    by_name = {field.name: field for field in fields(params)}
    values = dict(typed)
    for name, value in typed.items():
        field = by_name.get(name)
        if field is None or not isinstance(value, str):
            continue
        if field.choices and value not in field.choices:
            raise UserError(f"{field.flag} {value}: there are {', '.join(field.choices)} ({field.help})")
        if field.kind.read is not None:
            values[name] = field.kind.read(value)
    return make_params(params, values)


def label_of(params: type[Params], values: Mapping[str, Any]) -> str:
    """What a step is about, in a few words: its prompt, how many there are, or the units it asks for.

    `values` are parameters as plain data, as the log has them.
    """
    for field in fields(params):
        value = values.get(field.name)
        if value and field.kind.label is not None:
            return field.kind.label(value)[:LABEL]
    return ""
