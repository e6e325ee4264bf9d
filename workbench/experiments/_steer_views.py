"""What steering did, drawn: the front of effect against damage, curves by strength, tables. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.experiments._common import number_or_none
from workbench.experiments._completions import Completion
from workbench.experiments._steered import BROKEN, Arm, Steered
from workbench.report import Report
from workbench.result_keys import Steering
from workbench.statistics import band
from workbench.text import number
from workbench.views import Column, Level, Lines, Scatter, Series, Table

NORMS_SAID = 3.0
"""times the stream's own norm: a strength that adds more is named"""


def add_views(steered: Steered, prompts: Sequence[str], norms: Norms, report: Report) -> None:
    """All views of the prompts that were measured so far."""
    report.add(Steering.FRONT, _front(steered, len(prompts)))
    report.add("by_strength", _by_strength(steered))
    report.add("damage", _damage(steered))
    report.add("cells", _cells(steered))
    report.add("layers", _layers(steered, norms))
    if steered.random:
        report.add("random", _random(steered))
    report.add("completions", _completions(steered, prompts))
    if steered.random:
        report.add("random_completions", _random_completions(steered, prompts))


class Norms:
    """How long the direction is beside the stream that it is added to."""

    def __init__(self, direction: float, stream: dict[int, float]) -> None:
        self.direction = direction
        self.stream = stream
        """median ‖resid_pre‖ by layer"""

    def share(self, layer: int, strength: float) -> float:
        """What is added over the stream's own norm."""
        return abs(strength) * self.direction / self.stream[layer]

    def remark(self, layers: Sequence[int], strengths: Sequence[float]) -> str:
        """The strength that is longest beside the stream, where that is much; else empty."""
        share, layer, strength = max(
            (self.share(layer, strength), layer, strength) for layer in layers for strength in strengths
        )
        if share < NORMS_SAID:
            return ""
        return f"strength {strength:g} at L{layer} adds {number(share, 2)} × the stream's own norm"


# --- pictures ----------------------------------------------------------------------------------------


def _front(steered: Steered, n_prompts: int) -> Scatter:
    arms = [arm for arm in steered.arms if arm.completions]
    return Scatter(
        title="Effect against damage",
        note=f"{_of_prompts(steered, n_prompts)}; right is damage: {BROKEN:g} × the clean perplexity is "
        f"{number(float(np.log(BROKEN)))} here",
        x=np.asarray([steered.log_ratio(arm).value for arm in arms]),
        y=np.asarray([steered.effect(arm).value for arm in arms]),
        labels=[arm.label for arm in arms],
        x_label="log of perplexity over the clean one's, nats a token",
        y_label=_label(steered),
    )


def _prompts(n: int) -> str:
    return f"{n:,} prompt{'s' * (n != 1)}"


def _of_prompts(steered: Steered, n: int) -> str:
    return _prompts(n) if steered.n == n else f"{steered.n:,} of {_prompts(n)}"


def _label(steered: Steered) -> str:
    unit = steered.measure.unit
    return f"{steered.measure.name}{', ' + unit if unit else ''}"


def _by_strength(steered: Steered) -> Lines:
    series = []
    single = len(steered.layers) == 1  # bands of several would cover each other
    for layer in steered.layers:
        intervals = [steered.effect(arm) for arm in _curve(steered, layer)]
        series.append(
            Series(
                name=f"L{layer}",
                y=np.asarray([interval.value for interval in intervals]),
                low=np.asarray([interval.low for interval in intervals]) if single else None,
                high=np.asarray([interval.high for interval in intervals]) if single else None,
            )
        )
    levels = []
    if steered.as_prompt:
        levels.append(Level(y=steered.effect(steered.as_prompt).value, label="as a prompt"))
    return Lines(
        title="Effect by strength",
        note=f"{_prompts(steered.n)}; 0 is the model without edits{'; 95 % intervals over prompts' * single}",
        x=_strengths(steered),
        series=series,
        x_label="strength, multiples of the direction as stored",
        y_label=_label(steered),
        levels=levels,
    )


