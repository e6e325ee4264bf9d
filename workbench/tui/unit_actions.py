"""What can be done with a unit that is under a cursor, on any screen: open it, pin it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
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

    def is_pinned(reader: SessionReader) -> bool:
        return any(pin.unit == unit and not pin.name for pin in reader.pins())

    try:
        pinned = await app.feed.read(is_pinned)
    except NothingYet:
        pinned = False
    if pinned:
        await unpin(app, unit)
    else:
        await pin(app, [unit])
        app.page_now.say(f"{unit} added to basket")


async def pin(app: Context, units: Iterable[str], set_name: str = "", session: Path | None = None) -> None:
    """Into the basket, or the set of this name, of the session that is open or of this one. Raises UserError."""
    from workbench.worker.protocol import Pin

    path = str(session or app.session_path())
    for unit in units:
        await app.request(Pin(session=path, unit=unit, name=set_name))
    app.feed.hint()


async def unpin(app: Context, unit: str, set_name: str = "") -> None:
    """Out of the basket, or of this set; the page says so, with the key that brings it back. Raises UserError."""
    from workbench.worker.protocol import Pin

    session = app.session_path()
    await app.request(Pin(session=str(session), unit=unit, name=set_name, remove=True))
    app.feed.hint()
    where = f"the set {set_name}" if set_name else "basket"
    app.page_now.removed(f"{unit} removed from {where}", unit, lambda: pin(app, [unit], set_name, session), session)
