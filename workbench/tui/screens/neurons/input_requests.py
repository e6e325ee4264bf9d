"""What the Neurons screen asks for in its line: a filter, an order, an address, a factor, an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.index.completion import Completion, complete
from workbench.text import count
from workbench.tui.screens.neurons.offer import Offer
from workbench.tui.screens.neurons.steps import index_choices
from workbench.tui.widgets.ask import InputRequest
from workbench.units import parse_unit

if TYPE_CHECKING:
    from workbench.index.reader import NeuronIndex
    from workbench.index.store import IndexInfo
    from workbench.tui.screens.neurons.browse import Browse

ADDRESS = "address"


def filter_request(browse: Browse, index: NeuronIndex, done: Callable[[str], None]) -> InputRequest:
    """Says how many would pass while it is typed."""

    def completions(typed: str) -> list[Completion]:
        return complete(typed, index, browse.named_sets)

    def check(typed: str) -> str:
        total = count(index.units.n)
        return f"{count(browse.count(typed))} of {total}" if typed.strip() else f"all {total}"

    text = browse.query.text
    column = "frequency>1%" if index.sae is not None else "layer 10-20"
    hint = f"a token (May), or {column} promotes:' May' fires:' May'   Tab completes"
    return InputRequest("filter", done, text + " " if text else "", hint, completions, check)


def sort_request(browse: Browse, done: Callable[[str], None]) -> InputRequest:
    """`done` gets a column's name, empty for the order by address."""
    assert browse.index is not None
    names = [(ADDRESS, f"{browse.index.short(0)} first")]
    names += [(name, column.help or column.title) for name, column in browse.columns.items()]

    def completions(typed: str) -> list[Completion]:
        typed = typed.lower()
        matches = [(name, about) for name, about in names if typed in name.lower()]
        matches = matches or [(name, about) for name, about in names if typed in about.lower()]
        matches.sort(key=lambda match: not match[0].lower().startswith(typed))
        return [Completion(name, name, about) for name, about in matches]

    def chosen(name: str) -> None:
        if name != ADDRESS and name not in browse.columns:
            raise UserError(f"there is no column {name!r} to sort by: choose one with ↓ and Enter")
        done("" if name == ADDRESS else name)

    hint = "type or choose; S turns the order round"
    return InputRequest("sort by", chosen, hint=hint, complete=completions, must_choose=True)


def address_request(index: NeuronIndex, done: Callable[[int], None], first: Callable[[], None]) -> InputRequest:
    """`first` is called for a second g, as vim's users type it."""

    def check(typed: str) -> str:
        if typed == "g":
            first()
        return ""

    return InputRequest(
        "go to",
        lambda typed: done(neuron_id(index, typed)),
        hint=f"{index.short(0) if index.sae is not None else 'L12.N345'}; g for the first line",
        check=check,
    )


def neuron_id(index: NeuronIndex, unit: str) -> int:
    """Raises UserError for what is not in this index."""
    parsed = parse_unit(unit, index.info)
    id = index.id_of(parsed)
    if id is not None:
        return id
    if index.sae is not None:
        last = index.short(index.units.n - 1)
        raise UserError(f"{parsed} is no feature of {index.sae.name}: write one of {index.short(0)} to {last}")
    raise UserError(f"{parsed} is no neuron: write one like L12.N345")


def factor_request(address: str, done: Callable[[str], None]) -> InputRequest:
    """`done` gets `*=2`."""

    def chosen(typed: str) -> None:
        try:
            factor = float(typed.replace("−", "-"))
        except ValueError:
            raise UserError("a number is expected: 2 doubles the activation, −1 turns its sign") from None
        done(f"*={factor!r}".removesuffix(".0"))

    return InputRequest(f"multiply {address} by", chosen, hint="2 doubles it, −1 turns its sign, 0 switches it off")


def set_request(label: str, set_names: list[str], done: Callable[[str], None]) -> InputRequest:
    def completions(typed: str) -> list[Completion]:
        return [Completion(name, name) for name in set_names if name.startswith(typed)]

    return InputRequest(label, lambda name: done(name.strip()), "", "a set's name", completions)


def index_request(
    indexes: Sequence[IndexInfo],
    offers: Sequence[Offer],
    browse: Callable[[Path], None],
    build: Callable[[Offer], None],
) -> InputRequest:
    """Indexes to browse, and ones to build."""
    choices = index_choices(indexes, offers)

    def completions(typed: str) -> list[Completion]:
        return [choice for choice in choices if typed.lower() in choice.shown.lower()]

    def chosen(text: str) -> None:
        if text.startswith("/"):
            browse(Path(text))
            return
        offer = next((offer for offer in offers if offer.label == text), None)
        if offer is None:
            raise UserError("choose an index with ↓ and Enter")
        build(offer)

    return InputRequest("index", chosen, hint="choose with ↓", complete=completions, must_choose=True)
