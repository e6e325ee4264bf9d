"""What the experiments share: prompts of a set, sentences. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from workbench.datasets.prompts import PromptRow
from workbench.errors import UserError
from workbench.params import (
    CONVERSATION,
    PROMPT,
    PROMPT_SET,
    TEMPLATE,
    PromptParams,
    TokenText,
    fields,
    params_builtins,
)
from workbench.report import Report
from workbench.statistics import Mean
from workbench.text import number, show_token

if TYPE_CHECKING:
    from workbench.lab import Lab
    from workbench.lab.prompts import AnswerToken, Prompt


class AnswerParams(PromptParams, kw_only=True, frozen=True):
    """Prompts, and the tokens to watch after them."""

    answer: Annotated[
        TokenText,
        Meta(
            description="the token to watch, with its leading space; empty is the top prediction",
            extra={"example": " Paris"},
        ),
    ] = ""
    foil: Annotated[TokenText, Meta(description="a token to compare the answer with", extra={"example": " Lyon"})] = ""

    def single(self) -> PromptRow:
        return PromptRow(self.prompt, self.answer, self.foil)


@dataclass(frozen=True)
class TokenizedRow:
    """A prompt with the answer and foil to look for; None where none was named."""

    prompt: Prompt
    answer: AnswerToken | None
    foil: AnswerToken | None


def tokenized_rows(lab: Lab, params: PromptParams) -> list[TokenizedRow]:
    """The prompts of a run, tokenized. Raises UserError, naming the line of a set that is wrong."""
    rows = params.rows()
    if not params.prompts or lab.report is None:
        return [_tokenized_row(lab, row, params, 0) for row in rows]
    # A long set takes seconds to tokenize: others get their turn meanwhile.
    tracked = lab.report.track(rows, "prompts", stage="tokenizing")
    return [_tokenized_row(lab, row, params, at) for at, row in enumerate(tracked, 1)]


def _tokenized_row(lab: Lab, row: PromptRow, params: PromptParams, line: int) -> TokenizedRow:
    try:
        tokenized = TokenizedRow(
            lab.prompt(row.prompt, params.chat, earlier=params.messages),
            lab.answer_token(row.answer) if row.answer else None,
            lab.answer_token(row.foil) if row.foil else None,
        )
        if tokenized.answer:
            check_foil(lab, tokenized, tokenized.answer.id)
        return tokenized
    except UserError as error:
        raise (UserError(f"prompt {line} of the set: {error}") if line else error) from None


def set_prompts(
    lab: Lab,
    rows: Sequence[PromptRow],
    side: str,
    report: Report,
    chat: bool,
    system: str,
    answering: bool = False,
) -> list[Prompt]:
    """One of several sets of prompts, tokenized as `lab.prompt` does; `side` is what it is called.

    Raises UserError naming the prompt.
    """
    prompts = []
    for at, row in enumerate(report.track(rows, "prompts", stage="tokenizing"), 1):
        try:
            prompts.append(lab.prompt(row.prompt, chat, system, answering=answering))
        except UserError as error:
            raise UserError(f"prompt {at} of the {side} ones: {error}") from None
    return prompts


def check_foil(lab: Lab, row: TokenizedRow, answer: int) -> None:
    """Raises UserError where the foil is the answer, named or the likeliest token."""
    if row.foil is None or row.foil.id != answer:
        return
    name = show_token(lab.token(answer))
    if row.answer:
        raise UserError(f"answer and foil are the same token, {name}: name another foil")
    raise UserError(f"the top prediction is {name} itself: name another foil, or an answer")


def carried_params(params: PromptParams, **changes: Any) -> dict[str, Any]:
    """What a next step takes over: the prompt or the set, the template and the conversation before it."""
    plain = params_builtins(params)
    carried = (PROMPT, PROMPT_SET, TEMPLATE, CONVERSATION)
    prompt_values = {field.name: plain[field.name] for field in fields(type(params)) if field.kind in carried}
    return {name: value for name, value in {**prompt_values, **changes}.items() if value}


def number_or_none(value: float) -> float | None:
    """A number as a table's cell or a scalar's error: None for nan."""
    return None if np.isnan(value) else value


def mean_text(mean: Mean) -> str:
    """`.27 ± .04`, or the value alone where there is no error."""
    return number(mean.value) if np.isnan(mean.se) else f"{number(mean.value)} ± {number(mean.se, 2)}"


def token_text(lab: Lab, index: int) -> str:
    """A token by its id, as it is shown in sentences."""
    return show_token(lab.token(index))


def finer(dtype: str) -> str:
    """How to see effects below what rounding makes in `dtype`, after a sentence; empty where there is no such way."""
    return "" if dtype == "float32" else "; --dtype float32 shows smaller effects"
