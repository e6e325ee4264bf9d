"""One feature of an SAE: what it fires on, what it promotes, which features and neurons are near it.

On a corpus, the clean model: how often it fires beside the SAE's other features, and the documents where it is
largest. Its decoder row at length 1 is held against the effective unembedding (what it promotes and suppresses),
against every neuron's effective weights and against the other features, beside random directions drawn from the
stream's covariance and isotropic ones; the largest of many is compared with the largest of as many for each random
direction. Position 0 is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.errors import UserError
from workbench.experiment import Cost, Experiment
from workbench.experiments._corpus import CorpusContext, CorpusTokens, corpus_prompts
from workbench.params import CorpusText, UnitText
from workbench.params import Params as BaseParams
from workbench.report import NextStep, Report
from workbench.statistics import band, clustered_mean, rank_percentile
from workbench.text import count, number, safe, show_token, spread
from workbench.units import Feature, parse_unit
from workbench.views import Column, Histogram, Scalar, Scalars, Series, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt
    from workbench.lab.sae.activity import Activity
    from workbench.lab.sae.cosines import FeatureCosines
    from workbench.lab.sae.sae import SAE
    from workbench.model_info import ModelInfo

BEFORE, AFTER = 12, 8
"""tokens around a peak that an example shows"""
BINS = 30


class Params(BaseParams, kw_only=True, frozen=True):
    unit: Annotated[UnitText, Meta(description="a feature", extra={"example": "L10.F77"})] = ""
    corpus: Annotated[
        CorpusText,
        Meta(description="the text it is read on: stdlib, a file, a folder, org/name on the hub"),
    ] = "stdlib"
    tokens: CorpusTokens = 4_096
    context: CorpusContext = 128
    top: Annotated[
        int, Meta(ge=1, le=100, description="examples, tokens, features and neurons to list", extra={"unit": "rows"})
    ] = 10
    draws: Annotated[
        int,
        Meta(ge=32, le=256, description="random directions of each kind", extra={"unit": "directions", "more": True}),
    ] = 32


def cost(params: Params, info: ModelInfo) -> Cost | None:
    context = min(params.context, info.n_ctx)
    return Cost(passes=params.tokens / context, tokens=context)


def run(lab: Lab, params: Params, report: Report) -> None:
    from workbench.lab.sae.activity import activity
    from workbench.lab.sae.features import feature_sae

    if not params.unit.strip():
        raise UserError("no feature named: give --unit, for example L10.F77")
    unit = parse_unit(params.unit, lab.info)
    if not isinstance(unit, Feature):
        raise UserError(f"{unit} is no feature of an SAE: give one like L10.F77")
    registered = feature_sae(lab.model, unit)
    placed, name = registered.placed, registered.artifact.name
    unit = Feature(unit.layer, unit.index, name)
    prompts = corpus_prompts(lab, params.corpus, params.tokens, params.context, report)
    done = activity(lab, placed, unit.index, prompts, report)
    sentences = [f"{unit} {_fires(done, unit)}"]
    report.say(sentences[0])
    _add_text(done, unit, params.top, report)
    sentences += _add_weights(lab, params, unit, report)
    report.say(" · ".join(sentences))
    strongest = max(done.texts, key=lambda text: float(text[1].max()))
    value = float(strongest[1].max()) or 1.0
    report.suggest(
        NextStep(
            label=f"what if {unit} is off",
            experiment="effect",
            params={"prompt": _prompt_to(strongest) if strongest[1].any() else "The capital of France is"},
            edits=[f"{unit}=0"],
        )
    )
    report.suggest(
        NextStep(
            label=f"what if it is {number(value)}, the most it was here",
            experiment="effect",
            params={"prompt": "The capital of France is"},
            edits=[f"{unit}={value:.3g}"],
        )
    )
    report.suggest(
        NextStep(label="its decoder row as a direction", experiment="project", params={"direction": _direction(unit)})
    )


def _direction(unit: Feature) -> str:
    return f"@L{unit.layer}.F{unit.index}.dec" + (f".{unit.sae}" if unit.sae else "")


# --- on text ------------------------------------------------------------------------------------------


def _fires(done: Activity, unit: Feature) -> str:
    n, n_features = int(done.fired[unit.index]), len(done.fired)
    where = f"of {count(done.n)} tokens of {count(len(done.texts))} documents"
    dead = int((done.fired == 0).sum())
    others = f"{count(dead)} of the SAE's {count(n_features)} features never fire there"
    if not n:
        return f"never fires, {where} · {others}"
    alive = np.delete(done.fired, unit.index)
    alive = alive[alive > 0] / done.n
    floor = f"the others that fire: {_spread(100 * alive)} %" if len(alive) else "no other fires"
    prompt, values = max(done.texts, key=lambda text: float(text[1].max()))
    at = int(values.argmax())
    return (
        f"fires on {number(100 * n / done.n)} % {where} ({floor}; {others}) · "
        f"largest at {show_token(prompt.tokens[at])}, {number(float(values[at]))}"
    )


def _spread(values: np.ndarray) -> str:
    middle = band(values)
    return spread(number(middle.median), number(middle.low), number(middle.high))


def _add_text(done: Activity, unit: Feature, top: int, report: Report) -> None:
    fires = [(prompt, values) for prompt, values in done.texts if values.any()]
    fires.sort(key=lambda text: -float(text[1].max()))
    frequency = clustered_mean(
        [int((values > 0).sum()) for _, values in done.texts], [len(values) - 1 for _, values in done.texts]
    )
    percentile = rank_percentile(done.fired.astype(np.float64), unit.index)
    report.scalar("frequency", frequency.value)
    report.scalar("frequency_percentile", percentile)
    report.scalar("largest_activation", float(fires[0][1].max()) if fires else 0.0)
    report.add(
        "examples",
        Table(
            title="Where it is largest",
            note=f"at most one of a document; {len(fires)} of {len(done.texts)} documents have any",
            columns=[
                Column(key="value", name="activation", kind="number"),
                Column(key="text", name="text"),
                Column(key="token", name="peak", kind="token"),
                Column(key="position", name="token", kind="int", help="place in the document's beginning"),
            ],
            rows=[_example(prompt, values) for prompt, values in fires[:top]],
        ),
    )
    if not fires:
        return
    prompt, values = fires[0]
    report.add(
        "best",
        Tokens(
            title="The document with its largest activation",
            tokens=prompt.tokens,
            rows=[TokenRow(name="activation", values=values.astype(np.float64))],
            value_label="activation",
            low_label="silent",
            high_label="active",
        ),
    )
    above = np.concatenate([values[values > 0] for _, values in fires]).astype(np.float64)
    counts, edges = np.histogram(above, bins=BINS)
    report.add(
        "histogram",
        Histogram(
            title="Activation where it fires",
            note=f"{count(len(above))} of {count(done.n)} tokens, {number(100 * frequency.value)} ± "
            f"{number(100 * frequency.se, 2)} % (error by document); counts are logarithmic",
            edges=edges,
            series=[Series(name=str(unit), y=counts.astype(np.float64))],
            x_label="activation",
            log_counts=True,
        ),
    )


def _example(prompt: Prompt, values: np.ndarray) -> list[Any]:
    at = int(values.argmax())
    start, end = max(0, at - BEFORE), at + AFTER + 1
    before, after = (safe("".join(prompt.tokens[part])) for part in (slice(start, at), slice(at + 1, end)))
    text = f"{'…' if start else ''}{before}⟨{safe(prompt.tokens[at])}⟩{after}{'…' if end < len(values) else ''}"
    return [float(values[at]), text, prompt.tokens[at], at]


def _prompt_to(text: tuple[Prompt, np.ndarray]) -> str:
    """A short prompt that ends at the peak."""
    prompt, values = text
    at = int(values.argmax())
    return "".join(prompt.tokens[max(1, at - 2 * BEFORE) : at + 1]).strip() or "The capital of France is"


# --- its weights --------------------------------------------------------------------------------------


def _add_weights(lab: Lab, params: Params, unit: Feature, report: Report) -> list[str]:
    """What follows from the feature's weights, as views; returned as sentences."""
    from workbench.experiments._project import add_neurons, add_vocabulary
    from workbench.lab.directions.projections import along_neurons, along_rows, bundle
    from workbench.lab.effective import unembedding
    from workbench.lab.sae.cosines import decoder_cosines
    from workbench.lab.sae.vectors import feature_vector, feature_vector_site

    placed = lab.weights.sae(unit)
    try:
        site = feature_vector_site(placed, "dec", lab.info)
    except UserError as error:
        report.note(f"without what it promotes and what is near it: {error}")
        _add_numbers(placed.sae, unit, None, report)
        return []
    vector = feature_vector(lab.model, placed, unit, "dec").cpu().numpy()
    if not np.linalg.norm(vector) > 0:
        report.note("without what it promotes and what is near it: its decoder row is zero")
        _add_numbers(placed.sae, unit, None, report)
        return []
    directions = bundle(lab, vector, site, params.draws, report)
    along = along_rows(unembedding(lab.model), directions, report, "vocabulary", cosines=False)
    sentences = [add_vocabulary(lab, along, params.top, report)]
    cosines = decoder_cosines(placed.sae, unit.index, directions, lab.seed)
    sentences.append(_add_features(cosines, unit, params.top, report))
    try:
        along_all = along_neurons(lab, directions, report)
        sentences.append(add_neurons(along_all, _direction(unit)[1:], params.top, report, site))
    except UserError as error:
        report.note(f"without the neurons that write and read it: {error}")
    _add_numbers(placed.sae, unit, cosines, report)
    return sentences


