"""`workbench run EXPERIMENT`: a command for each experiment, made from its parameters."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.failing import CANCELLED, DONE, FAILED
from workbench.cli.flags import check_text, parameter_flags, params_from_flags
from workbench.cli.options import PATH, model_options, session_path, worker_spec
from workbench.edits import Edit
from workbench.errors import UserError
from workbench.experiment import Experiment, command_line
from workbench.experiments import experiment, experiments
from workbench.params import Params, params_builtins
from workbench.session.submission import read_edits
from workbench.session.typed_sets import read_sets
from workbench.shell import shell_line

if TYPE_CHECKING:
    from workbench.cli.output import Printer
    from workbench.judging import JudgeCommand
    from workbench.session.records import StepRecord
    from workbench.settings import Settings
    from workbench.worker.client import WorkerSpec

_ENDS = {"done": DONE, "cancelled": CANCELLED, "failed": FAILED, "lost": FAILED}


def run_and_print(
    spec: WorkerSpec,
    session: Path,
    name: str,
    params: Params,
    edits: Sequence[Edit] = (),
    *,
    seed: int = 0,
    expected: str = "",
    parent: int | None = None,
    origin: str = "cli",
    names: Mapping[str, str] | None = None,
    transfer: bool = False,
    judge: JudgeCommand | None = None,
    printer: Printer | None = None,
    as_json: bool = False,
    all_rows: bool = False,
    out: Path | None = None,
) -> tuple[StepRecord, int]:
    """Runs one experiment in the worker and prints its step. Returns the finished step and the exit code.

    `session` is an absolute path, made if there is none; `names` are those of prompt sets, by parameter. Raises
    UserError where the worker refuses.
    """
    from workbench.cli.follow import follow_step
    from workbench.cli.output import Printer, print_json
    from workbench.cli.page import load_views, print_step, step_json
    from workbench.cli.progress_line import ProgressLine
    from workbench.session.reader import SessionReader
    from workbench.worker.protocol import Submit

    submit = Submit(
        session=str(session),
        experiment=name,
        params=params_builtins(params),
        edits=list(edits),
        seed=seed,
        expected=expected,
        parent=parent,
        names=dict(names or {}),
        transfer=transfer,
        judge=judge,
        origin=origin,
    )
    record = asyncio.run(follow_step(spec, submit, ProgressLine()))
    with SessionReader(session) as reader:
        views, problems = load_views(reader, record.id)
        artifacts = reader.artifacts_of(record.id)
    if out:
        from workbench.cli.arrays import save_arrays

        save_arrays(out, views)
    if as_json:
        print_json(step_json(session, record, views, artifacts))
        if record.status in ("failed", "lost"):
            click.echo(f"workbench: {record.error}", err=True)
    else:
        print_step(printer or Printer(), session, record, views, problems, artifacts, whole=all_rows)
    return record, _ENDS.get(record.status, FAILED)


def _run_from_flags(definition: Experiment, values: dict[str, Any]) -> int:
    """Runs an experiment with the values of its command's flags. Returns the exit code."""
    from workbench.cli.output import Printer
    from workbench.settings import load

    _keep_directions(values.pop("kept_directions", ()))
    typed, transfer = values.pop("edit", ()), values.pop("transfer")
    common = {name: values.pop(name) for name in ("model", "device", "dtype", "session", "seed", "expect")}
    judge_text = values.pop("judge", None)
    as_json, out, width = values.pop("as_json"), values.pop("out"), values.pop("cells", None)
    all_rows = values.pop("all_rows")
    session = session_path(common["session"])
    values, names = read_sets(definition.params, values, session)
    params = params_from_flags(definition, values)
    check_text("--expect", common["expect"])
    if out:
        from workbench.cli.arrays import check_out

        check_out(out)
    settings = load()
    judge = _read_judge(definition, judge_text, settings)
    spec = worker_spec(settings, common["model"], common["device"], common["dtype"])
    edits = read_edits(typed, str(session))
    _, code = run_and_print(
        spec,
        session,
        definition.name,
        params,
        edits,
        seed=common["seed"],
        expected=common["expect"],
        names=names,
        transfer=transfer,
        judge=judge,
        printer=None if as_json else Printer(width, settings.theme),
        as_json=as_json,
        all_rows=all_rows,
        out=out,
    )
    return code


def _read_judge(definition: Experiment, typed: str | None, settings: Settings) -> JudgeCommand | None:
    """Of the flag, else of the settings; an empty flag is none."""
    from workbench.judging import read_command

    text = settings.judge if typed is None else typed
    return read_command(text, settings.judge_seconds) if text and definition.takes_judge else None


