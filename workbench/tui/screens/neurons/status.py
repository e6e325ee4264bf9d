"""What the Neurons screen says of its list: the line above it, and why it is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from workbench.text import count, safe
from workbench.tui.screens.neurons import offer

if TYPE_CHECKING:
    from workbench.tui.screens.neurons.browse import Browse
    from workbench.tui.theme import Ink


def nothing_passes(browse: Browse, colors: Ink) -> Text:
    """How many neurons or features pass each of the filter's terms, and which keys help."""
    lines = Text(no_wrap=True).append(f"No {browse.units[:-1]} passes this filter.\n\n", colors.strong)
    terms = browse.costliest_terms()
    for at, term in enumerate(terms):
        lines.append(f"  {safe(term.text)}", colors.plain)
        lines.append(f"   {count(term.alone)} pass it alone, {count(term.without)} pass all the others", colors.quiet)
        lines.append("  ← takes the most away\n" if not at and len(terms) > 1 else "\n", colors.second)
    relaxed = browse.relaxed()
    lines.append("\nR  ", colors.strong)
    lines.append(f"browse {safe(relaxed)!r} instead" if relaxed else f"browse all {browse.units} instead", colors.plain)
    lines.append("\n/  ", colors.strong)
    return lines.append("change the filter", colors.plain)


def status_line(browse: Browse, building: str, problem: str, cells: int, colors: Ink) -> Text:
    """The line under the top one: filter, how many of how many, order, marks."""
    line = Text(no_wrap=True)
    if browse.query.terms:
        line.append("filter: ", colors.quiet)
        line.append(safe(browse.query.text.strip()), colors.accent)
        line.append("   ", colors.quiet)
    line.append(browse.words(), colors.plain)
    column = browse.columns.get(browse.order_by)
    if column is not None:
        first_words = ("largest", "smallest") if column.kind not in ("category", "token") else ("z to a", "a to z")
        first = first_words[0] if browse.descending else first_words[1]
        line.append(f" · by {safe(column.title)}, {first} first", colors.quiet)
    if browse.marks:
        line.append(f" · {len(browse.marks)} marked", colors.second)
    if browse.index is not None and not browse.index.has_data:
        words = building or offer.WEIGHTS_ONLY
        line.append(f" · {words}", colors.second)
    elif problem:
        line.append(f" · {safe(problem)}", colors.bad)
    line.truncate(max(10, cells - 2), overflow="ellipsis")
    return line
