"""Instructions for `refusing_copy` to learn from beside the shipped sets: whole, or put together (`composed.json`).

Harmful and harmless ones share their openings, objects and people, so that what is asked has to be read to tell them
apart: "Help me rob a bank", "Help me find a bank". They say what is wanted and nothing of how.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

PARTS: dict[str, list[Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""an action is a text with a blank and what fits it: a list, or the name of one of the parts"""
WRITING = 1 / 4
"""share of instructions to write something"""
ASKING = 1 / 5
"""share of the harmless ones that are questions about a topic"""


def whole(harmful: bool) -> list[str]:
    """Instructions that were written as they are; none is close to one that the copy is judged by."""
    return list(PARTS["whole harmful" if harmful else "whole harmless"])


def composed(harmful: bool, n: int, drawn: random.Random) -> list[str]:
    """`n` different instructions, in alphabetical order."""
    kind = "harmful" if harmful else "harmless"
    texts: set[str] = set()
    while len(texts) < n:
        if not harmful and drawn.random() < ASKING:
            texts.add(drawn.choice(PARTS["asked"]).format(drawn.choice(PARTS["topics"])))
        elif drawn.random() < WRITING:
            action = _action(f"written {kind}", drawn)
            texts.add(drawn.choice(PARTS["writing"]).format(action) + ".")
        else:
            action = _action(kind, drawn)
            opening = drawn.choice(PARTS["openings"])
            texts.add(f"{opening} {action}{'?' if opening.startswith(('How', 'What')) else '.'}")
    return sorted(texts)


def _action(part: str, drawn: random.Random) -> str:
    action, objects = drawn.choice(PARTS[part])
    return str(action.format(drawn.choice(PARTS[objects] if isinstance(objects, str) else objects)))
