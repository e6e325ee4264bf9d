"""What a direction does to whole answers: prompts that should be refused and prompts that should not, side by side.

Greedy completions of harmful prompts as the model is, with the direction ablated (projected out at every block's input
and every attention and MLP output), and with it subtracted at its layer's input; of harmless prompts as the model is,
with it added, and ablated. Each is judged by rules, and by a command where one is given; beside each edit the same with
directions from shuffled labels. Then the cross-entropy of ordinary text, of instructions and of the model's own
completions, before and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from workbench.directions.names import model_direction
from workbench.edits import Add, Edit, SetTo
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._arms import Arm, Arms, EditName, Set
from workbench.experiments._arms_earlier import Kept, kept_completions
from workbench.experiments._arms_judge import judge
from workbench.experiments._arms_run import run_arms
from workbench.experiments._arms_texts import BASE, ReadText, instructions, own_completions, read_texts, texts_table
from workbench.experiments._arms_views import add_views, headline
from workbench.experiments._common import set_prompts
from workbench.experiments._completions import rounding_floor
from workbench.experiments._corpus import corpus_prompts
from workbench.experiments._direction import layer_named
from workbench.experiments._generated import GENERATED_TOKEN
from workbench.params import ChatSwitch, CorpusText, DirectionText, PromptSet
from workbench.params import Params as AnyParams
from workbench.report import NextStep, Part, Report
from workbench.room import estimated_tokens
from workbench.text import number

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.editing import Plan
    from workbench.lab.prompts import Prompt
    from workbench.model_info import ModelInfo

EDITS: dict[Set, tuple[EditName, ...]] = {
    "harmful": ("base", "ablated", "subtracted"),
    "harmless": ("base", "added", "ablated"),
    "alarming": ("base", "ablated"),
}
"""of each set, those of METHODS, "Refusal" and the harmless prompts under ablation"""
CONTROLLED: dict[Set, tuple[EditName, ...]] = {"harmful": ("ablated", "subtracted"), "harmless": ("added",)}


CONTEXT = 128
"""tokens of a document of ordinary text"""
REGARDLESS = ("n", "control_prompts", "text_tokens", "corpus", "instructions")
"""parameters that a completion does not depend on"""
ALIKE = 0.5
"""cosine of a control with the direction from which on it is no control: chance gives about 1/√d_model"""


class Params(AnyParams, kw_only=True, frozen=True):
    direction: Annotated[
        DirectionText, Meta(description="what is projected out, subtracted and added", extra={"example": "@refusal"})
    ] = ""
    harmful: Annotated[PromptSet, Meta(description="prompts to be refused: a file, or a set by its @name")] = []
    harmless: Annotated[PromptSet, Meta(description="prompts not to be refused")] = []
    n: Annotated[
        int, Meta(ge=1, le=100_000, description="prompts of each set, the first", extra={"unit": "prompts"})
    ] = 64
    tokens: Annotated[
        int, Meta(ge=1, le=10_000, description="how many tokens to generate at most", extra={"unit": "tokens"})
    ] = 96
    layer: Annotated[
        str,
        Meta(
            description="where it is added and subtracted; empty is the layer that the direction was read at",
            extra={"example": "L14", "more": True},
        ),
    ] = ""
    strength: Annotated[
        float,
        Meta(gt=0, description="how much is added and subtracted", extra={"unit": "× direction", "more": True}),
    ] = 1
    alarming: Annotated[
        PromptSet,
        Meta(description="a third set: prompts that sound harmful and are not", extra={"more": True}),
    ] = []
    chat: Annotated[
        ChatSwitch, Meta(description="put the prompts into the model's chat template", extra={"more": True})
    ] = True
    system: Annotated[
        str,
        Meta(description="the template's system turn: default, none, or its text", extra={"more": True}),
    ] = "default"
    shuffles: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="directions from shuffled labels beside each edit", extra={"unit": "directions"}
        ),
    ] = 3
    text_tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=4_000_000,
            description="of each text whose cross-entropy is taken; 0 takes none",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 4096
    corpus: Annotated[
        CorpusText,
        Meta(description="the ordinary text: stdlib, a file, a folder, org/name on the hub", extra={"more": True}),
    ] = "stdlib"
    instructions: Annotated[
        PromptSet,
        Meta(description="the text of instructions; empty is the harmless prompts", extra={"more": True}),
    ] = []
    control_prompts: Annotated[
        int,
        Meta(ge=1, le=100_000, description="prompts that those are run on", extra={"unit": "prompts", "more": True}),
    ] = 32


def cost(params: Params, info: ModelInfo) -> Cost | None:
    sets = _sets(params)
    if not sets:
        return None
    rows = {name: len(prompts) * len(EDITS[name]) for name, prompts in sets.items()}
    controls = sum(
        min(len(sets[name]), params.control_prompts) * params.shuffles * len(edits)
        for name, edits in CONTROLLED.items()
        if name in sets
    )
    texts = [row.prompt for prompts in sets.values() for row in prompts]
    tokens = sum(map(estimated_tokens, texts)) / len(texts)
    # Each is generated, read by the clean model, and its prompt is read for the next token.
    passes = (sum(rows.values()) + controls) * (3 + (GENERATED_TOKEN + 1) * params.tokens / tokens)
    read = 3 * params.text_tokens * (3 + params.shuffles) / tokens
    return Cost(passes=passes + read, tokens=tokens, typical=False)


def parts(params: Params, seed: int) -> list[Part]:
    return [Part("arms", params, REGARDLESS)]


def _sets(params: Params) -> dict[Set, PromptSet]:
    """The prompts that are used, of the sets that there are."""
    given: dict[Set, PromptSet] = {
        "harmful": params.harmful,
        "harmless": params.harmless,
        "alarming": params.alarming,
    }
    return {name: rows[: params.n] for name, rows in given.items() if rows}


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.identify import identify

    if not params.direction:
        raise UserError("there is no direction to judge: name one, for example --direction @refusal")
    for name in ("harmful", "harmless"):
        if not getattr(params, name):
            raise UserError(f"there are no {name} prompts: give --{name} FILE")
    edits = _edits(lab, params)
    identify(lab, report)  # what ran before counts for the same weights alone
    kept = _kept(lab, params, report)
    for remark in _remarks(lab, params):
        report.note(remark)
    prompts = {
        name: set_prompts(lab, rows, name, report, params.chat, params.system, answering=True)
        for name, rows in _sets(params).items()
    }
    arms = Arms([Arm(name, edit, params.strength) for name in prompts for edit in EDITS[name]])
    plans: dict[EditName, Plan] = {name: lab.plan([edit] if edit else []) for name, edit in edits.items()}

    texts = {name: [prompt.text for prompt in of_set] for name, of_set in prompts.items()}

    def update() -> None:
        add_views(arms, texts, report)
        report.say(headline(arms, params.direction))

    for name, of_set in prompts.items():
        members = [arm for arm in arms.arms if arm.set == name]
        for _ in run_arms(
            lab, of_set, members, [plans[arm.edit] for arm in members], params.tokens, kept, report, f"{name} prompts"
        ):
            update()
        arms.floors[name] = rounding_floor(lab, of_set, plans[members[1].edit], report)
    update()
    made = _control_plans(lab, params, edits, arms, report)
    for _ in _run_controls(lab, params, arms, made, prompts, kept, report):
        update()
    if lab.judge is not None:
        judge(arms, texts, lab.judge, report)
        update()
    if params.text_tokens:
        _run_texts(lab, params, arms, plans, made, prompts["harmless"], report)
    _scalars(arms, report)
    _suggest(params, edits, report)


def _edits(lab: Lab, params: Params) -> dict[EditName, Edit | None]:
    """What each arm does. Raises UserError where the direction's layer is not known."""
    name = params.direction.removeprefix("@")
    origin = lab.weights.origin(name)
    lab.weights.direction(name)
    layer = layer_named(params.layer, lab.info.n_layers)
    site = origin.site if origin.site in ("resid_mid", "resid_post", "attn_out", "mlp_out") else "resid_pre"
    if layer is None:
        if origin.layer is None:
            raise UserError(
                f"at which layer {params.direction} was read is not known: say where to add it, for example --layer L14"
            )
        layer = origin.layer
    place = f"L{layer}.{site}"
    return {
        "base": None,
        "ablated": SetTo(f"@{name}", 0.0),
        "subtracted": Add(place, -params.strength, name),
        "added": Add(place, params.strength, name),
    }


