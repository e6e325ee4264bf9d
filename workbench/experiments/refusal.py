"""One direction that a behaviour hangs on: found, chosen among all layers and positions, tried on other prompts.

As in "Refusal in language models is mediated by a single direction" (Arditi et al. 2024), for refusal or whatever a
reply's first token shows. Two sets of instructions are scored on the unedited model (log-odds of the target tokens as
first token of the reply) and filtered; the differences of their means at every layer's input and at every token that
the chat template writes after the text are the candidates. Each is projected out of every write to the stream (bypass,
and the KL that harmless prompts pay) and added at its layer (induce), on prompts that it was not made from. Of those
that no rule takes, the one of least bypass is kept, and scored again on test prompts beside directions from shuffled
labels. The stages are steps under this one; run again after a cancel, it takes from the session what is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.artifacts.direction import Direction, Origin, check_direction_name
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments import arms
from workbench.experiments._direction import CONTRAST_BYTES, keep, of_this_model
from workbench.experiments._refusal_filter import Side, shortfall
from workbench.experiments._refusal_selection import RULES, Scored, nearest, select, taken
from workbench.experiments._refusal_sets import RefusalParams, Stage, arms_params, parts, stage_params
from workbench.experiments._refusal_views import MAPS, place
from workbench.params import params_builtins
from workbench.report import NextStep, Report
from workbench.text import number
from workbench.views import Heatmap

if TYPE_CHECKING:
    from workbench.experiments._refusal_stages import Material
    from workbench.lab import Lab
    from workbench.model_info import ModelInfo

WIDER = ["I", "Sorry", "As", "Unfortunately"]
"""target tokens that are suggested where few prompts are refused"""
PROMPT_TOKENS = 32
"""of a prompt in its template, as an estimate"""


class Params(RefusalParams, kw_only=True, frozen=True):
    pass


def cost(params: Params, info: ModelInfo) -> Cost:
    positions = params.positions or 5
    candidates = info.n_layers * positions
    prompts = 2 * (params.train + params.test) + 2.5 * candidates * params.validation + 10 * params.test
    return Cost(passes=prompts, tokens=PROMPT_TOKENS, typical=False)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.experiments._refusal_held_out import held_out_stage
    from workbench.experiments._refusal_stages import filter_stage, read_material, search_stage
    from workbench.lab.identify import identify

    name = _name(params)
    identify(lab, report)  # what ran before counts for the same weights alone
    with _stage(report, params, "filter") as part:
        sides = filter_stage(lab, params, part)
    _copy(part, report, ["filter"])
    if params.stage == "filter":
        return
    of_answers = params.preset == "answers"
    few = "" if of_answers else shortfall(sides)
    if few and not params.unfiltered:
        _say_too_few(few, sides, params, report)
        return
    if few:
        report.note(f"not filtered, though few prompts are treated as their set says: {few}")
    with _stage(report, params, "search") as part:
        material = read_material(lab, params, sides, part)
        keys = ["candidates", *MAPS, "rules"]
        candidates = search_stage(lab, params, material, part, lambda: _copy(part, report, keys))
        _say_search(params, candidates, material, part)
    _copy(part, report, keys)
    if params.stage == "search":
        return
    chosen = _choose(params, candidates, material)
    if chosen is None:
        _say_none(candidates, material, params, report)
        return
    with _stage(report, params, "test") as part:
        on_test = held_out_stage(lab, params, sides, material, chosen, part)
    _copy(part, report, ["test"])
    if params.stage == "test":
        return
    direction = _keep(lab, params, name, material, chosen, report)
    _say(params, name, chosen, candidates, material, sides, on_test, report)
    if params.completions:
        _evaluate(lab, params, direction, sides, report)


def _name(params: Params) -> str:
    name = params.name.strip().removeprefix("@")
    check_direction_name(name)
    return name


@contextmanager
def _stage(report: Report, params: Params, stage: Stage) -> Iterator[Report]:
    """A step of its own under the whole; the report itself where one stage alone is asked for."""
    if params.stage != "all":
        yield report
        return
    with report.part("refusal", stage_params(params, stage)) as part:
        yield part


def _copy(part: Report, report: Report, keys: Sequence[str]) -> None:
    """Views, numbers and notes of a stage for the whole, too."""
    if part is report:
        return
    for key in keys:
        if key in part.views:
            report.add(key, part.views[key])
    report.scalars.update(part.scalars)
    for note in part.notes:
        report.note(note)


# --- the choice ----------------------------------------------------------------------------------------


def _choose(params: Params, candidates: Sequence[Scored], material: Material) -> Scored | None:
    """The one that is asked for, else the one that the rules choose. Raises UserError for one that there is not."""
    n_layers = len(material.directions)
    if not params.choose.strip():
        return select(candidates, n_layers, params.preset == "answers")
    position, layer = parse_choice(params.choose)
    chosen = next((each for each in candidates if (each.position, each.layer) == (position, layer)), None)
    if chosen is None:
        raise UserError(
            f"there is no candidate {params.choose}: positions are −{len(material.tokens)} to −1, layers L0 to "
            f"L{n_layers - 1}"
        )
    if not chosen.norm > 0:
        raise UserError(f"{place(chosen, material.tokens)} has no length: all prompts have the same state there")
    return chosen


def parse_choice(text: str) -> tuple[int, int]:
    """`-1,L12` as position and layer. Raises UserError."""
    position, _, layer = text.replace("−", "-").replace(" ", "").partition(",")
    try:
        return int(position), int(layer.removeprefix("L"))
    except ValueError:
        raise UserError(f"--choose {text}: give position and layer, for example --choose=-1,L12") from None


def _keep(lab: Lab, params: Params, name: str, material: Material, chosen: Scored, report: Report) -> Direction:
    harmful, harmless = material.train
    what = "answers" if params.preset == "answers" else "prompts"
    about = [f"{len(harmful)} + {len(harmless)} {what}", "chat template", f"system turn: {params.system}"]
    about += ["unfiltered"] * params.unfiltered
    if params.choose:
        broken = chosen.broken(len(material.directions))
        against = ", ".join(RULES[rule] for rule in broken)
        about.append(f"chosen by hand against the rules ({against})" if against else "chosen by hand")
        report.note(f"@{name} was chosen by hand (--choose {params.choose}), not by the rules")
    origin = Origin(
        method="mean difference",
        about=", ".join(about),
        site="resid_pre",
        layer=chosen.layer,
        position=chosen.position,
        purpose="project",
    )
    contrast = {
        "positive": json.dumps(harmful),
        "negative": json.dumps(harmless),
        "site": f"L{chosen.layer}.resid_pre",
        "position": str(chosen.position),
        "chat": "true",
        "system": params.system,
    }
    if (
        sum(map(len, contrast.values())) > CONTRAST_BYTES
        or what == "answers"
        or lab.model.tokens.chat.reply_lead(params.system).strip()
    ):
        contrast = {}
    vector = material.directions[chosen.layer, chosen.position]
    return keep(report, name, vector, of_this_model(lab, report, origin), contrast)


def _evaluate(lab: Lab, params: Params, direction: Direction, sides: Sequence[Side], report: Report) -> None:
    """Whole answers to the test prompts, with and without the direction, as a step of its own."""
    own = arms_params(params, {side.name: side.splits for side in sides})
    names = {side.name: side.name if side.name == "alarming" else f"{side.name}-test" for side in sides}
    with report.part("arms", own, names=names) as part:
        part.uses(direction.content, direction.name)
        arms.run(lab.job((), lab.seed, part, {direction.name: direction}, lab.judge), own, part)
    _copy(part, report, ["arms"])


# --- sentences -----------------------------------------------------------------------------------------


def _counts(sides: Sequence[Side]) -> str:
    parts = []
    for side in sides:
        n = sum(len(scores) for scores in side.scores.values())
        parts.append(f"{number(sum(side.positive(split) for split in side.scores))} of {number(n)} {side.name}")
    return f"score > 0 on {', '.join(parts)} prompts"


def _say_too_few(few: str, sides: Sequence[Side], params: Params, report: Report) -> None:
    report.say(
        f"the model does not treat enough prompts as their set says to make a direction: {_counts(sides)} · {few}"
    )
    report.scalar("found", 0)
    asked = params_builtins(params)
    report.suggest(
        NextStep(label="go on without the filter", experiment="refusal", params={**asked, "unfiltered": True})
    )
    if params.targets != WIDER:
        report.suggest(
            NextStep(label=f"count {', '.join(WIDER)} too", experiment="refusal", params={**asked, "targets": WIDER})
        )
    if params.system == "none":
        report.suggest(
            NextStep(
                label="with the template's own system turn", experiment="refusal", params={**asked, "system": "default"}
            )
        )


def _say_search(params: Params, candidates: Sequence[Scored], material: Material, report: Report) -> None:
    n_layers = len(material.directions)
    inducing = params.preset == "answers"
    best = select(candidates, n_layers, inducing)
    left = sum(not each.broken(n_layers) for each in candidates)
    found = f"{_best_is(params)}: {place(best, material.tokens)}, {_scores(best)}" if best else "none can be chosen"
    report.say(f"{number(left)} of {number(len(candidates))} candidates break no rule · {found}")
    report.scalar("choosable", left)


def _best_is(params: Params) -> str:
    return "most induce" if params.preset == "answers" else "least bypass"


def _scores(scored: Scored) -> str:
    return f"bypass {number(scored.bypass)}, induce {number(scored.induce)}, KL {number(scored.kl)}"


def _say_none(candidates: Sequence[Scored], material: Material, params: Params, report: Report) -> None:
    n_layers = len(material.directions)
    rules = taken(candidates, n_layers)
    counts = ", ".join(f"{RULES[each.rule]}: {number(each.n)}" for each in rules)
    relaxed = [
        f"without “{RULES[each.rule]}”: {place(each.best, material.tokens)} ({_scores(each.best)})"
        for each in rules
        if each.best
    ]
    to_choose = [each.best for each in rules if each.best]
    least = nearest(candidates, n_layers)
    if not relaxed and least is not None:
        broken = " and ".join(f"“{RULES[rule]}”" for rule in least.broken(n_layers))
        relaxed, to_choose = [f"without {broken}: {place(least, material.tokens)} ({_scores(least)})"], [least]
    report.say(f"the rules leave none of {number(len(candidates))} candidates ({counts}) · {'; '.join(relaxed)}")
    report.scalar("found", 0)
    for each in to_choose:
        report.suggest(
            NextStep(
                label=f"go on with {place(each, material.tokens)}",
                experiment="refusal",
                params={**params_builtins(params), "choose": f"{each.position},{each.layer}"},
            )
        )


def _say(
    params: Params,
    name: str,
    chosen: Scored,
    candidates: Sequence[Scored],
    material: Material,
    sides: Sequence[Side],
    on_test: str,
    report: Report,
) -> None:
    how = "as asked" if params.choose else f"the {_best_is(params)} of {number(len(candidates))}"
    unfiltered = "unfiltered · " if params.unfiltered else ""
    report.say(f"{unfiltered}@{name} is {place(chosen, material.tokens)}, {how} · {on_test}")
    for key, value in {
        "found": 1,
        "layer": chosen.layer,
        "position": chosen.position,
        "norm": chosen.norm,
        "bypass": chosen.bypass,
        "induce": chosen.induce,
        "kl": chosen.kl,
    }.items():
        report.scalar(key, value)
    at = f"@{name}"
    report.suggest(NextStep(label=f"what {at} promotes and suppresses", experiment="project", params={"direction": at}))
    report.suggest(
        NextStep(
            label="a harmful prompt with it taken out",
            experiment="generate",
            params={"prompt": sides[0].splits.test[0], "chat": True},
            edits=[f"{at}=0"],
        )
    )


def cell(params: Params, key: str, view: Heatmap, row: int, column: int) -> NextStep | None:
    """Goes on with the candidate of that layer and position."""
    if key not in MAPS:
        return None
    choice = f"{column - view.values.shape[1]},{row}"
    return NextStep(
        label=f"go on with {view.row_labels[row]}, position {view.column_labels[column]}",
        experiment="refusal",
        params={**params_builtins(params), "choose": choice, "stage": "all"},
    )


EXPERIMENT = Experiment(
    name="refusal",
    help=__doc__,
    params=Params,
    run=run,
    group="directions",
    order=63,
    takes_edits=False,
    takes_judge=True,
    long=True,
    cost=cost,
    parts=parts,
    cell=cell,
    works=lambda params, edited: ("stream", "last"),
)
