"""Does an SAE hurt the model more than a random error of the same length would? Every substitution, over a corpus.

The reconstruction s stands in place of an activation x at one site, at all positions but the first; so do errors drawn
at the same distance from x: isotropic (ε-random), rotated (θ-random), with the activations' covariance (ε-Σ), along the
difference of two other activations (ε-pair), along another token's SAE error (ε-other); and, at other distances, norms
exchanged, zero, the mean. KL(clean ‖ edited) and the next token's cross-entropy are measured at every position. Against
ε-random SAE errors look pathological (2.2 to 4.5 times the KL in GPT-2 small: Gurnee 2024, "SAE reconstruction errors
are pathological"); against covariance-matched errors much of that goes (Lee & Heimersheim 2024): the sentence says
both. Ratios are of mean KLs at the same distance, and their errors cluster by document. Mean, covariance and pairs are
of the evaluated tokens.

`--settings published` takes those of the 2024 study: 1,600 windows of 128 tokens of OpenWebText that begin with BOS,
position 0 edited and counted too, 60 tokens × 500 draws. What is given beside it (a corpus, fewer tokens) holds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from workbench.artifacts.sae import EVERY
from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments import _sae_errors_more as more
from workbench.experiments import _sae_errors_views as views
from workbench.experiments._corpus import CorpusContext, CorpusTokens
from workbench.experiments._sae import open_saes
from workbench.experiments._sae_errors_arms import ARMS, BASELINES
from workbench.params import CorpusText, SaeName
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.text import NOTHING, count, number

if TYPE_CHECKING:
    from workbench.experiments._windows import Windows
    from workbench.lab import Lab
    from workbench.lab.sae.errors import Studied
    from workbench.lab.sae.one_position import Tail
    from workbench.model_info import ModelInfo

FIT_TOKENS = 8_192
"""that features' factors are fitted on, at most"""
FOLLOWED = 64
"""windows in which one position is edited alone"""
REMEMBERED = 4_000_000
"""tokens times SAEs whose numbers are kept: about 110 bytes each"""
REFRESH = 2.0
"""seconds between two updates of the views"""


class Params(BaseParams, kw_only=True, frozen=True):
    sae: Annotated[
        SaeName,
        Meta(
            description="which SAE; all is every registered one that fits this model, layer by layer",
            extra={"example": "gpt2-small-L8"},
        ),
    ] = EVERY
    corpus: Annotated[
        CorpusText,
        Meta(
            description="the text: stdlib, a text or .jsonl file, a folder, or a data set of the hub",
            extra={"example": "stdlib"},
        ),
    ] = "stdlib"
    tokens: CorpusTokens = 16_384
    context: CorpusContext = 128
    settings: Annotated[
        Literal["ours", "published"],
        Meta(description="ours leave position 0 out; published are those of the 2024 study", extra={"more": True}),
    ] = "ours"
    draws: Annotated[
        int,
        Meta(ge=20, le=10_000, description="random errors of each kind drawn for a single token", extra={"more": True}),
    ] = 500
    draw_tokens: Annotated[
        int, Meta(ge=0, le=1_000, description="tokens for which they are drawn", extra={"unit": "tokens", "more": True})
    ] = 16


PUBLISHED = {"corpus": "Skylion007/openwebtext", "tokens": 203_200, "context": 128, "draws": 500, "draw_tokens": 60}
"""of Gurnee 2024, where nothing else was given"""
DRAW_AT, FOLLOW_AT = 48, 32
"""positions that are edited alone, there and here, where windows are as long"""


KINDS_DRAWN = 2
"""ε-random and ε-Σ"""
OF_A_PASS = 0.2
"""what a row of drawn errors takes of a pass over its tokens, since logits and statistics are of one position (measured
on the default model)"""


def effective(params: Params) -> Params:
    """With the published settings in place of defaults, where these were asked for."""
    if params.settings == "ours":
        return params
    defaults = Params()
    changed = {name: value for name, value in PUBLISHED.items() if getattr(params, name) == getattr(defaults, name)}
    return msgspec.structs.replace(params, **changed)


def cost(params: Params, info: ModelInfo) -> Cost | None:
    params = effective(params)
    context = min(params.context, info.n_ctx)
    windows = params.tokens / context
    behind = _behind(params, info)
    passes = windows * (2 + (len(ARMS) - 1) * behind)
    rows = min(params.draw_tokens, windows) * KINDS_DRAWN * params.draws
    passes += OF_A_PASS * rows * behind * (min(DRAW_AT, context - 1) + 1) / context
    return Cost(passes=passes, tokens=context)


