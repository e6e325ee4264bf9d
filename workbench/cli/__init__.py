"""The command line: `workbench` opens the terminal interface, `workbench COMMAND` does one thing and prints it.

Nothing heavy is imported before it is known which command it is: the first paint waits for this module.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from workbench.cli.failing import PipeClosed, guarded

_COMMANDS = {
    "run": ("run", "Run an experiment and print what it found."),
    "why": ("why", "Find the parts that make an answer, beside random ones."),
    "experiments": ("experiments", "List the experiments, or one with its parameters."),
    "sessions": ("sessions", "List the sessions Home lists."),
    "show": ("sessions", "Print a session's steps, or one step with its views."),
    "replay": ("sessions", "Step through a session as it happened, without a model."),
    "note": ("sessions", "Write a note into a session."),
    "pin": ("pins", "Put units into a session's basket, or list it."),
    "index": ("index", "Build, list and query indexes of what every neuron does."),
    "data": ("data", "List, import, make and show labelled sets for probes."),
    "sae": ("sae", "Read, train, list and check sparse autoencoders."),
    "artifacts": ("artifacts", "List, show and remove directions, data sets, indexes."),
    "models": ("models", "List the models on this machine."),
    "ps": ("workers", "List the workers that are running."),
    "cancel": ("workers", "Cancel a step that runs or waits."),
    "stop": ("workers", "Stop workers."),
    "logs": ("workers", "Print a worker's log."),
    "methods": ("methods", "Define the numbers: what each one means, with its source."),
    "settings": ("settings", "Print the settings, their meaning, and where the file is."),
    "doctor": ("doctor", "Look at this machine, and say what would make it work better."),
}
"""Command → module of this package, and its line in the help: listing them imports none of them."""


class Workbench(click.Group):
    """A group whose commands are imported when they are used, and whose errors are sentences."""

    def main(  # type: ignore[override] # its overloads add nothing here
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        extra["prog_name"] = "workbench"  # whichever way it was started, usage lines show what users type
        if not standalone_mode:
            return super().main(args=args, standalone_mode=False, **extra)
        run = super().main
        sys.exit(guarded(lambda: run(args=args, standalone_mode=False, **extra)))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise PipeClosed from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"workbench.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A session's file where a command should be is answered with what opens it."""
        name = args[0]
        if name not in _COMMANDS and Path(name).suffix == ".db":
            from workbench.shell import shell_line

            on, through = shell_line(["workbench", "--session", name]), shell_line(["workbench", "replay", name])
            ways = f"{on} goes on with it, {through} steps through it"
            raise click.UsageError(f"{name} is no command: {ways}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=Workbench, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", metavar="REF", help="A hub id, a local folder, or default.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, cuda:0,cuda:1, mps …")
@click.option("--dtype", metavar="NAME", help="auto, float32, bfloat16 or float16.")
@click.option(
    "--session",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The session file to go on with; made if there is none.",
)
@click.version_option(package_name="workbench-lm", prog_name="workbench", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, model: str | None, device: str | None, dtype: str | None, session: Path | None) -> None:
    """Look inside a language model.

    Without a command the workbench opens in this terminal. Where there is none (a pipe, a CI job), it runs a short
    investigation and prints it.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries, about files of anybody's: nothing that a user can act on
    ctx.obj = {"model": model, "device": device, "dtype": dtype, "session": session}
    if ctx.invoked_subcommand is None:
        from workbench.cli.opening import open_workbench

        raise SystemExit(open_workbench(**ctx.obj))
