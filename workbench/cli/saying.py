"""A line of our own words on its way to the terminal: names of files, units and artifacts in it are not ours."""

from __future__ import annotations

import click

from workbench.text import safe


def say(line: str, err: bool = False) -> None:
    """Prints a line, what could steer a terminal made visible; on stderr with `err`."""
    click.echo(safe(line, newlines=True), err=err)
