"""`workbench index`: build, list, check and remove indexes; one neuron's card; queries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workbench.cli.failing import DONE
from workbench.cli.options import PATH, json_option, model_options, session_path, worker_spec
from workbench.cli.saying import say

if TYPE_CHECKING:
    from workbench.cli.output import Printer
    from workbench.index.reader import NeuronIndex
    from workbench.views import AnyView

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("family", "best", "vr", "kurtosis", "positive", "max", "min", "promotes")
"""columns of a query's table, where the index has them"""
FEATURE_COLUMNS = ("frequency", "active", "max", "peak", "promotes", "decoder")


@click.group("index", help="What every neuron of a model does on a text: build it, look it up, check it.")
def index_command() -> None:
    pass


def _index_argument(command: F) -> F:
    return click.argument("name", metavar="INDEX")(command)


@index_command.command("build", help="Build an index, go on with one, or add tokens to it. Ctrl+C keeps what is done.")
@click.option(
    "--corpus", default="stdlib", show_default=True, metavar="TEXT", help="stdlib, a file, a folder, a hub id."
)
@click.option("--tokens", default=20_000, show_default=True, metavar="N", help="How many to count; 0: weights alone.")
@click.option("--sae", default="", metavar="NAME", help="Of the features of this registered SAE, not of neurons.")
@click.option("--context", default=256, show_default=True, metavar="N", help="Tokens the model reads at once.")
@click.option("--top", default=20, show_default=True, metavar="N", help="Examples kept for each tail.")
@click.option("--explain", is_flag=True, help="Find the token feature that explains each neuron best.")
@click.option("--session", type=PATH, default=None, metavar="FILE", help="The session that logs the build.")
@json_option
def build_command(as_json: bool, session: Path | None, corpus: str, **values: Any) -> None:
    from workbench.cli.output import Printer
    from workbench.cli.run import run_and_print
    from workbench.experiments import experiment
    from workbench.params import make_params
    from workbench.settings import load

    settings = load()
    path = Path(corpus).expanduser()
    # The worker has another working folder.
    values["corpus"] = str(path.absolute()) if path.exists() else corpus
    model_flags = {name: values.pop(name, None) for name in ("model", "device", "dtype")}
    definition = experiment("index")
    _, code = run_and_print(
        worker_spec(settings, model_flags["model"], model_flags["device"], model_flags["dtype"]),
        session_path(session),
        definition.name,
        make_params(definition.params, values),
        printer=None if as_json else Printer(theme=settings.theme),
        as_json=as_json,
    )
    if code != DONE:
        raise SystemExit(code)


build_command.params += model_options()


