"""Names of directions that a model has by itself: no session and no file holds them, the lab reads its weights.

`@L12.N345.out`, `.in`, `.gate` are a neuron's effective weights, with `.raw` behind them the stored ones;
`@L5.H3.ov1` is what a head writes most, `ov2` second. `@L10.F77.dec` is what a feature of an SAE writes, `.enc` what it
reads; where a layer has several SAEs, `@L10.F77.dec.NAME`.
Steps of versions before 0.3 meant stored ones without `.raw`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_NEURON = r"(?P<neuron>L\d+\.N\d+)\.(?P<side>in|out|gate)(?P<raw>\.raw)?"
_HEAD = r"(?P<head>L\d+\.H\d+)\.ov(?P<rank>\d{1,6})"
_FEATURE = r"(?P<feature>L\d+\.F\d+)\.(?P<coder>dec|enc)(?:\.(?P<sae>\w(?:[\w.-]*\w)?))?"
_NAME = re.compile(f"{_NEURON}|{_HEAD}|{_FEATURE}")
_EFFECTIVE_BY_NAME = re.compile(r"(@L\d+\.N\d+\.(?:in|out|gate))(?![\w.-]*\w)")
EFFECTIVE_SINCE = (0, 3)
PACKAGE = "workbench-lm"
"""what steps record the version of this package under"""


class ModelDirection(NamedTuple):
    """A name, read."""

    unit: str
    """the neuron's, head's or feature's address"""
    side: str = ""
    """`in`, `out` or `gate` of a neuron, `dec` or `enc` of a feature"""
    raw: bool = False
    """the stored weights, not the effective ones"""
    rank: int = 0
    """which of a head's directions, from 1 as it is typed"""


def model_direction(name: str) -> ModelDirection | None:
    """A name without its @, read; None for a name that does not stand for a model's own weights."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["head"]:
        return ModelDirection(match["head"], rank=int(match["rank"]))
    if match["feature"]:
        return ModelDirection(match["feature"] + (f"/{match['sae']}" if match["sae"] else ""), match["coder"])
    return ModelDirection(match["neuron"], match["side"], raw=bool(match["raw"]))


def meant_stored(versions: Mapping[str, str]) -> bool:
    """Whether a step of these versions meant stored weights by `.in`, `.gate` and `.out`."""
    numbers = re.match(r"(\d+)\.(\d+)", versions.get(PACKAGE, "0.0"))
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < EFFECTIVE_SINCE


def with_stored(text: str) -> str:
    """Edits or units with `.raw` behind every neuron's weights in them."""
    return _EFFECTIVE_BY_NAME.sub(r"\1.raw", text)
