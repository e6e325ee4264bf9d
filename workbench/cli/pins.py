"""`workbench pin`: the basket of a session from the shell. No model, no torch."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.options import PATH, json_option
from workbench.cli.saying import say
from workbench.errors import UserError


@click.command(
    "pin",
    help="Put units into a session's basket, or into a named set of it; without UNITS it is listed.\n\n"
    "Every experiment takes them: --units basket, --edit 'basket:NAME=0'.",
)
@click.argument("file", type=PATH)
@click.argument("units", default="")
@click.option("--set", "name", default="", metavar="NAME", help="The set; else the basket itself.")
@click.option("--remove", is_flag=True, help="Take them out.")
@json_option
def pin_command(file: Path, units: str, name: str, remove: bool, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.cli.sessions import open_session, send_to_worker
    from workbench.session.writer import SessionWriter
    from workbench.units import check_set_name, parse_units
    from workbench.worker.protocol import Pin

    check_set_name(name)
    # A session begins with its first pin, as it begins with its first step; but listing makes none.
    model = None
    if not units or remove or file.exists():
        with open_session(file) as reader:
            model = reader.model()
    if units:
        addresses = [str(unit) for unit in parse_units(units, model)]
        try:
            with SessionWriter(file) as writer:
                for unit in addresses:
                    writer.pin(unit, name, remove)
        except UserError:
            # a worker that has the session open is the one who writes
            if not all(
                send_to_worker(Pin(session=str(file.absolute()), unit=unit, name=name, remove=remove))
                for unit in addresses
            ):
                raise
        if not as_json:
            where = f"{'basket:' + name if name else 'the basket'} of {short_path(file.absolute())}"
            say(f"{', '.join(addresses)} {'left' if remove else 'in'} {where}")
            return
    with open_session(file) as reader:
        pins = reader.pins()
    if as_json:
        print_json([{"unit": pin.unit, "set": pin.name} for pin in pins])
        return
    for set_name in sorted({pin.name for pin in pins}):
        listed = ", ".join(pin.unit for pin in pins if pin.name == set_name)
        say(f"{'basket:' + set_name if set_name else 'basket'}  {listed}")
    if not pins:
        say(f"nothing is pinned in {short_path(file.absolute())}")
