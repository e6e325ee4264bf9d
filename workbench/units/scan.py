"""Reading the parts that addresses are made of: numbers, ranges, directions' names."""

from __future__ import annotations

import re

from workbench.errors import GrammarError
from workbench.model_info import ModelInfo
from workbench.units.unit import MAX_UNITS

SEPARATORS = re.compile(r"[,\s]+")
NAME = re.compile(r"[A-Za-z_](?:[\w.-]*\w)?")
_NUMBER = re.compile(r"\d+")


def read_numbers(text: str, at: int, what: str, limit: int | None, info: ModelInfo | None) -> tuple[range, int]:
    """`7`, `3-5` or `*` at `at`, and where it ends; `limit` is how many there are. Raises GrammarError."""
    if text[at : at + 1] == "*":
        if limit is None:
            raise GrammarError(text, at, f"* means every {what}, which needs a model: write a range like 0-5")
        return range(limit), at + 1
    match = _NUMBER.match(text, at)
    if not match:
        raise GrammarError(text, at, f"a {what} number is expected here")
    first = last = _number(text, match)
    end = match.end()
    if text[end : end + 1] == "-":
        match_last = _NUMBER.match(text, end + 1)
        if not match_last:
            raise GrammarError(text, end + 1, f"a range ends with a {what} number: 10-20")
        last = _number(text, match_last)
        if last < first:
            raise GrammarError(text, end + 1, f"a range goes upwards: {last}-{first}")
        end = match_last.end()
    if limit is not None and last >= limit:
        named = f"{info.name} has" if info else "there are"
        raise GrammarError(text, at, f"there is no {what} {last}: {named} {limit:,} {what}s, 0 to {limit - 1}")
    if last - first >= MAX_UNITS:
        raise GrammarError(text, at, f"more than {MAX_UNITS:,} units: name fewer")
    return range(first, last + 1), end


def _number(text: str, match: re.Match[str]) -> int:
    if len(match.group()) > 9:
        raise GrammarError(text, match.start(), "this number is too large")
    return int(match.group())


def read_direction(text: str, at: int) -> tuple[str, int]:
    """The name after the @ at `at`, and where it ends. Raises GrammarError."""
    match = NAME.match(text, at + 1)
    if not match:
        raise GrammarError(text, at + 1, "a direction's name follows @, for example @refusal")
    end_of_term(text, match.end())
    return match.group(), match.end()


def end_of_term(text: str, at: int) -> None:
    """Raises GrammarError where a term goes on at `at`."""
    if at < len(text) and not SEPARATORS.match(text, at):
        raise GrammarError(text, at, "a comma or a space separates units")
