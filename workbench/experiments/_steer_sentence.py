"""The sentences of `steer`: what the best strength does beside random directions and the prompt. No torch."""

from __future__ import annotations

import numpy as np

from workbench.experiments._steered import Arm, Steered
from workbench.statistics import band, place_among
from workbench.text import number, spread


def headline(steered: Steered, direction: str, chosen: Arm | None, random_kind: str) -> str:
    """What the best strength does, beside random directions and the prompt; or that there is none."""
    nothing = _changes_nothing(steered, direction)
    if all(map(steered.changes_nothing, steered.cells)):
        return " · ".join(filter(None, [nothing, _as_prompt(steered)]))
    if chosen is None:
        least = min(steered.cells, key=steered.ratio)
        sentence = f"{direction} breaks the text at every strength: least at {least.label}, {_times(steered, least)}"
        return " · ".join(filter(None, [sentence, _as_prompt(steered), nothing]))
    before = number(steered.effect(steered.clean).value)
    effect = f"{steered.measure.name} {before} → {_effect_text(steered, chosen)} at {_times(steered, chosen)}"
    beside = _beside(steered, chosen, random_kind)
    if not beside:
        lead = f"{direction} at {chosen.label}, the most effect that is not broken: {effect}"
    elif steered.stands_out(chosen):
        lead = f"{direction} at {chosen.label}: {effect}"
    else:
        lead = f"no strength of {direction} stands out; the most, {chosen.label}: {effect}"
    return " · ".join(filter(None, [lead, beside, _breaking(steered, chosen), _as_prompt(steered), nothing]))


def _effect_text(steered: Steered, arm: Arm) -> str:
    """The effect; of a share its interval, of log-odds that of the change."""
    effect = steered.effect(arm)
    if np.isnan(effect.low):
        return number(effect.value)
    if steered.measure.pattern:
        return f"{number(effect.value)} (95 %: {number(effect.low)} to {number(effect.high)})"
    change = steered.change(arm)
    return (
        f"{number(effect.value)} (change {number(change.value)}, 95 %: {number(change.low)} to {number(change.high)})"
    )


def _times(steered: Steered, arm: Arm) -> str:
    return f"{number(steered.ratio(arm))} × the clean perplexity"


def _beside(steered: Steered, chosen: Arm, kind: str) -> str:
    values = [steered.effect(arm).value for arm in steered.random_at(chosen.strength)]
    if not values:
        return ""
    quantiles, place = band(values), place_among(steered.effect(chosen).value, values)
    n = len(values)
    where = f"larger than {'all ' if place.smaller == n else f'{place.smaller} of '}{n}"
    median = spread(number(quantiles.median), number(quantiles.low), number(quantiles.high))
    return f"{n} {kind}, same norm: {median}; {where}"


def _breaking(steered: Steered, chosen: Arm) -> str:
    sign = 1 if chosen.strength > 0 else -1
    breaks = steered.breaks(chosen.layer, sign)
    if breaks is None:
        return f"no strength {'above' if sign > 0 else 'below'} 0 tried at L{chosen.layer} breaks the text"
    return f"breaks from {breaks.label.split()[-1]} on ({number(steered.ratio(breaks))} ×)"


def _as_prompt(steered: Steered) -> str:
    if steered.as_prompt is None:
        return ""
    return f"as a prompt: {_effect_text(steered, steered.as_prompt)} at {number(steered.ratio(steered.as_prompt))} ×"


def _changes_nothing(steered: Steered, direction: str) -> str:
    """The strengths at which the next token stays as it is; empty where there is none."""
    cells = [cell for cell in steered.cells if steered.changes_nothing(cell)]
    if not cells:
        return ""
    where = "any strength" if len(cells) == len(steered.cells) else ", ".join(cell.label for cell in cells)
    largest = max(cell.kl.value for cell in cells)
    return f"{direction} changes nothing at {where}: KL {number(largest)}, no more than rounding makes"
