"""What `steer` is asked with. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from workbench.params import DirectionText, PromptParams, TokenText


class Params(PromptParams, kw_only=True, frozen=True):
    direction: Annotated[DirectionText, Meta(description="what is added", extra={"example": "@L12.N345.out"})] = ""
    target: Annotated[
        TokenText,
        Meta(
            description="effect: log-odds of this token after the prompt, with its leading space; several as ' a| b'",
            extra={"example": " Paris"},
        ),
    ] = ""
    matches: Annotated[
        str, Meta(description="effect instead: the share of completions that this regular expression finds")
    ] = ""
    layers: Annotated[
        list[int],
        Meta(
            description="where it is added, one layer at a time; empty: at the direction's own layer and a sixth of "
            "the depth before and after it, or at 1/4, 1/2, 3/4 where it is of no layer"
        ),
    ] = []
    strengths: Annotated[
        list[float],
        Meta(description="multiples of the direction as stored", extra={"unit": "× direction"}),
    ] = field(default_factory=lambda: [-4, -2, -1, 1, 2, 4])
    tokens: Annotated[
        int, Meta(ge=1, le=10_000, description="how many tokens to generate at most", extra={"unit": "tokens"})
    ] = 48
    as_prompt: Annotated[
        str,
        Meta(description="the same request in words, put before the prompt: what steering is compared with"),
    ] = ""
    as_prompt_in: Annotated[
        Literal["user", "system"],
        Meta(description="whose turn of the chat that request is put into", extra={"more": True}),
    ] = "user"
    aim: Annotated[
        Literal["more", "less"], Meta(description="of the measure: what counts as effect", extra={"more": True})
    ] = "more"
    site: Annotated[
        Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"],
        Meta(description="where in the layer", extra={"more": True}),
    ] = "resid_pre"
    temperature: Annotated[
        float, Meta(ge=0, le=100, description="0 is greedy: always the top prediction", extra={"more": True})
    ] = 0
    random: Annotated[
        int,
        Meta(ge=0, le=1000, description="random directions of the same norm at the chosen layer", extra={"more": True}),
    ] = 8
    isotropic: Annotated[
        bool, Meta(description="draw those alike in every direction, not by covariance", extra={"more": True})
    ] = False