def _damage(steered: Steered) -> Lines:
    return Lines(
        title="Damage by strength",
        note="perplexity of the completions under the unedited model, over that of its own completions",
        x=_strengths(steered),
        series=[
            Series(name=f"L{layer}", y=np.asarray([steered.ratio(arm) for arm in _curve(steered, layer)]))
            for layer in steered.layers
        ],
        x_label="strength, multiples of the direction as stored",
        y_label="perplexity, times the clean one",
        log_y=True,
        levels=[Level(y=BROKEN, label="broken beyond")],
    )


def _curve(steered: Steered, layer: int) -> list[Arm]:
    """A layer's cells by strength, the clean arm at 0."""
    cells = steered.of_layer(layer)
    return [*(c for c in cells if c.strength < 0), steered.clean, *(c for c in cells if c.strength > 0)]


def _strengths(steered: Steered) -> np.ndarray:
    return np.asarray([arm.strength for arm in _curve(steered, steered.layers[0])])


# --- tables ------------------------------------------------------------------------------------------


def _cells(steered: Steered) -> Table:
    of_share = steered.measure.pattern is not None
    rows: list[list[Any]] = []
    for arm in steered.arms:
        interval = steered.effect(arm) if of_share else steered.change(arm)
        rows.append(
            [
                *_place(arm),
                steered.effect(arm).value,
                *([] if of_share else [interval.value]),
                number_or_none(interval.low),
                number_or_none(interval.high),
                steered.ratio(arm),
                number_or_none(steered.ratio(arm) * steered.log_ratio(arm).se),
                arm.perplexity,
                arm.kl.value,
                number_or_none(arm.kl.se),
                number_or_none(arm.distinct(1)),
                number_or_none(arm.distinct(2)),
                arm.loops,
                arm.tokens,
            ]
        )
    change = Column(
        key="change", name="change", kind="number", help="of the effect, from the clean one, prompt by prompt"
    )
    ends = f"of the 95 % interval of the {'effect' if of_share else 'change'} over prompts"
    return Table(
        title="Every layer and strength",
        note=f"{_prompts(steered.n)}; effect: {_label(steered)}",
        columns=[
            Column(key="what", name="at", gives_way="never"),
            Column(key="strength", name="strength", kind="number", gives_way="never"),
            Column(key="effect", name="effect", kind="number", quantity=_label(steered), gives_way="never"),
            *([] if of_share else [change]),
            Column(key="low", name="from", kind="number", help=ends),
            Column(key="high", name="to", kind="number", help=ends),
            Column(
                key="ratio",
                name="× perplexity",
                kind="number",
                help="of the completions under the unedited model, over that of its own",
                gives_way="never",
            ),
            Column(key="ratio_se", name="±", kind="number", help="of × perplexity, over prompts", gives_way="early"),
            Column(key="perplexity", name="perplexity", kind="number", gives_way="early"),
            Column(key="kl", name="KL", kind="number", help="KL(clean ‖ edited) of the next token, nats"),
            Column(key="kl_se", name="± KL", kind="number", help="of KL, over prompts", gives_way="early"),
            Column(key="distinct_1", name="dist-1", kind="number", help="different tokens over all", gives_way="early"),
            Column(key="distinct_2", name="dist-2", kind="number", help="different pairs of tokens over all pairs"),
            Column(key="loops", name="loops", kind="int", help="completions that end up repeating themselves"),
            Column(key="tokens", name="tokens", kind="number", help="mean length", gives_way="early"),
        ],
        rows=rows,
    )


def _place(arm: Arm) -> list[Any]:
    if arm.kind in ("clean", "as prompt"):
        return [arm.label, None]
    return [f"L{arm.layer}", arm.strength]


