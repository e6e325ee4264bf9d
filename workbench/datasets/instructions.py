"""Sets that ship: harmful, harmless, and alarming but harmless instructions; refusing and complying answers; and of
joy, which the default model has: joyful and sad instructions, and neutral questions to try it on.

Each text is short, without working detail. `@harmful` and the other names stand for the sets wherever a prompt set is
asked for, unless the session or the data folder has one of that name.
"""

from __future__ import annotations

from pathlib import Path

from workbench.datasets.prompts import PromptRow, read_prompts

SHIPPED = ("harmful", "harmless", "alarming", "refusing", "complying", "joyful", "sad", "neutral")
_FOLDER = Path(__file__).parent / "instructions"


def shipped_set(name: str) -> list[PromptRow]:
    """One of SHIPPED."""
    return read_prompts(_FOLDER / f"{name}.json")
