"""What can be done with a unit that is under a cursor, on any screen: open it, pin it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.report import NextStep
from workbench.tui.feed import NothingYet
from workbench.units import Feature, Neuron, parse_unit

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.tui.context import Context


def open_unit(app: Context, unit: str, set_name: str = "") -> None:
    """A neuron on the Neurons screen, a feature as its card; of other units a sentence says how they are used.

    `set_name` is their set's.
    """
    try:
        parsed = parse_unit(unit)
        if isinstance(parsed, Neuron):
            app.show("neurons").go_to(unit)
        elif isinstance(parsed, Feature):
            app.ask(feature_card(str(parsed.overwritten)))
        else:
            basket = f"basket:{set_name}" if set_name else "basket"
            app.page_now.say(f"{unit} is no neuron and no feature: pinned (p), any experiment takes it as {basket}")
    except UserError as error:
        app.page_now.say(str(error), bad=True)


def feature_card(unit: str) -> NextStep:
    """The card of an SAE's feature, as a logged experiment."""
    return NextStep(label=unit, experiment="feature", params={"unit": unit})


async def toggle_pin(app: Context, unit: str) -> None:
    """Into the basket, or out of it where it is there; the page says which. Raises UserError."""
    from workbench.worker.protocol import Pin

    def is_pinned(reader: SessionReader) -> bool:
        return any(pin.unit == unit and not pin.name for pin in reader.pins())

    try:
        remove = await app.feed.read(is_pinned)
    except NothingYet:
        remove = False
    await app.request(Pin(session=str(app.session_path()), unit=unit, remove=remove))
    app.feed.hint()
    app.page_now.say(f"{unit} {'removed from' if remove else 'added to'} basket")