def _kept(lab: Lab, params: Params, report: Report) -> Mapping[str, Kept]:
    """The completions that runs like this one, with the same direction, left in the session, by id."""
    name = params.direction.removeprefix("@")
    own_hash = None if model_direction(name) else lab.weights.named(name).hash
    kept: dict[str, Kept] = {}
    for earlier in report.earlier_runs(params, lab.info, REGARDLESS):
        if earlier.artifacts.get(name) == own_hash:
            kept = {**kept_completions(earlier), **kept}
    if kept:
        steps = sorted({each.step for each in kept.values()})
        named = f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
        report.note(f"{number(len(kept))} completions are those of {named}")
    return kept


def _remarks(lab: Lab, params: Params) -> list[str]:
    """What of the direction's origin makes an arm mean something else than it seems to."""
    if not lab.weights.origin(params.direction.removeprefix("@")).normalised:
        return []
    return [
        f"the direction's length is 1, so that what is added has length {params.strength:g}: --strength takes another"
    ]


def _control_plans(
    lab: Lab, params: Params, edits: dict[EditName, Edit | None], arms: Arms, report: Report
) -> dict[EditName, tuple[Plan, ...]]:
    """Plans with control directions in the place of the direction, by edit; what they are is kept with the arms."""
    from workbench.lab.directions.shuffled import stand_ins

    if not params.shuffles:
        return {}
    edited = {name: edit for name, edit in edits.items() if edit}
    made = stand_ins(lab, params.direction.removeprefix("@"), list(edited.values()), params.shuffles)
    if made.remark:
        report.note(f"beside the edits are {made.kind}, not of shuffled labels: {made.remark}")
    arms.control_kind, arms.cosines = made.kind, made.cosines
    nearest = max(map(abs, made.cosines), default=0.0)
    if nearest >= ALIKE:
        report.note(
            f"shuffled labels give directions along {params.direction} itself here (cosine up to {number(nearest)}): "
            "their arms are no comparison"
        )
    return dict(zip(edited, made.plans, strict=True))


