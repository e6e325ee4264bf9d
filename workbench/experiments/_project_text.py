"""Views of `project` over text: token by token, and by kind of token. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.experiments._common import mean_text, number_or_none
from workbench.experiments._effect import MIN_DOCUMENTS, TOKEN_CLASSES, token_class, uncertain
from workbench.report import Report
from workbench.statistics import band, clustered_mean
from workbench.text import count, number, show_token, spread
from workbench.units import Site
from workbench.views import Column, Table, TokenRow, Tokens

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.directions.projections import Bundle, TextAlong
    from workbench.lab.prompts import Prompt


def add_text(lab: Lab, prompt: Prompt, site: Site, directions: Bundle, name: str, norm: float, report: Report) -> None:
    """The prompt's tokens along the direction: as multiples of the direction, and as cosines."""
    from workbench.lab.directions.projections import along_texts

    (text,) = next(along_texts(lab, [prompt], site, directions))
    cosines = text.projection / text.norm[:, None]
    counted = slice(1, None) if len(prompt) > 1 else slice(None)
    sizes = np.abs(cosines[counted, 1 : 1 + directions.draws])
    middle = band(sizes.ravel())
    chance = spread(*map(number, (middle.median, middle.low, middle.high)))
    if len(prompt) > 1:
        text.projection[0] = np.nan  # the attention sink would set the scale
        cosines[0] = np.nan
    unit = "‖d‖" if abs(norm - 1) > 1e-3 else "length"
    for key, title, label, values in (
        ("text", f"The stream at {site} along @{name}", f"d̂·x in units of {unit}", text.projection[:, 0] / norm),
        ("text_cosine", f"The same as cosines, {site}", "d̂·x / ‖x‖", cosines[:, 0]),
    ):
        note = prompt.describe + ("; position 0 left out" if len(prompt) > 1 else "")
        if key == "text_cosine":
            note += f"; |cosine| of {directions.draws} random directions of the stream's covariance: {chance}"
        report.add(
            key,
            Tokens(
                title=title,
                note=note,
                tokenization=prompt.tokenization,
                tokens=prompt.tokens,
                rows=[TokenRow(name=f"@{name}", values=values)],
                value_label=label,
                low_label="against it",
                high_label="along it",
                signed=True,
            ),
        )
    at = counted.start or 0
    at += int(np.abs(cosines[counted, 0]).argmax())
    report.scalar("text_cosine", cosines[at, 0])
    report.note(
        f"the prompt goes farthest along @{name} at {show_token(prompt.tokens[at])}: cosine "
        f"{number(float(cosines[at, 0]))}; |cosine| of random directions over its tokens: {chance}"
    )


def add_classes(lab: Lab, prompts: Sequence[Prompt], site: Site, directions: Bundle, name: str, report: Report) -> None:
    """Mean projections by kind of token over documents, position 0 left out, with errors clustered by document."""
    from workbench.lab.directions.projections import along_texts

    texts: list[TextAlong] = []
    for batch in report.track(along_texts(lab, prompts, site, directions), "documents", total=len(prompts)):
        texts += batch
    kinds = [np.asarray([token_class(token) for token in text.prompt.tokens[1:]]) for text in texts]
    everything = np.concatenate([text.projection[1:] for text in texts])
    mean, deviation = everything.mean(0), everything.std(0)
    rows: list[list[Any]] = []
    largest = np.zeros(directions.draws)
    for token_kind in TOKEN_CLASSES:
        masks = [kind == token_kind for kind in kinds]
        counts = [int(mask.sum()) for mask in masks]
        if not sum(counts):
            continue
        values = [text.projection[1:][mask] for text, mask in zip(texts, masks, strict=True)]
        projection = clustered_mean([float(part[:, 0].sum()) for part in values], counts)
        # how far the kind's mean is from that of all tokens, in standard deviations over tokens, of every direction
        away = (np.concatenate(values).mean(0) - mean) / np.maximum(deviation, np.finfo(np.float64).tiny)
        random = np.abs(away[1 : 1 + directions.draws])
        largest = np.maximum(largest, random)
        rows.append(
            [
                token_kind,
                projection.value,
                number_or_none(projection.se),
                float(away[0]),
                float(band(random).high),
                sum(counts),
                projection.n,
                "?" if uncertain(projection) else "",
            ]
        )
    rows.sort(key=lambda row: -abs(row[3]))
    overall = clustered_mean(
        [float(text.projection[1:, 0].sum()) for text in texts], [len(text.prompt) - 1 for text in texts]
    )
    middle = band(largest)
    chance = spread(*map(number, (middle.median, middle.low, middle.high)))
    report.add(
        "classes",
        Table(
            title=f"By kind of token, at {site}",
            note=f"d̂·x, all tokens: {mean_text(overall)}; the largest distance of {len(rows)} kinds for random "
            f"directions of the stream's covariance: {chance} sd",
            columns=[
                Column(key="token_class", name="tokens that are"),
                Column(key="projection", name="projection", kind="signed", quantity="mean d̂·x"),
                Column(
                    key="se",
                    name="±",
                    kind="number",
                    help="one standard error, clustered by document",
                    gives_way="never",
                ),
                Column(key="away", name="away, sd", kind="signed", help="from the mean of all tokens"),
                Column(key="random", name="random", kind="number", help="95 % of |away| of random directions"),
                Column(key="tokens", name="tokens", kind="int", gives_way="early"),
                Column(key="documents", name="documents", kind="int", gives_way="early"),
                Column(
                    key="uncertain",
                    name="",
                    help=f"? where there are under {MIN_DOCUMENTS} documents, or the error is over half of the mean",
                    gives_way="never",
                ),
            ],
            rows=rows,
        ),
    )
    report.scalar("tokens", len(everything))
    certain = next((row for row in rows if not row[-1]), None)
    if certain is not None:
        report.note(
            f"on {count(len(everything))} tokens, those that are {certain[0]} stand farthest from the others along "
            f"@{name}: {number(certain[3])} sd; the farthest kind of random directions: {chance} sd"
        )
