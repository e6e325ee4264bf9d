"""The first stages of `refusal`: who refuses what, and every candidate's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UserError
from workbench.experiments._direction import position_names
from workbench.experiments._refusal_filter import Side, add_filter
from workbench.experiments._refusal_selection import Scored, taken
from workbench.experiments._refusal_sets import SPLITS, RefusalParams, Splits, read_answers, read_sets, stage_params
from workbench.experiments._refusal_views import MAPS, candidate_map, candidate_table, rules_table
from workbench.report import Earlier, Report
from workbench.text import number

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.scores import Replies, Scores
    from workbench.lab.prompts import Prompt


def target_tokens(lab: Lab, params: RefusalParams) -> list[int]:
    """Ids of the target tokens, each once. Raises UserError for none, and for what is not one token."""
    targets = [text.strip() for text in params.targets if text.strip()]
    if not targets:
        raise UserError(
            "there are no target tokens: give those that replies with the behaviour begin with, as I, Sorry"
        )
    return list(dict.fromkeys(lab.model.tokens.reply_token(text, params.system) for text in targets))


def tokenized(lab: Lab, texts: Sequence[str], system: str) -> list[Prompt]:
    """In the chat template, where the answer is next. Raises UserError naming the text."""
    prompts = []
    for text in texts:
        try:
            prompts.append(lab.prompt(text, True, system, answering=True))
        except UserError as error:
            raise UserError(f"{text!r}: {error}") from None
    return prompts


def answered(lab: Lab, instructions: Sequence[str], answers: Sequence[str], system: str) -> list[Prompt]:
    """Each answer as the reply to one of the instructions, the same ones for any set of answers."""
    from workbench.lab.replies import with_reply

    asked = tokenized(lab, [instructions[at % len(instructions)] for at in range(len(answers))], system)
    return [with_reply(lab, prompt, answer, system) for prompt, answer in zip(asked, answers, strict=True)]


# --- who refuses what -----------------------------------------------------------------------------------


def filter_stage(lab: Lab, params: RefusalParams, report: Report) -> list[Side]:
    """The harmful and the harmless set with their unedited scores, and the alarming one where it belongs to them."""
    from workbench.lab.directions.scores import replies

    targets = target_tokens(lab, params)
    earlier = report.earlier_stage(stage_params(params, "filter"), lab.info)
    sets = read_sets(params, lab.seed, report.note)
    if earlier is not None and (sides := _scored_before(earlier, sets)):
        report.note(f"the scores of all prompts are those of step {earlier.step}")
        add_filter(sides, report)
        return sides
    texts = [text for splits in sets.values() for split in SPLITS for text in splits.of(split)]
    prompts = tokenized(lab, texts, params.system)
    report.note(f"each prompt as the model reads it: {prompts[0].describe}")
    scored = iter(replies(lab.model, prompts, targets, report, keep=False).scores)
    sides = [
        Side(name, splits, {split: np.asarray([next(scored) for _ in splits.of(split)]) for split in SPLITS})
        for name, splits in sets.items()
    ]
    add_filter(sides, report)
    return sides


def _scored_before(earlier: Earlier, sets: Mapping[str, Splits]) -> list[Side]:
    """Both sets with what an earlier step has of them; nothing where a prompt is missing there."""
    table = earlier.tables.get("scores")
    records = table.records() if table else []
    known = {(record["set"], record["prompt"]): float(record["score"]) for record in records}
    if any((name, text) not in known for name, splits in sets.items() for split in SPLITS for text in splits.of(split)):
        return []
    return [
        Side(
            name,
            splits,
            {split: np.asarray([known[name, text] for text in splits.of(split)], np.float64) for split in SPLITS},
        )
        for name, splits in sets.items()
    ]


# --- every candidate ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """The prompts that directions are made of and chosen by, and the mean differences."""

    train: tuple[list[str], list[str]]
    """harmful, harmless"""
    states: Any
    """`resid_pre`, torch [layer, position, prompt, d_model], harmful prompts first"""
    directions: np.ndarray
    """mean(harmful) − mean(harmless), float64 [layer, position, d_model]"""
    tokens: list[str]
    """[position], −k first, as they are shown"""
    harmful: Replies
    """validation"""
    harmless: Replies

    @property
    def label(self) -> np.ndarray:
        """bool [prompt]"""
        return np.arange(sum(map(len, self.train))) < len(self.train[0])


def read_material(lab: Lab, params: RefusalParams, sides: Sequence[Side], report: Report) -> Material:
    from workbench.lab.directions.scores import replies
    from workbench.lab.directions.states import end_states, tokens_after

    harmful, harmless = sides[:2]
    of_answers = params.preset == "answers"
    if of_answers:
        train = read_answers(params)
        prompts = [prompt for texts in train for prompt in answered(lab, harmless.splits.train, texts, params.system)]
        n_positions = params.positions or 1
    else:
        train = (harmful.kept("train", params.unfiltered), harmless.kept("train", params.unfiltered))
        prompts = tokenized(lab, [*train[0], *train[1]], params.system)
        n_positions = params.positions or tokens_after(prompts)
    unfiltered = params.unfiltered or of_answers
    states = end_states(lab.model, prompts, n_positions, report)
    directions = np.stack([_differences(states[layer], len(train[0])) for layer in range(len(states))])
    targets = target_tokens(lab, params)
    validation = [
        replies(
            lab.model,
            tokenized(lab, side.kept("validation", unfiltered), params.system),
            targets,
            report,
            keep=side is harmless,
        )
        for side in (harmful, harmless)
    ]
    return Material(train, states, directions, position_names(prompts, n_positions), *validation)


def _differences(states: Any, n_harmful: int) -> np.ndarray:
    """Of [position, prompt, d_model]: float64 [position, d_model]. A state that all share gives exactly 0."""
    rows = states.double().numpy()
    rows = rows - rows[:, :1]
    return np.asarray(rows[:, :n_harmful].mean(axis=1) - rows[:, n_harmful:].mean(axis=1))


def search_stage(
    lab: Lab,
    params: RefusalParams,
    material: Material,
    report: Report,
    on_update: Callable[[], None],
) -> list[Scored]:
    """Every layer and position with its scores, layers ascending."""
    from workbench.lab.directions.scores import scores

    n_layers, n_positions = material.directions.shape[:2]
    earlier = report.earlier_stage(stage_params(params, "search"), lab.info)
    known = [] if earlier is None else [each for each in scored_before(earlier) if _is_of(material, each)]
    done = {each.layer for each in known if sum(other.layer == each.layer for other in known) == n_positions}
    candidates = [each for each in known if each.layer in done]
    if earlier is not None and candidates:
        report.note(
            f"{len(candidates)} of {n_layers * n_positions} candidates have the scores that step {earlier.step} gave "
            "them"
        )
    layers = [layer for layer in range(n_layers) if layer not in done]
    total = n_positions * (material.harmful.tokens + 2 * material.harmless.tokens) * len(layers)

    def batches() -> Iterator[tuple[int, int | Scores]]:
        for layer in layers:
            for step in scores(material.harmful, material.harmless, layer, material.directions[layer], report):
                yield layer, step

    if not layers:
        _add_search(material, candidates, report)
    for layer, step in report.track(batches(), "tokens", total, stage="scoring candidates"):
        if isinstance(step, int):
            report.progress.done += step - 1  # track counts the batch itself
            continue
        report.progress.done -= 1
        candidates += [
            Scored(
                layer,
                at - n_positions,
                float(np.linalg.norm(material.directions[layer, at])),
                *(float(values[at].mean()) for values in (step.bypass, step.induce, step.kl)),
            )
            for at in range(n_positions)
        ]
        _add_search(material, candidates, report)
        on_update()
    _add_speed(material, report)
    return candidates


def scored_before(earlier: Earlier) -> list[Scored]:
    """The candidates in the table of an earlier step."""
    table = earlier.tables.get("candidates")
    if table is None:
        return []
    scored = []
    for key, record in zip(table.row_keys, table.records(), strict=True):
        position, layer = map(int, key.split(","))
        scores = [np.nan if record[name] is None else float(record[name]) for name in ("bypass", "induce", "kl")]
        scored.append(Scored(layer, position, float(record["norm"]), *scores))
    return scored


def _is_of(material: Material, scored: Scored) -> bool:
    """Whether a candidate of an earlier run is the one that is here."""
    n_layers, n_positions = material.directions.shape[:2]
    if not (0 <= scored.layer < n_layers and -n_positions <= scored.position < 0):
        return False
    norm = np.linalg.norm(material.directions[scored.layer, scored.position])
    return bool(np.isclose(norm, scored.norm, rtol=1e-4, atol=1e-9))


def _add_search(material: Material, candidates: Sequence[Scored], report: Report) -> None:
    n_layers = len(material.directions)
    train, validation = material.train, (material.harmful, material.harmless)
    note = (
        f"mean(harmful) − mean(harmless) of {len(train[0])} + {len(train[1])} prompts · scored on "
        f"{len(validation[0].prompts)} + {len(validation[1].prompts)} others · unedited: harmful "
        f"{number(float(validation[0].scores.mean()))}, harmless {number(float(validation[1].scores.mean()))}"
    )
    report.add("candidates", candidate_table(candidates, material.tokens, n_layers, note))
    for key in MAPS:
        report.add(key, candidate_map(key, candidates, material.tokens, n_layers))
    report.add("rules", rules_table(taken(candidates, n_layers), material.tokens, len(candidates)))
    report.scalar("candidates", len(candidates))


def _add_speed(material: Material, report: Report) -> None:
    """Tokens a second through the edited model, beside the same passes without edits."""
    sides = (material.harmful, material.harmless)
    edited, clean = (
        sum(getattr(side, kind).tokens for side in sides)
        / max(sum(getattr(side, kind).seconds for side in sides), 1e-9)
        for kind in ("edited", "clean")
    )
    if not edited:
        return
    report.scalar("tokens_per_second", edited)
    report.scalar("tokens_per_second_unedited", clean)
    report.note(
        f"scored at {number(edited)} tokens/s, beside {number(clean)} of the same passes without edits (what is added "
        "at a layer counts from there on)"
    )
