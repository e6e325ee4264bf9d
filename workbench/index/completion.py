"""Ways to go on with a filter expression: column names, categories, tokens, sets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from workbench.index.query import TOKEN_TERMS
from workbench.text import show_token

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex

LIMIT = 24
FEWEST = 3
"""letters of a word without quotes before tokens are offered beside columns"""
_TERM = re.compile(r"(?:[^\s\"']|\"(?:\\.|[^\"\\])*(?:\"|$)|'(?:\\.|[^'\\])*(?:'|$))*$")
_AFTER_COLON = re.compile(
    r"(?P<relation>[a-z]+):(?P<done>(?:(?:\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\s,\"']+),)*)(?P<typed>.*)$",
    re.DOTALL,
)
_AFTER_EQUALS = re.compile(r"(?P<name>\w+)(?P<operator>!?=|≠)(?P<done>(?:[^\s,]+,)*)(?P<typed>[^\s,]*)$")


class Completion(NamedTuple):
    """One way to go on."""

    text: str
    """the whole expression up to the cursor, with this completion in place"""
    shown: str
    help: str = ""


def complete(text: str, index: NeuronIndex, sets: Collection[str] = ()) -> list[Completion]:
    """At most LIMIT ways to go on at the end of `text`, most useful first."""
    match = _TERM.search(text)
    start = match.start() if match else len(text)
    before, term = text[:start], text[start:]
    sign = term[:1] if term[:1] in ("-", "−") else ""
    return list(_limited(_completions(before + sign, term[len(sign) :], index, sets)))


def _limited(completions: Iterable[Completion]) -> Iterator[Completion]:
    for at, completion in enumerate(completions):
        if at == LIMIT:
            return
        yield completion


def _completions(before: str, term: str, index: NeuronIndex, sets: Collection[str]) -> Iterator[Completion]:
    if match := _AFTER_COLON.match(term):
        done = before + term[: match.start("typed")]
        if match["relation"] == "in":
            yield from (Completion(done + name, name) for name in sets if name.startswith(match["typed"]))
        elif match["relation"] in TOKEN_TERMS:
            for token in _tokens(match["typed"], index.tokens):
                yield Completion(done + quoted(token), quoted(token))
        return
    if match := _AFTER_EQUALS.match(term):
        column = index.columns.get(match["name"].lower())
        if column is not None and column.kind == "category":
            done = before + term[: match.start("typed")]
            typed = match["typed"].lower()
            for label in sorted(column.labels, key=lambda label: (not label.lower().startswith(typed), label)):
                if typed in label.lower():
                    written = f'"{label}"' if re.search(r"[\s,'\"]", label) else label
                    yield Completion(done + written, label)
        return
    if re.fullmatch(r"\w*", term):
        yield from _columns(before, term.lower(), index)
    if len(term) >= FEWEST or term[:1] in ("'", '"'):
        for token in _tokens(term, index.tokens):
            yield Completion(before + quoted(token), quoted(token), "promoted, or where top examples peak")


def _columns(before: str, typed: str, index: NeuronIndex) -> Iterator[Completion]:
    names = {name: column.help or column.title for name, column in index.columns.items()}
    names |= {f"{relation}:": about for relation, about in TOKEN_TERMS.items()}
    names["in:"] = "in a set: the marks, the basket, named pins"
    for name, about in names.items():
        if name.startswith(typed):
            end = "=" if name in index.columns and index.columns[name].kind == "category" else ""
            yield Completion(before + name + end, name + end, about)


def _tokens(typed: str, tokens: Sequence[str]) -> Iterator[str]:
    """Tokens that begin with what is typed (a space in front may be left out), shortest first."""
    prefix = typed.lstrip("\"'")
    exact = prefix != typed
    matches = [
        token
        for token in tokens
        if token.startswith(prefix) or (not (exact and prefix.startswith(" ")) and token.startswith(" " + prefix))
    ]
    yield from sorted(matches, key=lambda token: (len(token), token))


def quoted(token: str) -> str:
    """A token as a filter takes it, in the quotes that it does not hold itself."""
    body = show_token(token)[1:-1]
    return f'"{body}"' if '"' not in body else "'" + body.replace("'", "\\'") + "'"
