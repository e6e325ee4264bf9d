"""Units, edits, directions and sets complete while they are typed: from pins, recent edits, the session, the model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from workbench.model_info import ModelInfo
    from workbench.params import Kind
    from workbench.tui.page import Page

_FEATURE = re.compile(r"[Ll](?P<layer>\d{1,4})\.[Ff](?P<index>\d{0,9})(?:(?<=\d)/(?P<sae>[\w.-]*))?")
_FIRST_FEATURES = 10
"""that are offered before any number is typed"""
_NAME = re.compile(r"@?[\w.-]*$")
"""the name at the end of a text; operators of arithmetic and of edits stand before it"""


def suggester(page: Page, kind: Kind) -> Callable[[str], str] | None:
    """For a field of this kind: the likeliest completion of a text, or nothing; None where nothing completes."""
    from workbench.params import DATA_SET, DATA_SETS, PROBE, PROMPT_SET, SAE

    if kind is PROMPT_SET:
        return lambda text: suggest_set(page, text)
    if kind is DATA_SET:
        return suggest_data_set
    if kind is DATA_SETS:
        return suggest_data_sets
    if kind is PROBE:
        return lambda text: suggest_name(text, page.workbench.probes)
    if kind is SAE:
        return suggest_sae
    if kind.directions:
        return lambda text: next(iter(direction_completions(page, text, 1)), "")
    if kind.units:
        return unit_suggester(page)
    return None


def unit_suggester(page: Page) -> Callable[[str], str]:
    """For a field of units: the likeliest completion of a text, or nothing."""
    return lambda text: next(iter(completions(page, text, 1)), "")


def suggest_set(page: Page, text: str) -> str:
    """For a field of prompts: the name of a set that begins with what follows the @, or nothing.

    The session's come first, then those of the data folder, then those that ship.
    """
    from workbench.artifacts.prompt_set import set_names

    begun = text.removeprefix("@")
    names = [*page.workbench.prompt_sets, *set_names()] if text.startswith("@") else []
    return next((f"@{name}" for name in names if name.startswith(begun) and name != begun), "")


def suggest_data_set(text: str) -> str:
    """For a field of a data set: the name of one that begins with the text, with or without an @, or nothing."""
    from workbench.artifacts.data_set import set_names

    return suggest_name(text, set_names())


def suggest_data_sets(text: str) -> str:
    """The same for the last of several, with commas between."""
    before, comma, last = text.rpartition(",")
    name = last.lstrip()
    completed = suggest_data_set(name)
    return before + comma + last[: len(last) - len(name)] + completed if completed else ""


def suggest_sae(text: str) -> str:
    """For a field of an SAE: the name of a registered one that begins with the text, or nothing."""
    from workbench.artifacts.sae import list_saes

    return suggest_name(text, (artifact.name for artifact in list_saes()))


def suggest_name(text: str, names: Iterable[str]) -> str:
    """The first of the names that goes on from the text, with or without an @; or nothing."""
    begun = text.removeprefix("@")
    at = text[: len(text) - len(begun)]
    return next((at + name for name in names if begun and name.startswith(begun) and name != begun), "")


def completions(page: Page, text: str, limit: int) -> list[str]:
    """Completions of `text`, as whole texts, most useful first; a name behind an @ completes anywhere."""
    from itertools import chain, islice

    from workbench.units import complete

    if (name := _NAME.search(text)) and name[0].startswith("@"):
        return direction_completions(page, text, limit)
    info = page.workbench.model_info
    if info is None or "=" in text or not text:
        return []
    term = text.replace(",", " ").split(" ")[-1]
    before = text[: len(text) - len(term)]
    offered: Iterable[str] = chain(complete(text, info, page.workbench.suggested_units()), _features(term, info))
    return [before + term + word[len(term) :] for word in islice(offered, limit) if len(word) > len(term)]


def _features(term: str, info: ModelInfo) -> Iterator[str]:
    """Features of the layer's SAEs: the first ones of it, and behind a number the SAE's name, `L10.F77/res-10`."""
    from workbench.artifacts import config_of, saes_of_layer

    match = _FEATURE.fullmatch(term)
    if match is None or not int(match["layer"]) < info.n_layers:
        return
    for artifact in saes_of_layer(int(match["layer"]), info):
        start, width = f"L{match['layer']}.F", config_of(artifact).d_sae
        if not match["index"]:
            yield from (f"{start}{index}" for index in range(min(_FIRST_FEATURES, width)))
        elif int(match["index"]) < width and artifact.name.startswith(match["sae"] or ""):
            yield f"{start}{match['index']}/{artifact.name}"


def direction_completions(page: Page, text: str, limit: int) -> list[str]:
    """Completions of the direction's name at the end of `text`, with or without its @, as whole texts."""
    from itertools import islice

    name = _NAME.search(text)
    typed = name[0] if name else ""
    if not typed:
        return []
    start = "@" + typed.removeprefix("@")
    rests = (word[len(start) :] for word in _directions(page, start) if word.lower().startswith(start.lower()))
    return [text + rest for rest in islice(rests, limit) if rest]


def _directions(page: Page, start: str) -> Iterator[str]:
    """Those of the session and the data folder, then the model's own that go on from `start`."""
    from workbench.units import complete

    yield from page.workbench.directions
    info = page.workbench.model_info
    if info is None:
        return
    if unit := re.match(r"@[Ll]\d+\.[Nn]\d+(?=\.|$)", start):
        yield from (f"{unit[0]}.{side}" for side in ("out", "in", *(["gate"] if info.gated_mlp else [])))
    elif unit := re.match(r"@[Ll]\d+\.[Ff]\d+(?=\.|$)", start):
        yield from (f"{unit[0]}.{side}" for side in ("dec", "enc"))
    elif unit := re.match(r"@[Ll]\d+\.[Hh]\d+(?=\.|$)", start):
        yield f"{unit[0]}.ov1"
    elif re.match(r"@[Ll]\d", start):
        yield from (f"@{unit_name}" for unit_name in complete(start[1:], info))
