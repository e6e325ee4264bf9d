"""Running the arms of `steer`: generated, then measured prompt by prompt; plans of random directions. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.edits import Add
from workbench.errors import UserError
from workbench.experiments._completions import measure, rounding_floor
from workbench.experiments._steered import Arm, Steered
from workbench.lab.continuation import Continuation, Row
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.experiments._common import TokenizedRow
    from workbench.experiments._steer_params import Params
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt


class Runs:
    """Arms over all prompts: generated, then measured prompt by prompt, as soon as all arms of one are there."""

    def __init__(
        self,
        lab: Lab,
        params: Params,
        rows: Sequence[TokenizedRow],
        targets: Sequence[tuple[int, ...]],
        steered: Steered,
        report: Report,
    ) -> None:
        self._lab, self._params, self._steered, self._report = lab, params, steered, report
        self._prompts = [row.prompt for row in rows]
        self._targets = targets
        self._asked = [self._with_request(prompt) for prompt in self._prompts] if params.as_prompt else self._prompts
        """the prompts with the request before them"""
        longest = max(map(len, [*self._prompts, *self._asked]))
        if longest >= lab.info.n_ctx:
            raise UserError(f"a prompt has {longest:,} tokens, all that {lab.info.name} reads: give shorter ones")

    def _with_request(self, prompt: Prompt) -> Prompt:
        """The request before the text, or as the chat's system turn."""
        request, chat, earlier = self._params.as_prompt, self._params.chat, self._params.messages
        if self._params.as_prompt_in == "system":
            return self._lab.prompt(prompt.text, chat, request, earlier)
        return self._lab.prompt(f"{request}\n\n{prompt.text}", chat, earlier=earlier)

    def edit(self, arm: Arm) -> Add:
        return Add(f"L{arm.layer}.{self._params.site}", arm.strength, self._params.direction.removeprefix("@"))

    def random(self, layer: int, strengths: Sequence[float]) -> tuple[list[Plan], list[Arm], str]:
        """Plans that add random directions in place of the direction, the same ones at each strength; what they are."""
        from workbench.lab.controls import controls, further_controls

        plans: list[Plan] = []
        arms: list[Arm] = []
        kind = ""
        for strength in strengths:
            edits, n = [self.edit(Arm("random", layer, strength))], self._params.random
            if self._params.isotropic:
                drawn = further_controls(self._lab, edits, n)[-1]
            else:
                drawn = controls(self._lab, edits, n)
            kind = drawn.kind
            plans += drawn.plans
            arms += [Arm("random", layer, strength) for _ in drawn.plans]
        return plans, arms, kind

    def run(self, arms: Sequence[Arm], plans: Sequence[Plan], stage: str) -> Iterator[None]:
        """Fills the arms with completions; yields after each prompt."""
        from workbench.lab.generate import continue_all

        limit = self._params.tokens
        rows_by_prompt = [
            [
                Row(self._asked[at] if arm.kind == "as prompt" else prompt, plan, at)
                for arm, plan in zip(arms, plans, strict=True)
            ]
            for at, prompt in enumerate(self._prompts)
        ]
        rows = [row for rows_of_prompt in rows_by_prompt for row in rows_of_prompt]
        continuations = [Continuation() for _ in rows]
        steps = continue_all(
            self._lab, rows, continuations, limit, temperature=self._params.temperature, group=len(arms)
        )
        at = 0
        for n_tokens in self._report.track(steps, "tokens", total=limit * len(rows), stage=stage):
            self._report.progress.done += n_tokens - 1  # track counts the step itself
            while at < len(self._prompts):
                of_prompt = continuations[at * len(arms) : (at + 1) * len(arms)]
                if not all(continuation.end or len(continuation.ids) == limit for continuation in of_prompt):
                    break
                self._measure(at, arms, rows_by_prompt[at], of_prompt)
                at += 1
                yield

    def _measure(
        self, at: int, arms: Sequence[Arm], rows: Sequence[Row], continuations: Sequence[Continuation]
    ) -> None:
        """One prompt of every arm. What was asked as a prompt is read after the plain one too: the same yardstick."""
        measured = measure(self._lab, self._prompts[at], rows, continuations, self._targets[at])
        for arm, completion in zip(arms, measured, strict=True):
            arm.completions.append(completion)

    def measure_floors(self, plans: Mapping[int, Plan]) -> None:
        """What rounding alone does to the next token, by layer; `plans` are of one edit of each."""
        for layer, plan in plans.items():
            self._steered.floors[layer] = rounding_floor(self._lab, self._prompts, plan, self._report)
