"""Choosing the foil: what else could come next, or any token that is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.index.completion import Completion
from workbench.result_keys import NextToken
from workbench.text import probability, show_token
from workbench.tui.widgets.ask import Wanted

if TYPE_CHECKING:
    from workbench.tui.screens.why.finding import Finding

_NONE = "no foil"


def a_foil(finding: Finding, done: Callable[[str], None]) -> Wanted:
    """`done` gets the token, empty for none."""
    answer = finding.asked(NextToken.ANSWER)

    def ways(typed: str) -> list[Completion]:
        wanted = typed.strip().lower()
        found = [
            Completion(one.token, show_token(one.token), probability(one.p))
            for one in finding.likely
            if wanted in one.token.lower() and one.asked != NextToken.ANSWER
        ]
        if not typed:
            return [*found, Completion("", _NONE, "explain the answer's probability, not a difference")]
        exact = next((one for one in found if one.text == typed), None)
        first = exact or Completion(typed, show_token(typed), "as typed; most tokens begin with a space")
        return [first, *(one for one in found if one is not exact)]

    def chosen(foil: str) -> None:
        if answer is not None and foil == answer.token:
            raise UserError(f"{show_token(foil)} is the answer itself: choose another token")
        if foil == finding.params.get("foil", ""):
            raise UserError(f"{show_token(foil) if foil else _NONE} is what was asked already")
        done(foil)

    hint = "another token to compare the answer with; it is asked again with it"
    return Wanted("foil", chosen, hint=hint, complete=ways, must_choose=True)
