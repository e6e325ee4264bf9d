"""`workbench why PROMPT ANSWER`: the question everyone starts with, without flags."""

from __future__ import annotations

import click

from workbench.cli.run import experiment_command
from workbench.experiments import experiment

why_command = experiment_command(
    experiment("why"),
    click.Argument(["prompt"], metavar="PROMPT"),
    click.Argument(["answer"], metavar="[ANSWER]", required=False),
)
