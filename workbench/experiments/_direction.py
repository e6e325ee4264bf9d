"""What every way to make a direction shares: its name, keeping it in the session, what comes next. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
from msgspec import Meta

from workbench.artifacts.direction import Direction, Origin, check_direction_name
from workbench.errors import UserError
from workbench.params import ChatSwitch, Params, PromptSet, RuleText, UnitsText, params_builtins
from workbench.report import NextStep, Report
from workbench.text import number, show_token
from workbench.views import Histogram, Series

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import Prompt

BINS = 40
CONTRAST_BYTES = 1 << 24
"""of the prompts that are kept with a direction"""


class DirectionParams(Params, kw_only=True, frozen=True):
    """Its name, and one source: two prompt sets, a class of tokens, or directions that there are."""

    name: Annotated[
        str, Meta(description="what the direction is called from then on", extra={"example": "refusal"})
    ] = ""
    positive: Annotated[
        PromptSet, Meta(description="a file of prompts that the direction points to, 10 or more, or a set by its @name")
    ] = []
    negative: Annotated[PromptSet, Meta(description="the same, that it points away from")] = []
    token_class: Annotated[
        RuleText,
        Meta(
            description="instead of prompts, tokens against the rest of the vocabulary: uppercase, lowercase, digit, "
            "leading-space, a script (cyrillic), words (May, June), a /pattern/",
            extra={"example": "uppercase"},
        ),
    ] = ""
    of: Annotated[
        UnitsText,
        Meta(
            description="instead of prompts, arithmetic on directions that there are, and on the model's own "
            "(@L12.N345.out, @L5.H3.ov1); operators stand between spaces",
            extra={"example": "@a - 0.5*@b", "more": True},
        ),
    ] = ""
    chat: Annotated[ChatSwitch, Meta(description="put the prompts into the model's chat template")] = False
    system: Annotated[
        str,
        Meta(
            description="the template's system turn: default, none, or its text",
            extra={"more": True},
        ),
    ] = "default"
    positions: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="how many of the last tokens are compared; 0 is the last one, in a chat template all that it "
            "writes after the text",
            extra={"unit": "tokens", "more": True},
        ),
    ] = 0
    layer: Annotated[
        str, Meta(description="the layer to keep; empty is the best", extra={"example": "L14", "more": True})
    ] = ""
    position: Annotated[
        int,
        Meta(
            le=0,
            description="the position from the end to keep, -1 is the last token; 0 is the best",
            extra={"unit": "position", "more": True},
        ),
    ] = 0
    matrix: Annotated[
        str, Meta(description="of a class of tokens: W_E, or W_U", extra={"example": "W_U", "more": True})
    ] = "W_E"
    shuffles: Annotated[
        int,
        Meta(
            ge=5,
            le=1000,
            description="shuffled labels that the separation is compared with",
            extra={"unit": "shuffles", "more": True},
        ),
    ] = 16


def checked_name(params: DirectionParams) -> str:
    """The name without @. Raises UserError where there is none, or none for a direction."""
    name = params.name.strip().removeprefix("@")
    if not name:
        raise UserError("the direction has no name: give one, for example --name refusal")
    check_direction_name(name)
    return name


def layer_named(text: str, n_layers: int) -> int | None:
    """`L14` or `14`; None for an empty text. Raises UserError for a layer that the model does not have."""
    if not text:
        return None
    digits = text.strip().removeprefix("L")
    if not digits.isdecimal() or int(digits) >= n_layers:
        raise UserError(f"there is no layer {text}: there are L0 to L{n_layers - 1}")
    return int(digits)


def of_this_model(lab: Lab, report: Report, origin: Origin) -> Origin:
    """With the model's name and fingerprint; waits until that is known."""
    from workbench.lab.identify import identify

    identify(lab, report)
    return msgspec.structs.replace(origin, model=lab.info.name, fingerprint=lab.info.fingerprint)


def keep(report: Report, name: str, vector: np.ndarray, origin: Origin, contrast: Mapping[str, str]) -> Direction:
    """`vector` [d_model] lies in the session under `name` from now on, with what is known of where it comes from."""
    numbers = np.asarray(vector, "<f4")
    if not np.isfinite(numbers).all() or not numbers.any():
        raise UserError(f"@{name} would be all zeros, or not finite: that is no direction, and nothing was kept")
    direction = Direction(name=name, vector=numbers.tobytes(), contrast=dict(contrast), origin=origin)
    report.uses(direction.content, name, "made")
    return direction


def suggest_uses(report: Report, name: str, params: DirectionParams, layer: int | None = None) -> None:
    """Look at it, steer with it on the negative prompts, take it out of the positive ones."""
    at, plain = f"@{name}", params_builtins(params)
    report.suggest(NextStep(label=f"what {at} promotes and suppresses", experiment="project", params={"direction": at}))
    if layer is None:
        return
    chat = {"chat": True} if params.chat else {}
    steered = {"direction": at, "layers": [layer], "prompts": plain["negative"], **chat}
    report.suggest(NextStep(label=f"steer the negative prompts with {at}", experiment="steer", params=steered))
    report.suggest(
        NextStep(
            label=f"take {at} out of the positive prompts",
            experiment="effect",
            params={"prompts": plain["positive"], **chat},
            edits=[f"{at}=0"],
        )
    )


def position_names(prompts: Sequence[Prompt], n_positions: int) -> list[str]:
    """`−2 'assistant'` where all prompts have that token there, else `−2` [position]."""
    names = []
    for at in range(-n_positions, 0):
        tokens = {prompt.tokens[at] if len(prompt) >= -at else "" for prompt in prompts}
        names.append(f"{number(at)} {show_token(tokens.pop())}" if len(tokens) == 1 else number(at))
    return names


def two_histograms(title: str, values: np.ndarray, label: np.ndarray, names: tuple[str, str], note: str) -> Histogram:
    """Of held-out projections [value], those with the label and those without, over one range."""
    edges = np.linspace(values.min(), values.max(), BINS + 1)
    if edges[0] == edges[-1]:
        edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, BINS + 1)
    series = [
        Series(name=name, y=np.histogram(values[side], edges)[0])
        for name, side in zip(names, (label, ~label), strict=True)
    ]
    return Histogram(title=title, note=note, edges=edges, series=series, x_label="projection on the direction")


def against_shuffles(value: float, best: np.ndarray, what: str) -> str:
    """A best AUC beside the best of each shuffle [shuffle]: `shuffled labels, best of 150: median .6, highest .68`."""
    place = "larger than all" if value > best.max() else "not larger than all"
    return (
        f"{len(best)} with shuffled labels{what}: median {number(float(np.median(best)))}, highest "
        f"{number(float(best.max()))} · {place} {len(best)}"
    )
