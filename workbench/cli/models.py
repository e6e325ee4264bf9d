"""`workbench models`."""

from __future__ import annotations

import click

from workbench.cli.options import json_option


@click.command("models", help="List the models on this machine: what --model can take without a download.")
@json_option
def models_command(as_json: bool) -> None:
    from workbench.cli.output import Printer, print_json
    from workbench.lab.finding.listing import list_models
    from workbench.settings import load
    from workbench.text import count, size

    models = list_models()
    if as_json:
        print_json(models)
        return
    from workbench.drawing import draw
    from workbench.views import Column, Table

    printer = Printer(theme=load().theme)
    rows = [
        [
            model.name,
            model.ref,
            size(model.size) if model.size else None,
            f"{count(model.n_parameters / 1e6)} M" if model.n_parameters else None,
            model.dtype or None,
            model.problem or "ready",
        ]
        for model in models
    ]
    columns = [
        Column(name="model"),
        Column(name="--model"),
        Column(name="weights"),
        Column(name="parameters"),
        Column(name="stored as"),
        Column(name="state"),
    ]
    view = Table(title="models on this machine", columns=columns, rows=rows, note="any other hub id is downloaded")
    printer.lines(draw(view, printer.width, style=printer.style))
