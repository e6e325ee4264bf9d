"""Choosing the foil: what else could come next, or any token that is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.index.completion import Completion
from workbench.result_keys import NextToken
from workbench.text import probability, show_token
from workbench.tui.widgets.ask import InputRequest

if TYPE_CHECKING:
    from workbench.tui.screens.why.finding import Finding

_NONE = "no foil"


def foil_request(finding: Finding, done: Callable[[str], None]) -> InputRequest:
    """`done` gets the token, empty for none."""
    answer = finding.token_as(NextToken.ANSWER)

    def completions(typed: str) -> list[Completion]:
        text = typed.strip().lower()
        matches = [
            Completion(likely.token, show_token(likely.token), probability(likely.p))
            for likely in finding.likely_tokens
            if text in likely.token.lower() and likely.role != NextToken.ANSWER
        ]
        if not typed:
            return [*matches, Completion("", _NONE, "explain the answer's probability, not a difference")]
        exact = next((completion for completion in matches if completion.text == typed), None)
        first = exact or Completion(typed, show_token(typed), "as typed; most tokens begin with a space")
        return [first, *(completion for completion in matches if completion is not exact)]

    def chosen(foil: str) -> None:
        if answer is not None and foil == answer.token:
            raise UserError(f"{show_token(foil)} is the answer itself: choose another token")
        if foil == finding.params.get("foil", ""):
            raise UserError(f"{show_token(foil) if foil else _NONE} is what was asked already")
        done(foil)

    hint = "another token to compare the answer with; it is asked again with it"
    return InputRequest("foil", chosen, hint=hint, complete=completions, must_choose=True)
