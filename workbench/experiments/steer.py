"""Add a direction to the stream while the model writes: effect against damage, by layer and strength.

Strength × direction is added at one site of each layer in turn, at every position, generated ones too. Effect is the
log-odds of a target token after the prompt, or the share of completions that match a regular expression; damage is the
completions' perplexity under the unedited model, over that of its own. The sentence names the strength of the most
effect that does not break the text (1.5 × the perplexity), beside random directions of the same norm, and beside the
same request written as a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta, field

from workbench.edits import Add
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._common import carried_params, estimated_tokens, tokenized_rows
from workbench.experiments._completions import measure
from workbench.experiments._generated import GENERATED_TOKEN
from workbench.experiments._steer_views import Norms, add_views, headline
from workbench.experiments._steered import Arm, Measure, Steered, nearest_strengths
from workbench.lab.continuation import Continuation, Row
from workbench.params import DirectionText, PromptParams, TokenText
from workbench.report import NextStep, Report
from workbench.result_keys import Steering
from workbench.text import quoted, show_token

if TYPE_CHECKING:
    from workbench.artifacts.direction import Origin
    from workbench.experiments._common import TokenizedRow
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.model_info import ModelInfo

RANDOM_STRENGTHS = 3
"""at which random directions are added, around the chosen one"""


class Params(PromptParams, kw_only=True, frozen=True):
    direction: Annotated[DirectionText, Meta(description="what is added", extra={"example": "@L12.N345.out"})] = ""
    target: Annotated[
        TokenText,
        Meta(
            description="effect: log-odds of this token after the prompt, with its leading space; several as ' a| b'",
            extra={"example": " Paris"},
        ),
    ] = ""
    matches: Annotated[
        str, Meta(description="effect instead: the share of completions that this regular expression finds")
    ] = ""
    layers: Annotated[
        list[int],
        Meta(description="where it is added, one layer at a time; empty: at 1/4, 1/2, 3/4 of the depth"),
    ] = []
    strengths: Annotated[
        list[float],
        Meta(description="multiples of the direction as stored", extra={"unit": "× direction"}),
    ] = field(default_factory=lambda: [-4, -2, -1, 1, 2, 4])
    tokens: Annotated[
        int, Meta(ge=1, le=10_000, description="how many tokens to generate at most", extra={"unit": "tokens"})
    ] = 48
    as_prompt: Annotated[
        str,
        Meta(description="the same request in words, put before the prompt: what steering is compared with"),
    ] = ""
    aim: Annotated[
        Literal["more", "less"], Meta(description="of the measure: what counts as effect", extra={"more": True})
    ] = "more"
    site: Annotated[
        Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"],
        Meta(description="where in the layer", extra={"more": True}),
    ] = "resid_pre"
    temperature: Annotated[
        float, Meta(ge=0, le=100, description="0 is greedy: always the likeliest", extra={"more": True})
    ] = 0
    random: Annotated[
        int,
        Meta(ge=0, le=1000, description="random directions of the same norm at the chosen layer", extra={"more": True}),
    ] = 8
    isotropic: Annotated[
        bool, Meta(description="draw those alike in every direction, not by covariance", extra={"more": True})
    ] = False


def cost(params: Params, info: ModelInfo) -> Cost:
    rows = params.rows()
    tokens = sum(estimated_tokens(row.prompt) for row in rows) / len(rows)
    cells = len(_layers(params, info)) * len(_strengths(params))
    arms = 1 + bool(params.as_prompt) + cells + params.random * RANDOM_STRENGTHS
    # Each is generated, read by the clean model, and its prompt is read for the next token.
    passes = arms * (3 + (GENERATED_TOKEN + 1) * params.tokens / tokens)
    return Cost(passes=len(rows) * passes, tokens=tokens)


def _layers(params: Params, info: ModelInfo) -> list[int]:
    return list(dict.fromkeys(params.layers or [info.n_layers * part // 4 for part in (1, 2, 3)]))


def _strengths(params: Params) -> list[float]:
    return [strength for strength in dict.fromkeys(params.strengths) if strength]


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.steering import direction_norm, stream_norm

    if not params.direction:
        raise UserError("there is no direction to add: name one, for example --direction @refusal")
    if not _strengths(params):
        raise UserError("there is no strength other than 0: give some, for example --strengths '-4,-2,2,4'")
    rows = tokenized_rows(lab, params)
    measure, targets = _measure(lab, params, rows, report)
    layers = _layers(params, lab.info)
    cells = [Arm("steered", layer, strength) for layer in layers for strength in _strengths(params)]
    steered = Steered(
        measure, params.aim, Arm("clean"), cells, as_prompt=Arm("as prompt") if params.as_prompt else None
    )
    runs = _Runs(lab, params, rows, targets, steered, report)
    plans = [lab.plan(()) if arm.layer < 0 else lab.plan([runs.edit(arm)]) for arm in steered.arms]
    name = params.direction.removeprefix("@")
    norms = Norms(direction_norm(lab, name), {layer: stream_norm(lab, layer) for layer in layers})
    origin = lab.weights.origin(name)
    for sentence in (*_remarks(origin), norms.remark(layers, _strengths(params)), _missing_prompt(params)):
        if sentence:
            report.note(sentence)
    chosen: Arm | None = None
    random_kind = ""

    def update() -> None:
        add_views(steered, [row.prompt.text for row in rows], norms, report)
        report.say(headline(steered, params.direction, chosen or steered.best(cells), random_kind))

    for _ in runs.run(steered.arms, plans, "steering"):
        update()
    chosen = steered.best(cells)
    if chosen is not None and params.random:
        strengths = nearest_strengths(chosen, cells, RANDOM_STRENGTHS)
        random_plans, random_arms, random_kind = runs.random(chosen.layer, strengths)
        for _ in runs.run(random_arms, random_plans, "random directions"):
            pass
        steered.random = random_arms  # with all prompts: fewer would be another comparison
        compared = [cell for cell in steered.of_layer(chosen.layer) if steered.random_at(cell.strength)]
        chosen = steered.best([cell for cell in compared if steered.stands_out(cell)]) or chosen
    update()
    _scalars(steered, chosen, report)
    _suggest(params, runs, chosen or min(cells, key=steered.ratio), report)


def _remarks(origin: Origin) -> list[str]:
    """What of a direction's origin makes a strength mean something else than it seems to."""
    remarks = []
    if origin.normalised:
        remarks.append("the direction's length is 1, so that strengths are lengths: its own length is not known")
    if origin.purpose == "project":
        remarks.append("the direction is meant for projecting out: nothing says what adding it once stands for")
    return remarks