def _behind(params: Params, info: ModelInfo) -> float:
    """The part of the model behind each SAE's layer, together; half of it for one that is not known."""
    from workbench.artifacts.sae import list_saes, stored_config

    parts = []
    for artifact in list_saes():
        if params.sae in ("", EVERY, artifact.name):
            try:
                site = stored_config(Path(artifact.path))[0].site_out
                layer = int(site.partition(".")[0].removeprefix("L"))
            except (UserError, ValueError):
                layer = info.n_layers // 2
            parts.append(max(0.0, 1 - layer / info.n_layers))
    return sum(parts) or 0.5


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.experiments._windows import corpus_windows
    from workbench.lab.sae.errors import measure_errors

    params = effective(params)
    context = min(params.context, lab.info.n_ctx)
    published = params.settings == "published"
    windows = corpus_windows(lab, params.corpus, params.tokens, context, report, counted=context - 1, bos=published)
    # Theirs count where the next token is known, from position 0 on; ours (METHODS, "SAE errors") leave position 0 out.
    counted = slice(0, context - 1) if published else slice(1, context)
    saes = _saes(lab, params, windows, counted, report)
    show = _Shown(lab, params, windows, saes, report)
    measure_errors(lab.model, saes, lab.seed, report, show.update)
    show.update(final=True)
    if len(saes) == 1:
        _one_position(lab, params, saes[0], report, show)
        report.suggest(NextStep(label="how good this SAE is", experiment="sae-check", params={"sae": saes[0].name}))


def _saes(lab: Lab, params: Params, windows: Windows, counted: slice, report: Report) -> list[Studied]:
    """Those that were asked for, by layer. Raises UserError where none fits."""
    from workbench.lab.sae.errors import studied

    opened = open_saes(lab, params.sae, report)
    n = windows.ids.size * len(opened)
    if n > REMEMBERED:
        raise UserError(
            f"{count(windows.ids.size)} tokens of {len(opened)} SAEs are {count(n)}, and at most {count(REMEMBERED)} "
            "are kept: take fewer --tokens, or one SAE at a time"
        )
    if windows.documents.max() == 0:
        report.note("a single document: nothing is known of errors, and no factor is fitted")
    make = partial(studied, counted=counted, fit_tokens=FIT_TOKENS, seed=lab.seed)
    saes = [make(each.name, each.placed, windows.ids, windows.documents) for each in opened]
    return sorted(saes, key=lambda each: (each.placed.site_out, each.name))


class _Shown:
    """Keeps sentence, numbers and views at what is measured, a little behind."""

    def __init__(self, lab: Lab, params: Params, windows: Windows, saes: Sequence[Studied], report: Report) -> None:
        self._lab, self._params, self._windows, self._saes, self._report = lab, params, windows, saes, report
        self._shown_at = 0.0
        self._tails: Sequence[Tail] = ()

    @property
    def sample(self) -> str:
        record = self._saes[0].record
        if record.done.all():
            return self._windows.text
        return f"{count(record.n)} tokens so far, of {self._windows.text}"

    def update(self, final: bool = False) -> None:
        if not final and time.monotonic() - self._shown_at < REFRESH:
            return
        report, sample = self._report, self.sample
        if len(self._saes) > 1:
            lines, table = more.layers(self._saes, sample)
            report.add("layers", lines)
            report.add("saes", table)
            report.add("kl", more.by_layer(self._saes, "KL", sample))
            report.add("loss", more.by_layer(self._saes, "loss increase", sample))
            for each in self._saes:
                _scalars(report, each, f"{each.name}_")
        else:
            self._one(sample)
        self.say()
        self._shown_at = time.monotonic()

    def _one(self, sample: str) -> None:
        report, each = self._report, self._saes[0]
        report.add("substitutions", views.substitutions(each, sample))
        report.add("quality", views.quality(each, sample))
        report.add("distribution", views.distribution(each.record, sample))
        report.add("positions", views.positions(each.record, sample))
        table, correlation = views.tokens(self._lab, each.record)
        report.add("tokens", table)
        scatter, single = views.single_tokens(self._lab, each.record, self._lab.seed)
        report.add("scatter", scatter)
        report.add("single", single)
        if each.factors is not None and len(each.judged):
            report.add("factors", more.factors(each))
        _scalars(report, each, "")
        report.scalar("frequency_correlation", correlation)

    def tails(self, found: Sequence[Tail]) -> None:
        """Draws at single tokens, as they come."""
        self._tails = found
        self.say()

    def say(self) -> None:
        if len(self._saes) > 1:
            self._report.say(_sentence_of_several(self._saes, self.sample))
        else:
            self._report.say(_sentence(self._saes[0], self.sample, self._tails))


