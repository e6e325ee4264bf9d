"""Steps and the ones they were forked from, in the order of a tree. Plain data."""

from __future__ import annotations

from collections.abc import Sequence

_DEEPEST = 8
"""levels that are drawn: a chain of a thousand steps stays readable"""


class Tree:
    """`order` is depth first, children by number; `branch[at]` is what is drawn before the step at this place."""

    def __init__(self, parents: Sequence[tuple[int, int | None]]) -> None:
        steps = {step for step, _ in parents}
        children: dict[int | None, list[int]] = {}
        for step, parent in parents:
            # A parent comes before its children; anything else is no tree, and stands at the root.
            root = parent is None or parent not in steps or parent >= step
            children.setdefault(None if root else parent, []).append(step)
        self.order: list[int] = []
        self.branch: list[str] = []
        waiting: list[tuple[int, str, str]] = [(step, "", "") for step in reversed(children.get(None, []))]
        while waiting:
            step, before, below = waiting.pop()
            self.order.append(step)
            self.branch.append(before)
            siblings = children.get(step, [])
            for child in reversed(siblings):
                last = child == siblings[-1]
                deep = len(below) >= 2 * _DEEPEST
                next_below = below if deep else below + ("  " if last else "│ ")
                waiting.append((child, below + ("└ " if last else "├ "), next_below))
        self.place = {step: at for at, step in enumerate(self.order)}
        self.forks = sum(
            len(siblings) for parent, siblings in children.items() if parent is not None and len(siblings) > 1
        )
        self.newest = parents[len(parents) - 1][0] if parents else 0
        self.history = [step for step, _ in parents]
        """as it happened"""

    def __len__(self) -> int:
        return len(self.order)
