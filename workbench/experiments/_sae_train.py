"""`sae-train`'s parameters, checked against a model, and its views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta

from workbench.artifacts.activations import SITES, site_width
from workbench.errors import UserError
from workbench.experiments._corpus import MOST_TOKENS
from workbench.params import CorpusText, UnitText
from workbench.params import Params as BaseParams
from workbench.report import Report
from workbench.text import count, number
from workbench.units import Site, parse_unit
from workbench.views import Column, Lines, Series, Table

if TYPE_CHECKING:
    from workbench.lab.sae.running import Run
    from workbench.model_info import ModelInfo

TIMES = 4
"""features for each number of the site, where no width is given"""


class Params(BaseParams, kw_only=True, frozen=True):
    site: Annotated[
        UnitText,
        Meta(description="what it reads: a layer's site with one vector a token", extra={"example": "L10.resid_post"}),
    ] = "L10.resid_post"
    width: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 20,
            description="how many features; 0: four for each number of the site",
            extra={"unit": "features", "example": 2304},
        ),
    ] = 0
    kind: Annotated[
        Literal["topk", "batchtopk"],
        Meta(
            description="topk: the k largest of each token (Gao et al. 2024); batchtopk: of a batch together, "
            "with one threshold afterwards (Bussmann et al. 2024)"
        ),
    ] = "topk"
    tokens: Annotated[
        int,
        Meta(
            ge=256,
            le=MOST_TOKENS,
            description="how many different ones it is trained on",
            extra={"unit": "tokens", "example": 1_000_000},
        ),
    ] = 1_000_000
    corpus: Annotated[
        CorpusText,
        Meta(
            description="the text: stdlib, stdlib:code (with its source), a text or .jsonl file, a folder, or a data "
            "set of the hub",
            extra={"example": "stdlib:code"},
        ),
    ] = "stdlib:code"
    k: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            description="features that fire on a token, or on average (Gao et al. 2024 use 32)",
            extra={"unit": "features", "more": True},
        ),
    ] = 32
    name: Annotated[
        str, Meta(description="what to call it; else by its model, site and width", extra={"more": True})
    ] = ""
    passes: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="how often each token is seen; several, since a million tokens are few (ours: explained "
            "variance still grows in the fourth)",
            extra={"more": True},
        ),
    ] = 4
    batch: Annotated[
        int,
        Meta(
            ge=16,
            le=1024,
            description="tokens of a step; small, so that a million tokens make thousands of steps (ours)",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 512
    rate: Annotated[
        float,
        Meta(
            gt=0,
            le=0.1,
            description="Adam's learning rate (ours, tried at widths 2,304 and 9,216; longer runs use 3e-4 or less)",
            extra={"more": True},
        ),
    ] = 1e-3
    warm_up: Annotated[
        float,
        Meta(ge=0, le=1, description="share of the run in which the rate rises (ours)", extra={"more": True}),
    ] = 0.05
    decay: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share at the end in which it falls to 0 (a fifth: Marks et al., dictionary_learning)",
            extra={"more": True},
        ),
    ] = 0.2
    auxiliary: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="weight of the loss that revives dead features (1/32: Gao et al. 2024); 0 leaves it out",
            extra={"more": True},
        ),
    ] = 0.03125
    dead_after: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="a feature is dead that has not fired for this share of the run (ours; Gao et al. 2024 wait "
            "for 10 million tokens)",
            extra={"more": True},
        ),
    ] = 0.05
    held_out: Annotated[
        int,
        Meta(
            ge=64,
            le=MOST_TOKENS,
            description="tokens of documents it is not trained on, for its quality at the end",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 16_384
    context: Annotated[
        int, Meta(ge=8, le=4096, description="tokens the model reads at once", extra={"unit": "tokens", "more": True})
    ] = 128


def site_of(params: Params, info: ModelInfo) -> Site:
    """Raises UserError for what is no site with one vector a token."""
    site = parse_unit(params.site, info)
    if not isinstance(site, Site) or site.name not in SITES:
        raise UserError(
            f"an SAE reads a layer's site with one vector a token, for example L10.resid_post, not {params.site}: "
            f"there are {', '.join(SITES)}"
        )
    return site


def width_of(params: Params, info: ModelInfo) -> int:
    """Raises UserError where fewer features are there than fire."""
    width = params.width or TIMES * site_width(info, site_of(params, info).name)
    if params.k > width:
        raise UserError(f"of {count(width)} features {count(params.k)} can't fire on a token: take a smaller k")
    return width


def state_so_far(run: Run, what: str) -> str:
    """The sentence while it goes on."""
    explained = 1 - run.history.column("unexplained")[-1]
    return (
        f"{what}: {count(run.tokens)} of {count(run.total)} tokens · explains {number(explained)} of the variance in "
        f"training · {number(run.history.column('l0')[-1])} features a token · "
        f"{count(run.history.column('dead')[-1])} dead so far"
    )


def add_curves(report: Report, run: Run, params: Params) -> None:
    """Growing views of the training."""
    history, width = run.history, run.settings.width
    tokens = history.column("tokens")
    curves = {
        "explained": (
            "Explained variance in training",
            1 - history.column("unexplained"),
            "1 − Σ‖x − s‖² / Σ‖x − x̄‖²",
        ),
        "dead": ("Dead features in training", history.column("dead"), f"features, of {count(width)}"),
        "l0": ("Features that fire on a token (L0)", history.column("l0"), "features"),
    }
    names = {"explained": "explained variance", "dead": "dead features", "l0": "L0"}
    notes = {
        "explained": f"of the activations it is trained on, each seen {count(params.passes)} times; the loss is the "
        "rest to 1",
        "dead": f"silent for {number(100 * params.dead_after)} % of the run, so none can be before that",
        "l0": "mean over tokens",
    }
    for key, (title, values, label) in curves.items():
        report.add(
            key,
            Lines(
                title=title,
                note=notes[key],
                x=tokens,
                series=[Series(name=names[key], y=values)],
                x_label="tokens seen",
                y_label=label,
            ),
        )


def settings_table(rows: list[tuple[str, str]], name: str) -> Table:
    """What it was trained with."""
    columns = [Column(key="what", name="what"), Column(key="value", name="value")]
    return Table(title=f"How {name} was trained", columns=columns, rows=[list(row) for row in rows])


def last_point(run: Run) -> dict[str, float]:
    """Scalars of the last steps of the training."""
    history = run.history
    return {
        "train_explained_variance": 1 - float(np.asarray(history.column("unexplained"))[-1]),
        "train_dead": float(history.column("dead")[-1]) / run.settings.width,
        "train_tokens_per_second": run.rate,
    }
