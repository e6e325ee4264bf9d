"""What is generated, as plain data: rows to continue, the tokens that come, the text of a row so far. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt


@dataclass(frozen=True)
class Row:
    """A prompt to continue under a plan of edits."""

    prompt: Prompt
    plan: Plan
    number: int = 0
    """rows of one number draw alike, whatever batch they come in: a prompt with and without its edits"""


@dataclass(frozen=True)
class Generated:
    """One generated token."""

    id: int
    token: str
    text: str
    """all that was generated so far, as text; a character that is not whole yet is left out"""
    log_prob: float
    """nats, under the model's own distribution (temperature 1), given all before it"""
    end: str
    """why this is the last token: `the model ended` or `the context is full`; empty where it is not"""


@dataclass
class Continuation:
    """What a row has generated so far."""

    ids: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    surprise: list[float] = field(default_factory=list)
    """nats"""
    text: str = ""
    end: str = ""

    def add(self, generated: Generated) -> None:
        self.ids.append(generated.id)
        self.tokens.append(generated.token)
        self.surprise.append(-generated.log_prob)
        self.text, self.end = generated.text, generated.end

    def clear(self) -> None:
        """Forget all tokens: the row starts again."""
        self.ids, self.tokens, self.surprise, self.text, self.end = [], [], [], "", ""

    def first_difference(self, other: Continuation) -> int | None:
        """Index of the first token that differs; None where one is the other or its beginning cut by the limit."""
        for position, (token, other_token) in enumerate(zip(self.ids, other.ids, strict=False)):
            if token != other_token:
                return position
        return None if len(self.ids) == len(other.ids) else min(len(self.ids), len(other.ids))


LOOP_TOKENS, LOOP_COPIES = 12, 3
"""a text loops that ends in so many tokens, or more, which are so many copies, or more, of one stretch"""


def distinct(ids: Sequence[int], n: int) -> float:
    """Different n-grams of a text over all its n-grams (distinct-n: Li et al. 2016); nan for fewer than `n` tokens."""
    grams = [tuple(ids[start : start + n]) for start in range(len(ids) - n + 1)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def loops(ids: Sequence[int]) -> bool:
    """Whether a text has ended up repeating itself (see LOOP_TOKENS)."""
    for period in range(1, len(ids) // LOOP_COPIES + 1):
        length = max(LOOP_TOKENS, LOOP_COPIES * period)
        tail = list(ids[-length:])
        if len(tail) == length and tail[period:] == tail[:-period]:
            return True
    return False