def _missing_prompt(params: Params) -> str:
    if params.as_prompt:
        return ""
    return (
        "not compared with the same request as a prompt, which often does as much: "
        "--as-prompt 'Answer as a pirate.' adds that"
    )


def _measure(
    lab: Lab, params: Params, rows: Sequence[TokenizedRow], report: Report
) -> tuple[Measure, list[tuple[int, ...]]]:
    """The effect's measure, and each prompt's target tokens. Raises UserError where there is not one of it."""
    if params.matches and params.target:
        raise UserError("a target and a regular expression were both given: the effect has one measure, leave one out")
    if params.matches:
        try:
            pattern = re.compile(params.matches)
        except re.error as error:
            raise UserError(f"--matches {params.matches}: this is no regular expression ({error})") from None
        return Measure(f"share matching {quoted(params.matches, 32)}", pattern), [()] * len(rows)
    if params.target:
        typed = params.target.split("|")
        texts = typed if all(typed) else [params.target]
        tokens = [lab.answer_token(text) for text in texts]
        for token in tokens:
            if token.note:
                report.note(token.note)
        ids = tuple(dict.fromkeys(token.id for token in tokens))
        return Measure(f"log-odds of {' or '.join(show_token(lab.token(index)) for index in ids)}"), [ids] * len(rows)
    answers = [row.answer for row in rows if row.answer]
    if len(answers) < len(rows):
        raise UserError(
            "the effect needs a measure other than the direction: --target ' Paris' (a token), --matches 'REGEX' (the "
            "completions), or an answer for every prompt of the set"
        )
    return Measure("log-odds of the answer"), [(answer.id,) for answer in answers]


class _Runs:
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
        self._asked = [
            lab.prompt(f"{params.as_prompt}\n\n{prompt.text}", params.chat) if params.as_prompt else prompt
            for prompt in self._prompts
        ]
        """the prompts with the request before them"""
        longest = max(map(len, [*self._prompts, *self._asked]))
        if longest >= lab.info.n_ctx:
            raise UserError(f"a prompt has {longest:,} tokens, all that {lab.info.name} reads: give shorter ones")

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


def _scalars(steered: Steered, chosen: Arm | None, report: Report) -> None:
    report.scalar("effect_clean", steered.effect(steered.clean).value)
    report.scalar("perplexity_clean", steered.clean.perplexity)
    if steered.as_prompt:
        report.scalar("effect_as_prompt", steered.effect(steered.as_prompt).value)
        report.scalar("ratio_as_prompt", steered.ratio(steered.as_prompt))
    if chosen is None:
        return
    report.scalar(Steering.LAYER, chosen.layer)
    report.scalar(Steering.STRENGTH, chosen.strength)
    report.scalar("effect", steered.effect(chosen).value)
    report.scalar("ratio", steered.ratio(chosen))
    report.scalar("kl", chosen.kl.value)
    effects = [steered.effect(arm).value for arm in steered.random_at(chosen.strength)]
    if effects:
        report.scalar("effect_random_median", float(np.median(effects)))
        report.scalar("stands_out", float(steered.stands_out(chosen)))


def _suggest(params: Params, runs: _Runs, shown: Arm, report: Report) -> None:
    edits = [str(runs.edit(shown))]
    label = f"go on with {shown.label}: what it says, clean and edited"
    report.suggest(NextStep(label=label, experiment="generate", params=carried_params(params), edits=edits))
    report.suggest(
        NextStep(label="what that does to ordinary text", experiment="effect", params={"corpus": "stdlib"}, edits=edits)
    )


EXPERIMENT = Experiment(
    name="steer",
    help=__doc__,
    params=Params,
    run=run,
    group="directions",
    order=62,
    takes_edits=False,
    long=True,
    cost=cost,
)