def _keep_directions(assignments: Sequence[str]) -> None:
    from workbench.artifacts.direction import keep_direction

    for assignment in assignments:
        name, equals, file = assignment.partition("=")
        if not equals or not file:
            raise UserError(
                f"--direction {assignment}: a name and a file are wanted, for example --direction refusal=r.npy"
            )
        keep_direction(name.removeprefix("@"), Path(file).expanduser())


_OPTION = re.compile(r"-[a-z]\S*$|--[^\s=]+(=|$)")


class _Command(click.Command):
    """An experiment's command. Its arguments are texts, and may begin with a dash: `why '-5 + 3 ='`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not any(isinstance(parameter, click.Argument) for parameter in self.params):
            return super().parse_args(ctx, args)
        takes_value = {
            flag for option in self.params if isinstance(option, click.Option) and not option.is_flag
            for flag in option.opts
        }  # fmt: skip
        options: list[str] = []
        texts: list[str] = []
        words = iter(args)
        for word in words:
            if word == "--":
                texts += words
            elif _OPTION.match(word):
                options.append(word)
                if word in takes_value:
                    options += [value for value in [next(words, None)] if value is not None]
            else:
                texts.append(word)
        return super().parse_args(ctx, [*options, "--", *texts])


def experiment_command(definition: Experiment, *arguments: click.Argument) -> click.Command:
    """The command of an experiment; parameters that are `arguments` are typed without a flag."""
    named = {argument.name for argument in arguments}
    options: list[click.Parameter] = [*arguments]
    options += [option for option in parameter_flags(definition) if option.name not in named]
    if definition.takes_edits:
        options.append(
            click.Option(
                ["--edit"],
                multiple=True,
                metavar="EDIT",
                help="A change to the forward pass, for example L12.N345=0 or L5.H3*=2, or the session's stack:NAME; "
                "again for more, in order.",
            )
        )
        if all(option.name != "direction" for option in options):
            options.append(
                click.Option(
                    ["--direction", "kept_directions"],
                    multiple=True,
                    metavar="NAME=FILE",
                    help="A vector (.npy, .safetensors) to keep as @NAME, for edits like L14.resid_post+=6*@NAME.",
                )
            )
    if definition.takes_judge:
        options.append(
            click.Option(
                ["--judge"],
                metavar="COMMAND",
                help="A command that judges the completions too: it reads JSONL (id, arm, prompt, completion) and "
                "writes a label a line. Only from here or the settings; a step that is run again has none.",
            )
        )
    options += [
        *model_options(),
        click.Option(["--session"], type=PATH, metavar="FILE", help="The session to write to; else one file a day."),
        click.Option(
            ["--seed"], type=click.IntRange(0, 2**63 - 1), default=0, metavar="N", help="Where chance begins."
        ),
        click.Option(
            ["--transfer"], is_flag=True, help="Use directions that were made on another model of this width."
        ),
        click.Option(["--expect"], default="", metavar="TEXT", help="What you expect, kept beside the result."),
        click.Option(["--out"], type=PATH, metavar="FILE.npz", help="Save the arrays of all views as NumPy."),
        click.Option(["--all-rows"], is_flag=True, help="Print every row of long tables; else the first 20."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, and nothing else."),
    ]
    if all("--width" not in option.opts for option in options):  # of a parameter: the terminal's width then
        options.append(
            click.Option(["--width", "cells"], type=click.IntRange(20, 1000), metavar="CELLS", help="Draw this wide.")
        )
    return _Command(
        definition.name,
        params=list(options),
        callback=lambda **values: _run_from_flags(definition, values),
        help=f"{definition.help}\n\n\b\nFor example:\n  {example(definition)}",
        short_help=definition.summary,
    )


def example(definition: Experiment) -> str:
    """A command line that works: the parameters' own examples."""
    from workbench.params import PROBE, StoredProbe, fields, read_params

    shown = {
        field.name: StoredProbe(name=field.example) if field.kind is PROBE else field.example  # no session is open
        for field in fields(definition.params)
        if field.example and not field.more
    }
    values, names = read_sets(definition.params, shown, "")  # sets that ship have names
    return shell_line(shlex.split(command_line(definition.name, read_params(definition.params, values), names=names)))


class _Run(click.Group):
    """One command for each registered experiment."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(experiments())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return experiment_command(experiment(cmd_name))


run_command = _Run(
    "run",
    help="Run an experiment in the worker, and print what it found.\n\n"
    "The worker is started if there is none, and stays: the next run finds the model loaded.",
    short_help="Run an experiment and print what it found.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
