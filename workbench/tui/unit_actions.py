"""What can be done with a unit that is under a cursor, on any screen: open it, pin it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.tui.feed import NothingYet
from workbench.units import Neuron, parse_unit

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.tui.context import Context


def open_unit(app: Context, unit: str, set_name: str = "") -> None:
    """A neuron on the Neurons screen; of other units a sentence says how they are used. `set_name` is their set's."""
    try:
        if isinstance(parse_unit(unit), Neuron):
            app.show("neurons").go_to(unit)
        else:
            basket = f"basket:{set_name}" if set_name else "basket"
            app.page_now.say(f"{unit} is no neuron: pinned (p), any experiment takes it as {basket}")
    except UserError as error:
        app.page_now.say(str(error), bad=True)


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
