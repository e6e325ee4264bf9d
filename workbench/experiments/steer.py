"""Add a direction to the stream while the model writes: effect against damage, by layer and strength.

Strength × direction is added at one site of each layer in turn, at every position, generated ones too. Effect is the
log-odds of a target token after the prompt, or the share of completions that match a regular expression; damage is the
completions' perplexity under the unedited model, over that of its own. The sentence names the strength of the most
effect that does not break the text (1.5 × the perplexity), beside random directions of the same norm, and beside the
same request written as a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._common import carried_params, tokenized_rows
from workbench.experiments._generated import GENERATED_TOKEN
from workbench.experiments._steer_params import Params
from workbench.experiments._steer_runs import Runs
from workbench.experiments._steer_sentence import headline
from workbench.experiments._steer_views import Norms, add_views
from workbench.experiments._steered import Arm, Measure, Steered, nearest_strengths
from workbench.report import NextStep, Report
from workbench.result_keys import Steering
from workbench.room import estimated_tokens
from workbench.text import quoted, show_token

if TYPE_CHECKING:
    from workbench.artifacts.direction import Origin
    from workbench.experiments._common import TokenizedRow
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

RANDOM_STRENGTHS = 3
"""at which random directions are added, around the chosen one"""


def cost(params: Params, info: ModelInfo) -> Cost:
    rows = params.rows()
    tokens = sum(estimated_tokens(row.prompt) for row in rows) / len(rows)
    cells = len(_layers(params, info, None)) * len(_strengths(params))
    arms = 1 + bool(params.as_prompt) + cells + params.random * RANDOM_STRENGTHS
    # Each is generated, read by the clean model, and its prompt is read for the next token.
    passes = arms * (3 + (GENERATED_TOKEN + 1) * params.tokens / tokens)
    return Cost(passes=len(rows) * passes, tokens=tokens)


def _layers(params: Params, info: ModelInfo, own: int | None) -> list[int]:
    """`own` is the direction's layer; None where it is of none, or not known yet."""
    if params.layers:
        return list(dict.fromkeys(params.layers))
    if own is None or own >= info.n_layers:  # of another model of this width
        return list(dict.fromkeys(info.n_layers * part // 4 for part in (1, 2, 3)))
    away = max(1, round(info.n_layers / 6))
    return [layer for layer in (own - away, own, own + away) if 0 <= layer < info.n_layers]


def _strengths(params: Params) -> list[float]:
    return [strength for strength in dict.fromkeys(params.strengths) if strength]


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.steering import direction_norm, stream_norm

    if not params.direction:
        raise UserError("there is no direction to add: name one, for example --direction @refusal")
    if not _strengths(params):
        raise UserError("there is no strength other than 0: give some, for example --strengths '-4,-2,2,4'")
    if params.as_prompt_in == "system" and not params.chat:
        raise UserError("a system turn is part of a chat: --as-prompt-in system needs --chat")
    rows = tokenized_rows(lab, params)
    measure, targets = _measure(lab, params, rows, report)
    name = params.direction.removeprefix("@")
    origin = lab.weights.origin(name)
    layers = _layers(params, lab.info, origin.layer)
    cells = [Arm("steered", layer, strength) for layer in layers for strength in _strengths(params)]
    steered = Steered(
        measure, params.aim, Arm("clean"), cells, as_prompt=Arm("as prompt") if params.as_prompt else None
    )
    runs = Runs(lab, params, rows, targets, steered, report)
    plans = [lab.plan(()) if arm.layer < 0 else lab.plan([runs.edit(arm)]) for arm in steered.arms]
    norms = Norms(direction_norm(lab, name), {layer: stream_norm(lab, layer) for layer in layers})
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
    runs.measure_floors({arm.layer: plan for arm, plan in zip(steered.arms, plans, strict=True) if arm.layer >= 0})
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


def _suggest(params: Params, runs: Runs, shown: Arm, report: Report) -> None:
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
    works=lambda params, edited: ("forward", "generation"),
)