@index_command.command("list", help="The indexes on this machine.")
@json_option
def list_command(as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.index.store import indexes_dir, list_indexes
    from workbench.text import count, size
    from workbench.views import Column, Table

    indexes = list_indexes()
    if as_json:
        print_json(indexes)
        return
    rows: list[list[Any]] = []
    for info in indexes:
        what = f"{count(info.tokens)} tokens" if info.kind != "weights" else "weights alone"
        what += f", features of {info.sae}" if info.sae else ""
        state = info.problem or ("ready" if info.complete else f"unfinished, {count(info.goal)} wanted")
        if info.kind == "weights" and not info.problem and not info.complete:
            state = "unfinished"
        rows.append([info.name, info.model, what, "yes" if info.explain else "", size(info.bytes), state])
    columns = [Column(name=name) for name in ("index", "model", "of", "explained", "on disk", "state")]
    _print(Table(title="indexes on this machine", columns=columns, rows=rows, note=str(indexes_dir())))


@index_command.command("info", help="Everything an index says of itself.")
@_index_argument
@json_option
def info_command(name: str, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.index.format import read_index_file
    from workbench.index.store import describe, find_folder
    from workbench.text import count, seconds, size
    from workbench.views import Column, Table

    folder = find_folder(name)
    file = read_index_file(folder)
    if as_json:
        print_json({"path": str(folder), "index": file})
        return
    info = describe(folder)
    corpus, settings = file.corpus, file.settings
    facts: list[tuple[str, str]] = [
        (
            "model",
            f"{file.model.name}, {count(file.model.n_neurons)} neurons, {file.model.dtype} on {file.model.device}",
        ),
        ("model fingerprint", file.model.fingerprint),
    ]
    if file.sae:
        facts.append(("features of", f"{file.sae.name}, {count(file.sae.width)} at {file.sae.site}"))
        facts.append(("SAE's hash", file.sae.hash))
    if corpus and settings:
        facts += [
            ("corpus", f"{corpus.spec}{': ' + corpus.note if corpus.note else ''}"),
            ("corpus hash", corpus.hash),
            ("tokens", f"{count(info.tokens)} of {count(info.goal)} wanted, of {count(info.documents)} documents"),
            ("sample", f"{count(file.counts.sampled)} tokens, one in {settings.sample} by document and position"),
            ("context", f"{count(settings.context)} tokens; position 0 of each window is left out"),
            (
                "examples",
                f"{settings.top}{'' if file.sae else ' of each tail'}, at most one of a document",
            ),
            ("explained by", f"{len(file.features)} token features" if settings.explain else "nothing (--explain)"),
            ("blocks", f"{count(file.progress.blocks)} of {count(settings.block_tokens)} tokens"),
        ]
    facts += [
        ("took", seconds(file.seconds)),
        ("versions", ", ".join(f"{library} {version}" for library, version in file.versions.items())),
        ("on disk", size(info.bytes)),
        ("path", str(folder)),
    ]
    columns = [Column(name="what"), Column(name="value")]
    _print(Table(title=folder.name, columns=columns, rows=[list(fact) for fact in facts]))


@index_command.command("verify", help="Compare an index with its checksums; without a name, all of them.")
@click.argument("name", metavar="[INDEX]", required=False)
@json_option
def verify_command(name: str | None, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.index.store import find_folder, list_indexes, verify

    folders = [find_folder(name)] if name else [Path(info.path) for info in list_indexes()]
    problems_by_index = {folder.name: verify(folder) for folder in folders}
    if as_json:
        print_json(problems_by_index)
    for folder, problems in problems_by_index.items() if not as_json else ():
        say(f"{folder}: {'; '.join(problems) if problems else 'whole, every checksum fits'}")
    if any(problems_by_index.values()):
        raise SystemExit(1)


@index_command.command("rm", help="Remove an index.")
@_index_argument
def rm_command(name: str) -> None:
    from workbench.index.store import describe, find_folder, remove
    from workbench.text import size

    folder = find_folder(name)
    freed = describe(folder).bytes
    remove(folder)
    say(f"removed {folder.name}, {size(freed)}")


@index_command.command("top", help="A neuron's card: what it fires on, what it promotes. Needs no model.")
@click.argument("unit")
@click.option("--index", "name", default="", metavar="INDEX", help="Which index; the fullest if none is named.")
@click.option("--examples", default=10, show_default=True, metavar="N", help="Examples of each tail.")
@json_option
def top_command(unit: str, name: str, examples: int, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.drawing import draw
    from workbench.errors import UserError
    from workbench.experiments.neuron import show
    from workbench.report import Report
    from workbench.units import Neuron, parse_unit

    index = _open_index(name)
    if index.sae is not None:
        raise UserError(
            f"{index.folder.name} holds features: `workbench run feature --unit {index.unit(0)}` shows one's card"
        )
    neuron = parse_unit(unit, index.info)
    if not isinstance(neuron, Neuron):
        raise UserError(f"{neuron} is no neuron: give one like L12.N345")
    if as_json:
        print_json(index.card(neuron.layer, neuron.index))
        return
    report = Report(_NullSink())
    show(index, neuron, examples, report)
    printer = _printer()
    printer.text(report.headline, "bold")
    for view in report.views.values():
        printer.blank()
        printer.lines(draw(view, printer.width, style=printer.style))


@index_command.command(
    "query", help="Neurons by a filter: 'layer 10-20 kurtosis>50 family=prediction promotes:\" Paris\"'."
)
@click.argument("expression", metavar="EXPR")
@click.option("--index", "name", default="", metavar="INDEX", help="Which index; the fullest if none is named.")
@click.option("--sort", default="", metavar="COLUMN", help="Largest first, by this column; -COLUMN smallest first.")
@click.option("--limit", default=50, show_default=True, metavar="N", help="Rows to print; 0 for all.")
@json_option
def query_command(expression: str, name: str, sort: str, limit: int, as_json: bool) -> None:
    from workbench.cli.output import print_json
    from workbench.errors import UserError
    from workbench.index import query
    from workbench.text import count
    from workbench.views import Column, Table

    index = _open_index(name)
    ids = query.parse(expression, index.columns).run(index)
    by = sort.lstrip("-")
    if by:
        if by not in index.columns:
            raise UserError(f"there is no column {by!r} to sort by: there are {', '.join(index.columns)}")
        ids = query.sort(ids, index.columns[by], descending=not sort.startswith("-"))
    total = len(ids)
    ids = ids[:limit] if limit else ids
    names = COLUMNS if index.sae is None else FEATURE_COLUMNS
    shown = [column for column in names if column in index.columns]
    if by and by not in shown and by not in ("layer", "neuron", "feature"):
        shown.insert(0, by)
    rows: list[list[Any]] = [
        [index.unit(neuron), *(_cell(index, name, neuron) for name in shown)] for neuron in ids.tolist()
    ]
    if as_json:
        print_json(
            {
                "index": index.folder.name,
                "matches": total,
                ("neurons" if index.sae is None else "features"): [
                    dict(zip(["unit", *shown], row, strict=True)) for row in rows
                ],
            }
        )
        return
    kinds = {"category": "text", "token": "token", "probability": "probability", "int": "int", "number": "number"}
    columns = [Column(name="unit", kind="unit")]
    columns += [Column(name=index.columns[name].title, kind=kinds[index.columns[name].kind]) for name in shown]
    units = "neurons" if index.sae is None else f"features of {index.sae.name}"
    note = f"{count(total)} of {count(index.units.n)} {units}" + (
        f", the first {count(len(rows))}" if len(rows) < total else ""
    )
    _print(Table(title=expression or f"all {units}", columns=columns, rows=rows, note=f"{note}; {index.folder.name}"))


def _cell(index: NeuronIndex, name: str, neuron: int) -> Any:
    column = index.columns[name]
    value = column.values[neuron]
    if column.kind == "category":
        return column.labels[value] if value >= 0 else ""
    if column.kind == "token":
        return index.token(int(value))
    return None if value != value else float(value)  # nan


def _open_index(name: str) -> NeuronIndex:
    from workbench.index.features import open_any
    from workbench.index.store import best_index, find_folder

    return open_any(find_folder(name) if name else best_index())


class _NullSink:
    """A sink that ignores changes: the report is printed when it is whole."""

    def changed(self, report: object) -> None:
        pass

    between_batches = streamed = changed


def _printer() -> Printer:
    from workbench.cli.output import Printer
    from workbench.settings import load

    return Printer(theme=load().theme)


def _print(view: AnyView) -> None:
    from workbench.drawing import draw

    printer = _printer()
    printer.lines(draw(view, printer.width, style=printer.style))