def _add_features(cosines: FeatureCosines, unit: Feature, top: int, report: Report) -> str:
    near = cosines.nearest
    order = [int(index) for index in np.argsort(-cosines.decoder, kind="stable") if index != unit.index][:top]
    beyond = float(near.stream.max())
    rows: list[list[Any]] = [
        [
            str(Feature(unit.layer, index, unit.sae)),
            float(cosines.decoder[index]),
            _yes(cosines.decoder[index] > beyond),
        ]
        for index in order
    ]
    random_features = _spread(cosines.nearest_of_features) if len(cosines.nearest_of_features) else "none"
    report.add(
        "features",
        Table(
            title="Nearest features",
            note=f"cosine of decoder rows; the nearest feature of {len(near.stream)} random directions: stream's "
            f"covariance {_spread(near.stream)}, isotropic {_spread(near.isotropic)}; of "
            f"{len(cosines.nearest_of_features)} random features of this SAE: {random_features}",
            columns=[
                Column(key="unit", name="unit", kind="unit"),
                Column(key="cosine", name="cosine", kind="signed"),
                Column(
                    key="beyond",
                    name="beyond chance",
                    help="larger than the nearest feature of any of the random directions of the stream's covariance",
                    gives_way="never",
                ),
            ],
            rows=rows,
        ),
    )
    report.scalar("nearest_feature", near.value)
    if not rows:
        return "the SAE has no other feature"
    return f"nearest feature {rows[0][0]}, cosine {number(near.value)} (of random features: {random_features})"


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _add_numbers(sae: SAE, unit: Feature, cosines: FeatureCosines | None, report: Report) -> None:
    norms = sae.decoder_norms().cpu().numpy()
    encoder = sae.W_enc.float().norm(dim=0).cpu().numpy()
    items = [
        Scalar(name="‖W_dec‖", value=float(norms[unit.index]), help=f"all features: {_spread(norms)}"),
        Scalar(name="‖W_enc‖", value=float(encoder[unit.index]), help=f"all features: {_spread(encoder)}"),
    ]
    for key in sae.own:
        values = sae.tensors[key].float().cpu().numpy()
        items.append(Scalar(name=key, value=float(values[unit.index]), help=f"all features: {_spread(values)}"))
    if cosines is not None and np.isfinite(cosines.encoder) and len(cosines.encoder_of_features):
        of_features = f"{len(cosines.encoder_of_features)} random features: {_spread(cosines.encoder_of_features)}"
        items.append(Scalar(name="cosine of encoder and decoder", value=cosines.encoder, help=of_features))
    report.add("numbers", Scalars(title="In numbers", note=sae.config.describe, items=items))
    report.scalar("decoder_norm", float(norms[unit.index]))


EXPERIMENT = Experiment(
    name="feature",
    help=__doc__,
    params=Params,
    run=run,
    group="saes",
    order=83,
    takes_edits=False,
    brief=True,
    cost=cost,
)
