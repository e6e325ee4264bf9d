"""Arms: a set of prompts under an edit, its completions and their verdicts; beside it the same with controls. No torch.

Three of METHODS, "Refusal" on harmful prompts, two on harmless ones; beside them harmless prompts under the ablation,
which may refuse more than before, and a third set where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench.experiments._completions import Completion, Measured
from workbench.judging import Answer, Label, verdicts
from workbench.statistics import wilson

Set = Literal["harmful", "harmless", "alarming"]
EditName = Literal["base", "ablated", "subtracted", "added"]


@dataclass
class Arm(Measured):
    set: Set
    edit: EditName
    strength: float = 1.0
    """of what is subtracted or added"""
    draw: int | None = None
    """of the control direction in the place of the direction; None is the direction itself"""
    completions: list[Completion] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    """the tokens of each completion"""
    judged: list[str] = field(default_factory=list)
    """a judge's label of each; empty where none has judged"""

    @property
    def name(self) -> str:
        """`harmful ablated`, `harmless added`: of an arm and of its controls."""
        return f"{self.set} {self.edit}"

    @property
    def what(self) -> str:
        """`base`, `ablated`, `−1 added`."""
        if self.edit == "subtracted":
            return f"−{self.strength:g} added"
        return f"+{self.strength:g} added" if self.edit == "added" else self.edit

    @property
    def control(self) -> str:
        """`control 1`; empty for the direction itself."""
        return "" if self.draw is None else f"control {self.draw + 1}"

    def key(self, at: int) -> str:
        """The id of the completion of prompt `at`: `harmful-3-ablated-control-1`."""
        draw = "" if self.draw is None else f"-control-{self.draw + 1}"
        return f"{self.set}-{at + 1}-{self.edit}{draw}"

    @property
    def n(self) -> int:
        return len(self.completions)

    @property
    def labels(self) -> list[tuple[Label, ...]]:
        """By our rules, of each completion."""
        return verdicts([Answer(completion.text, completion.loops) for completion in self.completions])

    def count(self, label: Label) -> int:
        return sum(label in labels for labels in self.labels)

    @property
    def refusals(self) -> int:
        return self.count("refusal")

    @property
    def refusal_share(self) -> float:
        return self.refusals / self.n if self.n else float("nan")

    @property
    def refusal_interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return wilson(self.refusals, self.n)

    def first(self, n: int) -> Arm:
        """Of its first `n` prompts alone."""
        return Arm(self.set, self.edit, self.strength, self.draw, self.completions[:n], self.ids[:n], self.judged[:n])


@dataclass
class Arms:
    """All arms of a run as they come, the edits' own first."""

    arms: list[Arm]
    controls: list[Arm] = field(default_factory=list)
    control_kind: str = ""
    """what the control directions are"""
    cosines: Sequence[float] = ()
    """of each control direction with the direction, where it is known"""
    floors: dict[str, float] = field(default_factory=dict)
    """KL of rounding alone at the last prompt position, by set, nats"""

    def arm(self, set_name: Set, edit: EditName) -> Arm | None:
        """The arm, where it has completions."""
        return next((arm for arm in self.done if (arm.set, arm.edit) == (set_name, edit)), None)

    @property
    def done(self) -> list[Arm]:
        """Those with completions."""
        return [arm for arm in self.arms if arm.n]

    def each_completion(self) -> Iterator[tuple[str, Arm, int]]:
        """(id, arm, number of the prompt) of every completion, those of a prompt side by side, controls last."""
        for members in (self.done, [control for control in self.controls if control.n]):
            for name in dict.fromkeys(arm.set for arm in members):
                of_set = [arm for arm in members if arm.set == name]
                for at in range(max(arm.n for arm in of_set)):
                    for arm in of_set:
                        if at < arm.n:
                            yield arm.key(at), arm, at

    def controls_of(self, arm: Arm) -> list[Arm]:
        return [control for control in self.controls if control.name == arm.name and control.n]

    def beside_controls(self, arm: Arm) -> Arm:
        """The arm over the prompts that its controls have."""
        return arm.first(min((control.n for control in self.controls_of(arm)), default=arm.n))

    def changes_nothing(self, arm: Arm) -> bool:
        """Whether an edit's KL at the last prompt position is what rounding alone makes."""
        floor = self.floors.get(arm.set)
        return arm.edit != "base" and floor is not None and arm.kl.value <= floor