def _sentence(each: Studied, sample: str, tails: Sequence[Tail]) -> str:
    record = each.record
    kl, recovered = record.mean_kl("sae"), record.recovered("zero")
    kept = (
        "zero in its place costs nothing, so no cross-entropy is recovered"
        if math.isnan(recovered.value)
        else f"recovers {number(recovered.value)} of the cross-entropy"
    )
    sentence = (
        f"{each.name} at {each.placed.site_out}: KL {number(kl.value)} · at the same distance "
        f"{views.times(record, 'eps')} and {views.times(record, 'eps-sigma')} (covariance matched), "
        f"{views.times(record, 'eps-pair')}, {views.times(record, 'eps-other')} · explains "
        f"{number(each.explained.value)} of the variance, {kept}, {number(100 * each.dead)} % dead"
    )
    if tails:
        shares = [f"{more.on_tail(tails, kind)} ({ARMS[kind].name})" for kind in tails[0].draws]
        sentence += f" · above 95 % of draws at {', '.join(shares)} of {len(tails)} single tokens"
    return f"{sentence} · {sample}"


def _sentence_of_several(saes: Sequence[Studied], sample: str) -> str:
    ratios = [
        f"{_span([each.record.ratio(key).value for each in saes])} times {ARMS[key].name}"
        for key in ("eps", "eps-sigma")
    ]
    return (
        f"{len(saes)} SAEs: KL {' and '.join(ratios)} (covariance matched) at the same distance · explain "
        f"{_span([each.explained.value for each in saes])} of the variance, recover "
        f"{_span([each.record.recovered('zero').value for each in saes])} of the cross-entropy, "
        f"{_span([100 * each.dead for each in saes])} % dead · {sample}"
    )


def _span(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{number(min(known))} to {number(max(known))}" if known else NOTHING


def _scalars(report: Report, each: Studied, prefix: str) -> None:
    record = each.record
    report.scalar(f"{prefix}explained_variance", each.explained.value)
    report.scalar(f"{prefix}recovered_zero", record.recovered("zero").value)
    report.scalar(f"{prefix}dead", each.dead)
    report.scalar(f"{prefix}tokens", record.n)
    report.scalar(f"{prefix}kl_rounding", record.rounding)
    report.scalar(f"{prefix}loss_clean", record.mean(record.loss["clean"]).value)
    for key in ARMS:
        name = key.replace("-", "_")
        if key in ("one-factor", "feature-factors"):
            continue
        kl = record.mean_kl(key)
        report.scalar(f"{prefix}kl_{name}", kl.value)
        report.scalar(f"{prefix}kl_{name}_se", kl.se)
        report.scalar(f"{prefix}loss_{name}", record.mean(record.loss[key]).value)
        if key in BASELINES:
            ratio = record.ratio(key)
            report.scalar(f"{prefix}ratio_{name}", ratio.value)
            report.scalar(f"{prefix}ratio_{name}_se", ratio.se)


def _one_position(lab: Lab, params: Params, each: Studied, report: Report, show: _Shown) -> None:
    """Single positions edited: what follows them, and many draws."""
    from workbench.lab.sae.one_position import FOLLOWING, following, tails

    context = each.record.ids.shape[1]
    if context > FOLLOWING + 1:
        at = min(FOLLOW_AT, context - FOLLOWING - 1)
        report.add("following", more.following(following(lab.model, each, at, FOLLOWED, lab.seed, report)))
    if not params.draw_tokens:
        return
    position = min(DRAW_AT, context - 1)

    def updated(found: Sequence[Tail]) -> None:
        if len(found) == 1:
            report.add("draws", more.draws(lab, each.record, found[0], position))
            report.add("top", more.top(lab, each.record, found[0], position))
        report.add("tails", more.tails(lab, each.record, found, position))
        for kind in found[0].draws:
            report.scalar(f"tail_{kind.replace('-', '_')}", more.on_tail(found, kind) / len(found))
        show.tails(found)

    tails(lab.model, each, position, params.draw_tokens, params.draws, lab.seed, report, updated)


EXPERIMENT = Experiment(
    name="sae-errors",
    help=__doc__,
    params=Params,
    run=run,
    group="saes",
    order=82,
    takes_edits=False,
    long=True,
    cost=cost,
    works=lambda params, edited: ("forward",),
)
