"""Views of `project` that need no text: vocabulary, neurons, stream, other directions. No torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.directions.names import model_direction
from workbench.errors import UserError
from workbench.report import Report
from workbench.result_keys import Along as Keys
from workbench.statistics import band
from workbench.text import count, number, show_token, spread
from workbench.units import Neuron, Site, parse_unit
from workbench.views import Column, Level, Lines, Series, Table

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.projections import Along, Bundle, Compared, NeuronCosines, StreamByLayer

SIDES = {"w_out": "writes", "w_in": "reads", "w_gate": "gates"}
"""effective weights, and what a neuron does to a direction that they lie along"""


def spread_of(values: np.ndarray) -> str:
    """`median .004 (5–95 %: .001–.019)` of random directions."""
    middle = band(values)
    return spread(number(middle.median), number(middle.low), number(middle.high))


def place(value: float, draws: np.ndarray) -> str:
    """Where a size is among those of random directions: `larger than all 32`."""
    smaller = int((draws < value).sum())
    return f"larger than {'all ' if smaller == len(draws) else f'{smaller} of '}{len(draws)}"


# --- the vocabulary ----------------------------------------------------------------------------------


def add_vocabulary(lab: Lab, along: Along, top: int, report: Report) -> str:
    """What the direction promotes and suppresses. Returns it as a sentence."""
    n = len(along.values)
    sizes = [
        np.maximum(*pair)
        for pair in (
            (along.highest.stream, -along.lowest.stream),
            (along.highest.isotropic, -along.lowest.isotropic),
        )
    ]
    size = max(along.highest.value, -along.lowest.value)
    chance = f"largest |logit| of {count(n)} tokens for random directions: stream's covariance {spread_of(sizes[0])}"
    report.add(
        Keys.PROMOTES,
        Table(
            title="What it promotes",
            note=f"logits per unit of length, before the final norm divides by its scale; {chance}, "
            f"isotropic {spread_of(sizes[1])}",
            columns=[
                Column(key=Keys.TOKEN, name="promotes", kind="token"),
                Column(key=Keys.LOGITS, name="logits up", kind="signed", quantity="logits per unit length"),
                Column(key=Keys.SUPPRESSED, name="suppresses", kind="token"),
                Column(
                    key=Keys.SUPPRESSED_LOGITS, name="logits down", kind="signed", quantity="logits per unit length"
                ),
            ],
            rows=_ends(lab, along, top),
        ),
    )
    report.scalar("largest_logit", along.highest.value)
    report.scalar("lowest_logit", along.lowest.value)
    report.scalar(Keys.LARGEST_RANDOM, band(sizes[0]).median)
    high, low = (", ".join(show_token(str(row[column])) for row in _ends(lab, along, 3)) for column in (0, 2))
    return (
        f"promotes {high} (up to {number(along.highest.value)} logits per unit length) and suppresses {low} (down to "
        f"{number(along.lowest.value)}) · largest |logit| of {len(sizes[0])} random directions: {spread_of(sizes[0])}; "
        f"{place(size, sizes[0])}"
    )


def _ends(lab: Lab, along: Along, top: int) -> list[list[Any]]:
    """The highest tokens with their values, beside the lowest."""
    order = np.argsort(-along.values, kind="stable")
    return [
        [_token(lab, high), float(along.values[high]), _token(lab, low), float(along.values[low])]
        for high, low in zip(order[:top], order[::-1][:top], strict=True)
    ]


def _token(lab: Lab, row: int) -> str:
    """A row of the embedding as a token; padding rows have none."""
    return lab.token(int(row)) if row < len(lab.model.tokens.tokenizer) else f"(row {row}: no token)"


def add_moments(along: Along, report: Report) -> None:
    """Moments of the cosines with the effective unembedding."""
    rows: list[list[Any]] = []
    for name, moment in along.moments.items():
        report.scalar(f"vocabulary_{name}", moment.value)
        rows.append([name, moment.value, *_middle(moment.stream), *_middle(moment.isotropic)])
    report.add(
        "moments",
        Table(
            title="Cosines with the unembedding, over the vocabulary",
            note="prediction directions have a large kurtosis (3 is a normal distribution's)",
            columns=[
                Column(key="moment", name="of the cosines"),
                Column(key="value", name="value", kind="signed", gives_way="never"),
                *_random_columns(),
            ],
            rows=rows,
        ),
    )


def _random_columns() -> list[Column]:
    return [
        Column(key="stream", name="random, Σ", kind="number", help="median; Σ is the stream's covariance"),
        Column(key="stream_range", name="5–95 %", gives_way="late"),
        Column(key="isotropic", name="isotropic", kind="number", help="median", gives_way="early"),
        Column(key="isotropic_range", name="5–95 % ", gives_way="early"),
    ]


def _middle(values: np.ndarray) -> tuple[float, str]:
    middle = band(values)
    return middle.median, f"{number(middle.low)}–{number(middle.high)}"


def add_embedding(lab: Lab, along: Along, top: int, report: Report) -> None:
    report.scalar("largest_embedding_cosine", along.highest.value)
    report.add(
        "embedding",
        Table(
            title="Tokens whose embeddings lie along it",
            note=f"cosine with rows of W_E; the largest of {count(len(along.values))} for random directions: stream's "
            f"covariance {spread_of(along.highest.stream)}, isotropic {spread_of(along.highest.isotropic)}",
            columns=[
                Column(key="along", name="along it", kind="token"),
                Column(key="along_cosine", name="cosine with it", kind="signed"),
                Column(key="against", name="against it", kind="token"),
                Column(key="against_cosine", name="cosine, opposite", kind="signed"),
            ],
            rows=_ends(lab, along, top),
        ),
    )


# --- neurons -----------------------------------------------------------------------------------------


def _beside(neuron: Neuron, verb: str, site: Site) -> str:
    """Where a neuron stands that lies along the direction, but can't write what is at the site, or can't read it."""
    last_writer = site.layer if site.name in ("resid_post", "mlp_out") else site.layer - 1
    if verb == "writes":
        return "" if neuron.layer <= last_writer else f"behind {site}"
    return "" if neuron.layer > last_writer else f"before {site}"


def add_neurons(sides: dict[str, NeuronCosines], name: str, top: int, report: Report, site: Site) -> str:
    """The neurons that write and read it most. Returns a sentence about the one that stands out most from chance.

    The neuron whose weights the direction is made of is listed, and counts as none of them. A neuron that writes it
    behind `site`, or reads it before, is marked.
    """
    of_model = model_direction(name)
    own = parse_unit(of_model.unit) if of_model is not None else None
    rows: list[list[Any]] = []
    chances: list[list[Any]] = []
    best: tuple[float, str] = (0.0, "")
    for side, along in sides.items():
        verb, chance = SIDES[side], along.largest.stream
        sizes = np.abs(along.cosines)
        order = np.argsort(-sizes, axis=None, kind="stable")[:top]
        for layer, index in zip(*np.unravel_index(order, sizes.shape), strict=True):
            unit, size = Neuron(int(layer), int(index)), sizes[layer, index]
            mark = "its own weights" if unit == own else "yes" if size > chance.max() else ""
            rows.append([verb, str(unit), float(along.cosines[layer, index]), mark, _beside(unit, verb, site)])
        if isinstance(own, Neuron):
            sizes[own.layer, own.index] = 0
        layer, index = np.unravel_index(int(sizes.argmax()), sizes.shape)
        largest, beyond = float(sizes[layer, index]), int((sizes > chance.max()).sum())
        sentence = (
            f"{Neuron(int(layer), int(index))} {verb} it most, cosine {number(float(along.cosines[layer, index]))} · "
            f"largest |cosine| with a neuron of {len(chance)} random directions: {spread_of(chance)}; "
            f"{place(largest, chance)}"
        )
        best = max(best, (largest / band(chance).median, sentence))
        report.scalar(f"neurons_{verb}", beyond)
        chances.append([verb, largest, *_middle(chance), *_middle(along.largest.isotropic), beyond, sizes.size])
    draws = len(next(iter(sides.values())).largest.stream)
    report.add(
        Keys.NEURONS,
        Table(
            title="Neurons that write it and read it",
            note=f"cosine with effective weights; beyond chance: larger than any neuron's with any of {draws} random "
            "directions of the stream's covariance",
            columns=[
                Column(key=Keys.RELATION, name="how", help="writes: w_out, reads: w_in, gates: w_gate lies along it"),
                Column(key=Keys.UNIT, name="unit", kind="unit"),
                Column(key=Keys.COSINE, name="cosine", kind="signed"),
                Column(key=Keys.BEYOND, name="beyond chance", gives_way="never"),
                Column(
                    key="place", name="can't, since", help="nothing behind the site writes there, or before reads it"
                ),
            ],
            rows=rows,
        ),
    )
    report.add(
        "neurons_chance",
        Table(
            title="The largest |cosine| of all neurons",
            note=f"for {draws} random directions of each kind: median, and 5–95 %",
            columns=[
                Column(key=Keys.RELATION, name="how"),
                Column(key="largest", name="this direction", kind="number", gives_way="never"),
                *_random_columns(),
                Column(key="beyond", name="beyond", kind="int", help="neurons beyond the largest of the random, Σ"),
                Column(key="neurons", name="of", kind="int", gives_way="early"),
            ],
            rows=chances,
        ),
    )
    return best[1]


# --- the stream --------------------------------------------------------------------------------------


def add_stream(stream: StreamByLayer, norm: float, d_model: int, report: Report) -> None:
    """How long the stream is, how far it goes along the direction, and how much of its variance that is."""
    x = np.arange(len(stream.names), dtype=np.float64) - 1
    note = (
        f"{count(stream.tokens)} tokens of a fixed text, position 0 left out; bands: 5–95 %, of tokens and of random "
        "directions of the stream's covariance"
    )
    report.add(
        "norms",
        Lines(
            title="The stream's length, and how far it goes along the direction",
            note=note,
            x=x,
            x_ticks=stream.names,
            series=[
                Series(name="stream ‖x‖", y=stream.norm[1], low=stream.norm[0], high=stream.norm[2]),
                Series(name="along it", y=_values(stream.projection)),
                _random("random, Σ", [point.stream for point in stream.projection]),
            ],
            x_label="layer",
            y_label="length; along: mean |d̂·x|",
            log_y=True,
            levels=[Level(y=norm, label="‖d‖")],
        ),
    )
    report.add(
        "variance",
        Lines(
            title="Share of the stream's variance along the direction",
            note=note,
            x=x,
            x_ticks=stream.names,
            series=[
                Series(name="along it", y=_values(stream.share)),
                _random("random, Σ", [point.stream for point in stream.share]),
            ],
            x_label="layer",
            y_label="share of variance",
            log_y=True,
            levels=[Level(y=1 / d_model, label="1/d")],
        ),
    )
    largest = int(np.argmax(_values(stream.share)))
    report.scalar("largest_share", stream.share[largest].value)
    report.scalar("largest_share_layer", largest - 1)


def _values(points: list[Compared]) -> np.ndarray:
    return np.asarray([point.value for point in points])


def _random(name: str, draws: list[np.ndarray]) -> Series:
    bands = [band(values) for values in draws]
    return Series(
        name=name,
        y=np.asarray([middle.median for middle in bands]),
        low=np.asarray([middle.low for middle in bands]),
        high=np.asarray([middle.high for middle in bands]),
    )


# --- other directions --------------------------------------------------------------------------------


def add_directions(lab: Lab, beside: str, name: str, directions: Bundle, report: Report) -> None:
    """Cosines with other directions, largest first; those of another width or model are named."""
    others = [text.strip().removeprefix("@") for text in re.split(r"[,\s]+", beside) if text.strip()]
    rows: list[list[Any]] = []
    largest = np.zeros(directions.draws * 2)
    vectors = np.asarray(directions.vectors.cpu().double().numpy())
    for other in others:
        if other == name:
            continue
        try:
            vector = lab.weights.direction(other).astype(np.float64)
        except UserError as error:
            report.note(f"@{other} is left out: {error}")
            continue
        if not vector.any():
            report.note(f"@{other} is left out: it points nowhere")
            continue
        cosines = vectors @ vector / np.linalg.norm(vector)
        largest = np.maximum(largest, np.abs(cosines[1:]))
        random = np.abs(cosines[1 : 1 + directions.draws])
        rows.append([f"@{other}", float(cosines[0]), float(band(random).high), lab.weights.origin(other).about])
    if not rows:
        return
    rows.sort(key=lambda row: -abs(row[1]))
    stream, isotropic = largest[: directions.draws], largest[directions.draws :]
    report.add(
        Keys.DIRECTIONS,
        Table(
            title="Other directions",
            note=f"the largest |cosine| of {count(len(rows))} for random directions: stream's covariance "
            f"{spread_of(stream)}, isotropic {spread_of(isotropic)}",
            columns=[
                Column(key=Keys.DIRECTION, name="direction", kind="unit"),
                Column(key=Keys.COSINE, name="cosine", kind="signed"),
                Column(key=Keys.RANDOM, name="random 95 %", kind="number", help="|cosine|, the stream's covariance"),
                Column(key="about", name="about", gives_way="early"),
            ],
            rows=rows,
        ),
    )
    report.scalar("largest_direction_cosine", rows[0][1])