def _layers(steered: Steered, norms: Norms) -> Table:
    rows: list[list[Any]] = []
    for layer in steered.layers:
        best = steered.best(steered.of_layer(layer))
        down, up = (steered.breaks(layer, sign) for sign in (-1, 1))
        rows.append(
            [
                f"L{layer}",
                norms.stream[layer],
                norms.share(layer, 1),
                best.strength if best else None,
                steered.effect(best).value if best else None,
                down.strength if down else None,
                up.strength if up else None,
            ]
        )
    return Table(
        title="Where it breaks",
        note=f"broken: beyond {BROKEN:g} × the clean perplexity; the direction's norm is {number(norms.direction)}",
        columns=[
            Column(key="layer", name="layer", gives_way="never"),
            Column(key="stream_norm", name="stream norm", kind="number", help="median of ‖resid_pre‖ on sample text"),
            Column(
                key="share", name="1 adds × norm", kind="number", help="length of strength 1 over the stream's norm"
            ),
            Column(key="best", name="best", kind="number", help="strength of the most effect that is not broken"),
            Column(key="effect", name="its effect", kind="number", quantity=_label(steered)),
            Column(key="breaks_below", name="breaks below 0", kind="number", gives_way="never"),
            Column(key="breaks_above", name="above 0", kind="number", gives_way="never"),
        ],
        rows=rows,
    )


def _random(steered: Steered) -> Table:
    rows: list[list[Any]] = []
    layer = steered.random[0].layer
    for cell in steered.of_layer(layer):
        arms = steered.random_at(cell.strength)
        if arms:
            effects = band([steered.effect(arm).value for arm in arms])
            ratio = float(np.median([steered.ratio(arm) for arm in arms]))
            effect = steered.effect(cell).value
            rows.append(
                [
                    cell.strength,
                    effect,
                    len(arms),
                    effects.low,
                    effects.median,
                    effects.high,
                    steered.ratio(cell),
                    ratio,
                ]
            )
    return Table(
        title=f"Beside random directions of the same norm, L{layer}",
        note=f"{_prompts(steered.n)}; effect: {_label(steered)}",
        columns=[
            Column(key="strength", name="strength", kind="number", gives_way="never"),
            Column(key="effect", name="effect", kind="number", quantity=_label(steered), gives_way="never"),
            Column(key="n", name="random", kind="int", help="how many random directions"),
            Column(key="low", name="5 %", kind="number", gives_way="never"),
            Column(key="median", name="median", kind="number", gives_way="never"),
            Column(key="high", name="95 %", kind="number", gives_way="never"),
            Column(key="ratio", name="× perplexity", kind="number"),
            Column(key="ratio_random", name="random", kind="number", help="median × perplexity of the random ones"),
        ],
        rows=rows,
    )


def _completions(steered: Steered, prompts: Sequence[str]) -> Table:
    rows: list[list[Any]] = []
    for at, prompt in enumerate(prompts[: steered.n]):
        rows += [[prompt, *_place(arm), *_completed(steered, arm.completions[at])] for arm in steered.arms]
    return Table(
        title="Completions side by side",
        note=_of_prompts(steered, len(prompts)),
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="what", name="at", gives_way="never"),
            Column(key="strength", name="strength", kind="number", gives_way="never"),
            *_completed_columns(steered),
        ],
        rows=rows,
    )


def _random_completions(steered: Steered, prompts: Sequence[str]) -> Table:
    rows: list[list[Any]] = []
    by_strength = [steered.random_at(cell.strength) for cell in steered.of_layer(steered.random[0].layer)]
    for at, prompt in enumerate(prompts[: steered.n]):
        for arms in by_strength:
            for draw, arm in enumerate(arms, 1):
                rows.append([prompt, arm.strength, draw, *_completed(steered, arm.completions[at])])
    return Table(
        title=f"Completions under random directions of the same norm, L{steered.random[0].layer}",
        note=_of_prompts(steered, len(prompts)),
        columns=[
            Column(key="prompt", name="prompt", kind="prompt"),
            Column(key="strength", name="strength", kind="number", gives_way="never"),
            Column(key="draw", name="random", kind="int", help="which random direction: the same at each strength"),
            *_completed_columns(steered),
        ],
        rows=rows,
    )


def _completed(steered: Steered, completion: Completion) -> list[Any]:
    flags = ["loops"] * completion.loops + [completion.end] * bool(completion.end)
    return [completion.text, steered.measure.effect([completion]).value, ", ".join(flags)]


def _completed_columns(steered: Steered) -> list[Column]:
    return [
        Column(key="completion", name="completion", gives_way="never"),
        Column(key="effect", name="effect", kind="number", quantity=_label(steered)),
        Column(key="flags", name="", help="it loops; why it ended before the limit", gives_way="early"),
    ]
