"""Rows of text and target, as files and folders give them, to a labelled set: which target is label 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench.datasets.labelled.labelled_set import LabelledSet, LabelledText, Read, Span
from workbench.errors import UserError
from workbench.text import count, quoted

MANY_NUMBERS = 10
"""more different numbers than that are targets to be predicted, not classes"""
SHOWN = 24
"""classes that a refusal names"""
_TRUTH = {"true": "1", "false": "0", "yes": "1", "no": "0"}


class Row(NamedTuple):
    """One example as a file has it."""

    text: str
    target: str
    where: str
    """file and line"""
    document: str = ""
    """empty: the text is a document by itself"""
    span: tuple[int, int] | None = None
    """characters that are labelled; None: all of the text"""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a file doesn't say of itself."""

    positive: str = ""
    """the target that is label 1, against all others; empty: 1, true, yes, or of two names the second in their order"""
    numeric: bool | None = None
    """targets are numbers; None: where there are more than MANY_NUMBERS, or one is no whole number"""
    read: Read = "last"
    target: str = ""
    """the column or key that holds the targets; empty: `target` or `label`"""


def labelled_set(name: str, rows: Sequence[Row], choice: Choice | None, note: str) -> LabelledSet:
    """Raises UserError naming the line, or the classes there are."""
    choice = choice or Choice()
    for row in rows:
        _check(row)
    numbers = [_number(row.target) for row in rows]
    different = Counter(row.target for row in rows)
    numeric = choice.numeric
    if numeric is None:
        values = {value for value in numbers if value is not None}
        fractional = any(not value.is_integer() for value in values)
        numeric = not choice.positive and None not in numbers and len(values) > 2
        numeric = numeric and (len(values) > MANY_NUMBERS or fractional)
    if numeric:
        labels = _finite(rows, numbers)
        classes = ("low", "high")
    else:
        classes, label_of = _classes(different, choice.positive, name, note)
        labels = [label_of[row.target] for row in rows]
    return LabelledSet(
        name=name, texts=_texts(rows, labels), read=choice.read, classes=classes, numeric=numeric, note=note
    )


def _check(row: Row) -> None:
    if not row.text:
        raise UserError(f"{row.where}: the text is empty")
    if not row.target:
        raise UserError(f"{row.where}: there is no target: 0, 1, a class's name or a number is needed")
    if _number(row.target) is None and row.target.lower() in ("nan", "null", "none"):
        raise UserError(f"{row.where}: the target is {row.target}: leave the line out, or give it a label")
    try:
        row.text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{row.where}: the text holds half a character (a lone surrogate)") from None
    if row.span is not None and not 0 <= row.span[0] < row.span[1] <= len(row.text):
        raise UserError(
            f"{row.where}: the label at characters {row.span[0]} to {row.span[1]} does not lie in its text, which has "
            f"{count(len(row.text))} characters: start counts from 0, and end is not among them"
        )


def _number(target: str) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(target)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _finite(rows: Sequence[Row], numbers: Sequence[float | None]) -> list[float]:
    for row, value in zip(rows, numbers, strict=True):
        if value is None:
            raise UserError(f"{row.where}: the target {quoted(row.target)} is no number, and targets are numbers here")
    return [value for value in numbers if value is not None]


def _classes(different: Counter[str], positive: str, name: str, file: str) -> tuple[tuple[str, str], dict[str, float]]:
    """The classes' names, and the label of each target."""
    if positive:
        if positive not in different:
            raise UserError(f"no example is {quoted(positive)}: the targets are {_listed(different)}")
        rest = [target for target in different if target != positive]
        if not rest:
            raise UserError(f"every example is {quoted(positive)}: two classes are needed")
        return (rest[0] if len(rest) == 1 else f"not {positive}", positive), {
            target: float(target == positive) for target in different
        }
    if len(different) > 2 and {_binary(target) for target in different} - {"0", "1"}:
        raise UserError(
            f"there are {len(different)} classes, {_listed(different)}, and a probe tells two apart: name the one that "
            f"is label 1 (the others are label 0) behind the file, {Path(file).name}={different.most_common(1)[0][0]}; "
            "or import the set with --positive, or with --numeric where targets are numbers"
        )
    if len({_binary(target) for target in different}) < 2:
        raise UserError(f"every example is {quoted(next(iter(different)))}: two classes are needed")
    if not {_binary(target) for target in different} - {"0", "1"}:
        return (f"not {name}", name), {target: float(_binary(target)) for target in different}
    first, second = sorted(different, key=lambda target: (_number(target) is None, _number(target) or 0, target))
    return (first, second), {first: 0.0, second: 1.0}


def _binary(target: str) -> str:
    """`0` or `1` for what means that: `1.0`, `true`, `No`."""
    value = _number(target)
    return _TRUTH.get(target.lower(), target) if value is None else f"{value:g}"


def _listed(different: Counter[str]) -> str:
    shown = ", ".join(f"{quoted(target, 20)} ({count(n)})" for target, n in different.most_common(SHOWN))
    return shown + (" …" if len(different) > SHOWN else "")


def _texts(rows: Sequence[Row], labels: Sequence[float]) -> list[LabelledText]:
    """Rows with the same text of the same document share it."""
    numbers: dict[str, int] = {}
    spans: dict[tuple[str, int], list[Span]] = {}
    for row, label in zip(rows, labels, strict=True):
        document = numbers.setdefault(row.document, len(numbers)) if row.document else -1
        start, end = row.span or (0, len(row.text))
        spans.setdefault((row.text, document), []).append(Span(start, end, label))
    return [LabelledText(text, each, document) for (text, document), each in spans.items()]