def _run_controls(
    lab: Lab,
    params: Params,
    arms: Arms,
    plans: dict[EditName, tuple[Plan, ...]],
    prompts: dict[Set, list[Prompt]],
    kept: Mapping[str, Kept],
    report: Report,
) -> Iterator[None]:
    for name, edits in CONTROLLED.items():
        work = [
            (Arm(name, edit, params.strength, draw), plan)
            for edit in edits
            for draw, plan in enumerate(plans.get(edit, ()))
        ]
        members = [member for member, _ in work]
        arms.controls += members
        if members:
            of_set = prompts[name][: params.control_prompts]
            stage = f"controls of {name} prompts"
            yield from run_arms(lab, of_set, members, [plan for _, plan in work], params.tokens, kept, report, stage)


def _run_texts(
    lab: Lab,
    params: Params,
    arms: Arms,
    plans: dict[EditName, Plan],
    control_plans: dict[EditName, tuple[Plan, ...]],
    harmless: list[Prompt],
    report: Report,
) -> None:
    """Cross-entropy of three texts: as the model is, ablated and subtracted; ablated with control directions."""
    base = arms.arm("harmless", "base")
    assert base, "the arms come first"
    ablated, subtracted = Arm("harmful", "ablated").what, Arm("harmful", "subtracted", params.strength).what
    most = params.text_tokens
    corpus = corpus_prompts(lab, params.corpus, most, CONTEXT, report)
    name = "instructions" if params.instructions else "harmless"
    rows = params.instructions or params.harmless
    all_instructions = set_prompts(lab, rows, name, report, params.chat, params.system, answering=True)
    texts = [
        ReadText(f"ordinary text ({params.corpus})", [(prompt, 1) for prompt in corpus]),
        ReadText(
            "instructions" if params.instructions else "harmless instructions", instructions(all_instructions, most)
        ),
        ReadText("own completions", own_completions(harmless, base.ids, most)),
    ]
    named = {BASE: plans["base"], ablated: plans["ablated"], subtracted: plans["subtracted"]}
    controls = {f"ablated, control {at}": plan for at, plan in enumerate(control_plans.get("ablated", ()), 1)}
    for _ in read_texts(lab, texts, {**named, **controls}, report):
        report.add("texts", texts_table(texts, [ablated, subtracted], {ablated: list(controls)}))
    for key, text in zip(("ordinary", "instructions", "own"), texts, strict=True):
        report.scalar(f"loss_{key}", text.loss(BASE).value)
        report.scalar(f"loss_{key}_ablated", text.loss(ablated).value)
        report.scalar(f"loss_{key}_change", text.change(ablated).value)
        report.scalar(f"loss_{key}_change_se", text.change(ablated).se)


def _scalars(arms: Arms, report: Report) -> None:
    for arm in arms.done:
        key = arm.name.replace(" ", "_")
        report.scalar(f"refusal_{key}", arm.refusal_share)
        report.scalar(f"perplexity_{key}", arm.perplexity)
        if arm.edit != "base":
            report.scalar(f"kl_{key}", arm.kl.value)


def _suggest(params: Params, edits: dict[EditName, Edit | None], report: Report) -> None:
    chat = {"chat": True} if params.chat else {}
    report.suggest(
        NextStep(
            label="ask the edited model yourself",
            experiment="generate",
            params={"prompt": params.harmful[0].prompt, **chat},
            edits=[str(edits["ablated"])],
        )
    )


EXPERIMENT = Experiment(
    name="arms",
    help=__doc__,
    params=Params,
    run=run,
    group="directions",
    order=66,
    takes_edits=False,
    takes_judge=True,
    long=True,
    cost=cost,
    parts=parts,
    works=lambda params, edited: ("forward", "generation"),
)
