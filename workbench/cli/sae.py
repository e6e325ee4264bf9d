"""`workbench sae`: sparse autoencoders: read or trained, registered, listed, checked against a model, removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.failing import DONE
from workbench.cli.options import PATH, json_option, model_options, session_path, worker_spec
from workbench.cli.saying import say

if TYPE_CHECKING:
    from workbench.views import Table


class _Sae(click.Group):
    """With `train`, which is the experiment's own command: its flags follow from its parameters."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "train"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "train":
            return super().get_command(ctx, cmd_name)
        from workbench.cli.run import experiment_command
        from workbench.experiments import experiment

        command = experiment_command(experiment("sae-train"))
        command.name = cmd_name
        return command


@click.group("sae", cls=_Sae, help="Sparse autoencoders: read or train them, list them, check how good they are.")
def sae_command() -> None:
    pass


@sae_command.command(
    "add",
    help="Read an SAE and keep it under a name.\n\n"
    "SOURCE is a folder of SAELens (cfg.json, sae_weights.safetensors), Gemma Scope (params.npz) or Gemma Scope 2 "
    "(config.json, params.safetensors), or one of the hub: ORG/NAME/PATH. It is copied into your data folder, in "
    "SAELens' format.",
    short_help="Read an SAE and keep it under a name.",
)
@click.argument("source", metavar="SOURCE")
@click.option("--name", default="", metavar="NAME", help="What to call it; else by its model, site and width.")
@click.option("--site", default="", metavar="SITE", help="Where it reads, if its folder does not say: L10.resid_post.")
@click.option("--site-out", default="", metavar="SITE", help="Of a transcoder: where it writes.")
@click.option("--trained-on", default="", metavar="MODEL", help="The model it was trained on, if its folder is wrong.")
@click.option(
    "--scale", type=float, metavar="X", help="Activations were multiplied with X in training, and the weights were not."
)
@click.option("--centred/--no-centred", default=None, help="Trained on a stream with centred writing weights, or not.")
@json_option
def add_command(
    source: str,
    name: str,
    site: str,
    site_out: str,
    trained_on: str,
    scale: float | None,
    centred: bool | None,
    as_json: bool,
) -> None:
    from workbench.artifacts.sae import check_name, config_facts, default_name, register
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.lab.sae.hub import find_folder
    from workbench.lab.sae.reading import Given, read_sae, write_sae
    from workbench.views import Column, Table

    if name:
        check_name(name)
    folder = find_folder(source)
    given = Given(model=trained_on, site=site, site_out=site_out, scale=scale, centred=centred)
    loaded = read_sae(folder, given, source)
    config = loaded.sae.config
    written = register(
        name or default_name(config), config, lambda target: write_sae(loaded.sae, target, _origin(source, folder))
    )
    if as_json:
        print_json({"artifact": written, "facts": dict(config_facts(config)), "remarks": loaded.remarks})
        return
    rows: list[list[Any]] = [list(fact) for fact in config_facts(config)]
    rows += [["hash", written.hash[:12]], ["in", short_path(Path(written.path))]]
    _print(Table(title=f"added {written.name}", columns=[Column(name="what"), Column(name="value")], rows=rows))
    for remark in loaded.remarks:
        say(remark)
    say(f"workbench sae check {written.name} says whether it fits a model, and how good it is there")


@sae_command.command("list", help="The SAEs on this machine.")
@json_option
def list_command(as_json: bool) -> None:
    from workbench.artifacts.sae import list_saes, saes_dir, stored_config
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.errors import UserError
    from workbench.text import count, safe, size
    from workbench.views import Column, Table

    listed = list_saes()
    if as_json:
        print_json(listed)
        return
    rows: list[list[Any]] = []
    for artifact in listed:
        try:
            config, _ = stored_config(Path(artifact.path))
            what = [safe(config.words), safe(config.site or config.hook), count(config.d_sae), safe(config.model)]
        except UserError as error:
            what = [artifact.problem or str(error), "", "", ""]
        rows.append([artifact.name, *what, size(artifact.bytes)])
    columns = [Column(name=name) for name in ("name", "what", "read at", "features")]
    columns += [Column(name="trained on"), Column(name="size", gives_way="early")]
    note = short_path(saes_dir()) if rows else "none yet: workbench sae add FOLDER|ORG/NAME/PATH reads one"
    _print(Table(title="SAEs on this machine", columns=columns, rows=rows, note=note))


@sae_command.command("check", help="Check an SAE against the model, and measure how good it is: a step of the session.")
@click.argument("name", metavar="[NAME]", default="")
@click.option(
    "--corpus", default="stdlib", show_default=True, metavar="TEXT", help="stdlib, a file, a folder, a hub id."
)
@click.option("--tokens", default=4_096, show_default=True, metavar="N", help="How many are read.")
@click.option("--context", default=128, show_default=True, metavar="N", help="Tokens of each document.")
@click.option("--seed", default=0, type=click.IntRange(0, 2**63 - 1), metavar="N", help="Which documents are drawn.")
@click.option("--session", type=PATH, default=None, metavar="FILE", help="The session that logs the check.")
@json_option
def check_command(name: str, session: Path | None, seed: int, as_json: bool, corpus: str, **values: Any) -> None:
    from workbench.artifacts.sae import find_sae
    from workbench.cli.output import Printer
    from workbench.cli.run import run_and_print
    from workbench.experiments import experiment
    from workbench.params import make_params
    from workbench.settings import load

    settings = load()
    path = Path(corpus).expanduser()
    # The worker has another working folder.
    values["corpus"] = str(path.absolute()) if path.exists() else corpus
    values["sae"] = find_sae(name).name
    model_flags = {flag: values.pop(flag, None) for flag in ("model", "device", "dtype")}
    definition = experiment("sae-check")
    _, code = run_and_print(
        worker_spec(settings, model_flags["model"], model_flags["device"], model_flags["dtype"]),
        session_path(session),
        definition.name,
        make_params(definition.params, values),
        seed=seed,
        printer=None if as_json else Printer(theme=settings.theme),
        as_json=as_json,
    )
    if code != DONE:
        raise SystemExit(code)


check_command.params += model_options()


@sae_command.command("rm", help="Remove an SAE from your data folder.")
@click.argument("name")
@click.pass_context
def rm_command(context: click.Context, name: str) -> None:
    from workbench.artifacts.sae import NAME
    from workbench.cli import artifacts

    context.invoke(artifacts.rm_command, name=name, session=None, kind=NAME)


def _origin(source: str, folder: Path) -> str:
    """Where it was read from, as it would be typed from anywhere."""
    return str(folder.absolute()) if Path(source).expanduser().exists() else source


def _print(view: Table) -> None:
    from workbench.cli.output import Printer
    from workbench.drawing import draw
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    printer.lines(draw(view, printer.width, style=printer.style))
