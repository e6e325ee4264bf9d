"""`workbench data`: labelled sets for probes; what they hold, and their labels shown on the text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.data_making import import_command, make_command
from workbench.cli.options import PATH, from_group, json_option
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.datasets.labelled.labelled_set import LabelledSet
    from workbench.views import Table


@click.group("data", help="Labelled sets for probes: lists, imports, makes and shows them.")
def data_command() -> None:
    pass


for command in (import_command, make_command):
    data_command.add_command(command)

_SESSION = click.option("--session", type=PATH, metavar="FILE", help="The session it lies in, too.")


@data_command.command("list", help="List them: those that ship, those of your data folder, and a session's.")
@_SESSION
@json_option
def list_command(session: Path | None, as_json: bool) -> None:
    from workbench.artifacts.data_set import data_sets_dir, facts_of
    from workbench.cli.output import print_json
    from workbench.cli.page import short_path
    from workbench.views import Column, Table

    listed = []
    for name, place, labelled in _all_sets(from_group("session", session)):
        if isinstance(labelled, UserError):
            listed.append({"name": name, "in": place, "problem": str(labelled)})
        else:
            listed.append({"name": name, "in": place, **dict(facts_of(labelled)), "hash": labelled.hash})
    if as_json:
        print_json(listed)
        return
    columns = [
        Column(name="name", gives_way="never"),
        Column(name="examples"),
        Column(name="of label 1"),
        Column(name="label 1 or target"),
    ]
    columns += [Column(name="label 0", gives_way="early"), Column(name="read"), Column(name="in", gives_way="early")]
    rows: list[list[Any]] = [
        [
            item["name"],
            item.get("examples"),
            item.get("label 1", "").rpartition(", ")[2],
            item.get("label 1", "").rpartition(", ")[0] or item.get("targets", item.get("problem")),
            item.get("label 0", "").rpartition(", ")[0],
            item.get("read", "").partition(" ")[0],
            item["in"],
        ]
        for item in listed
    ]
    note = f"files NAME.csv, .jsonl and .json of {short_path(data_sets_dir())} are listed too"
    by_hash: dict[str, list[str]] = {}
    for item in listed:
        by_hash.setdefault(item.get("hash", item["name"]), []).append(item["name"])
    note = "; ".join(
        [note, *(f"the same set: {', '.join(names)}" for names in by_hash.values() if len(set(names)) > 1)]
    )
    _print(Table(title="data sets", columns=columns, rows=rows, note=note))


@data_command.command("show", help="Show a set's labels on its texts as a model's tokens, its splits and problems.")
@click.argument("name", metavar="NAME|FILE")
@click.option("--model", metavar="REF", help="Whose tokenizer: a hub id, a local folder, or default.")
@click.option("--texts", default=6, show_default=True, type=click.IntRange(0), metavar="N", help="How many are shown.")
@click.option("--seed", default=0, type=click.IntRange(0, 2**63 - 1), metavar="N", help="Of the split.")
@_SESSION
@json_option
def show_command(name: str, model: str | None, texts: int, seed: int, session: Path | None, as_json: bool) -> None:
    from workbench.artifacts.data_set import facts_of
    from workbench.cli.output import Printer, print_json
    from workbench.datasets.labelled.aligning import examples_of
    from workbench.datasets.labelled.shown import shown_windows, split_table, text_view
    from workbench.drawing import draw
    from workbench.lab.finding.tokenizer import load_tokenization
    from workbench.settings import load
    from workbench.views import AnyView, Column, Table

    session = from_group("session", session)
    labelled = _read(name, session)
    settings = load()
    tokenization, context = load_tokenization(from_group("model", model) or settings.model)
    examples, problems = examples_of(labelled, tokenization.tokenizer, context, seed)
    windows = shown_windows(examples, texts)
    views = [text_view(examples, window, tokenization.token) for window in windows]
    facts = facts_of(labelled)
    if as_json:
        print_json({"facts": dict(facts), "problems": problems, "sentences": problems.sentences, "texts": views})
        return
    printer = Printer(theme=settings.theme)
    rows: list[list[Any]] = [list(fact) for fact in facts if fact[0] != "from"]
    columns = [Column(name="what"), Column(name="value")]
    pages: list[AnyView] = [Table(title=labelled.name, columns=columns, rows=rows), split_table(examples, problems)]
    for view in [*pages, *views]:
        printer.lines(draw(view, printer.width, style=printer.style))
        printer.blank()
    if labelled.note:
        printer.text(f"from {labelled.note}")
    for sentence in problems.sentences or ["no problems: balanced, nothing left out, nothing repeated"]:
        printer.text(sentence)


@data_command.command("rm", help="Remove a set from your data folder; with --session its name in that session.")
@click.argument("name")
@_SESSION
@click.pass_context
def rm_command(context: click.Context, name: str, session: Path | None) -> None:
    from workbench.artifacts.data_set import NAME, set_names, stored_names
    from workbench.cli import artifacts

    session = from_group("session", session)
    bare = name.removeprefix("@")
    if session is None and bare in set_names() and bare not in stored_names():
        raise UserError(f"{bare} ships with Workbench and can't be removed")
    context.invoke(artifacts.rm_command, name=bare, session=session, kind=NAME)


def _read(name: str, session: Path | None) -> LabelledSet:
    from workbench.session.typed_sets import read_data_set

    return read_data_set(name, session.absolute() if session else "")


def _all_sets(session: Path | None) -> list[tuple[str, str, LabelledSet | UserError]]:
    """Name, where it lies, and the set or why it can't be read; the session's come first."""
    from workbench.artifacts.data_set import NAME, read_data, set_names, set_of, stored_names
    from workbench.cli.page import short_path
    from workbench.cli.sessions import open_session

    listed: list[tuple[str, str, LabelledSet | UserError]] = []
    if session is not None:
        with open_session(session) as reader:
            listed += [
                (row.name, short_path(session.absolute()), set_of(reader.content(row.hash)))
                for row in reader.artifacts()
                if row.kind == NAME and row.name
            ]
    for name in set_names():
        place = "data folder" if name in stored_names() else "ships"
        try:
            listed.append((name, place, read_data(f"@{name}")))
        except UserError as error:
            listed.append((name, place, error))
    return listed


def _print(view: Table) -> None:
    from workbench.cli.output import Printer
    from workbench.drawing import draw
    from workbench.settings import load

    printer = Printer(theme=load().theme)
    printer.lines(draw(view, printer.width, style=printer.style))
