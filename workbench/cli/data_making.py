"""`workbench data import` and `make`: labelled sets from files, and from a corpus and a model's tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from workbench.cli.options import from_group
from workbench.cli.saying import say
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.datasets.labelled.features import Rule
    from workbench.datasets.labelled.labelled_set import LabelledSet, Read

_READS = ("last", "first", "mean", "max", "extreme")
_NAME = click.option("--name", default="", metavar="NAME", help="What to call it.")
_LIMIT = click.option(
    "--limit", default=4_000, show_default=True, type=click.IntRange(20), metavar="N", help="Examples."
)
_SEED = click.option("--seed", default=0, type=click.IntRange(0, 2**63 - 1), metavar="N", help="Where chance begins.")
_FOLDER = click.option("--folder", default="", metavar="FOLDER", help="Where the files lie.")
_PIECE = click.option(
    "--piece", default=500, show_default=True, type=click.IntRange(20), metavar="N",
    help="Of programming and language: characters of a piece, at least.",
)  # fmt: skip
_FROM_FOLDER = ("programming", "language")


@click.command(
    "import",
    help="Keep a labelled set from a file under a name.\n\n"
    "SOURCE is a CSV with prompt and target (also .csv.zst, .csv.gz), JSONL with the same keys, a file or folder of "
    "word/TAG with --tags, or sae-probes:65 with --folder or the setting sae_probes.",
    short_help="Keep a labelled set from a file.",
)
@click.argument("source", metavar="SOURCE")
@_NAME
@click.option("--positive", default="", metavar="TARGET", help="The target that is label 1; the others are label 0.")
@click.option("--numeric", is_flag=True, help="Targets are numbers, not classes.")
@click.option("--target", default="", metavar="COLUMN", help="Which column or key holds the targets.")
@click.option("--read", type=click.Choice(_READS), default="last", show_default=True, help="Which tokens are read.")
@click.option("--tags", default="", metavar="A,B,…", help="Of word/TAG files: tags of label 1, such as NN,NNS or nn*.")
@_FOLDER
@_LIMIT
@_SEED
def import_command(
    source: str,
    name: str,
    positive: str,
    numeric: bool,
    target: str,
    read: Read,
    tags: str,
    folder: str,
    limit: int,
    seed: int,
) -> None:
    from workbench.datasets.labelled.reading import read_labelled, split_suffix
    from workbench.datasets.labelled.sae_probes import PREFIX, read_sae_probes
    from workbench.datasets.labelled.tagged import read_tagged
    from workbench.datasets.labelled.targets import Choice
    from workbench.settings import load

    choice = Choice(positive=positive, numeric=True if numeric else None, read=read, target=target)
    if source.startswith(PREFIX):
        labelled = read_sae_probes(source, folder or load().sae_probes, choice)
    elif tags or Path(source).expanduser().is_dir():
        path = Path(source).expanduser()
        tagged_name = name or split_suffix(path)[0]
        labelled = read_tagged(path, [tag.strip() for tag in tags.split(",") if tag.strip()], tagged_name, limit, seed)
    else:
        labelled = read_labelled(Path(source).expanduser(), choice)
    if name and labelled.classes == (f"not {labelled.name}", labelled.name):
        labelled = msgspec.structs.replace(labelled, classes=(f"not {name}", name))
    _keep(labelled, name or labelled.name)


@click.command(
    "make",
    help="Make a labelled set of a corpus' tokens, or of a folder's texts.\n\n"
    "KIND is a feature of a token's own text (contains-digit, all-digits, contains-capital, leading-capital, "
    "all-capitals, contains-whitespace, leading-space, no-leading-space-and-lower-case, all-whitespace, "
    "not-alphanumeric, not-ascii); words, pattern (a regular expression), previous (the words stand before), position "
    "(a number), compound (two words); or programming and language, pieces of the texts in --folder.",
    short_help="Make a labelled set from a corpus.",
)
@click.argument("kind", metavar="KIND")
@_NAME
@click.option("--words", default="", metavar="A,B,…", help="Of words, previous; of compound two: 'social security'.")
@click.option("--pattern", default="", metavar="REGEX", help="Of pattern: the token where a match ends is label 1.")
@click.option("--positive", default="", metavar="CLASS", help="Of programming and language: the class of label 1.")
@click.option(
    "--corpus", default="stdlib", show_default=True, metavar="TEXT", help="stdlib, a file, a folder, a hub id."
)
@click.option("--model", metavar="REF", help="Whose tokenizer: a hub id, a local folder, or default.")
@_FOLDER
@_PIECE
@_LIMIT
@_SEED
def make_command(
    kind: str,
    name: str,
    words: str,
    pattern: str,
    positive: str,
    corpus: str,
    model: str | None,
    folder: str,
    piece: int,
    limit: int,
    seed: int,
) -> None:
    from workbench.datasets.labelled.sources import language_set, programming_set

    if kind not in _FROM_FOLDER:
        labelled = _from_corpus(kind, name, words, pattern, corpus, model, limit, seed)
    elif not folder or not positive:
        raise UserError(f"{kind} needs --folder and --positive, for example --folder texts --positive {_example(kind)}")
    else:
        make = programming_set if kind == "programming" else language_set
        labelled = make(Path(folder).expanduser(), positive, limit, seed, piece)
    _keep(labelled, name or labelled.name)


def _example(kind: str) -> str:
    return "Python" if kind == "programming" else "fr"


def _from_corpus(
    kind: str, name: str, words: str, pattern: str, corpus: str, model: str | None, limit: int, seed: int
) -> LabelledSet:
    """Raises UserError, before a tokenizer is loaded, for a kind there is not and for what it needs."""
    from workbench.datasets.corpora import open_corpus
    from workbench.datasets.labelled.made import compound_set, token_set
    from workbench.lab.finding.tokenizer import load_tokenization
    from workbench.settings import load

    rule, positive = (None, "") if kind == "compound" else _rule(kind, words, pattern)
    opened = open_corpus(corpus)
    tokenizer = load_tokenization(from_group("model", model) or load().model)[0].tokenizer
    note = opened.info.name
    if rule is None:
        return compound_set(words, opened.documents(), tokenizer, limit=limit, seed=seed, note=note)
    classes = ("other tokens", positive)
    numeric = kind == "position"
    return token_set(
        name or kind, opened.documents(), tokenizer, rule, classes=classes, numeric=numeric, limit=limit, seed=seed,
        note=note,
    )  # fmt: skip


def _rule(kind: str, words: str, pattern: str) -> tuple[Rule, str]:
    """A rule, and what label 1 is called."""
    from workbench.datasets.labelled import features

    listed = [word.strip() for word in words.split(",") if word.strip()]
    if kind in features.TEXT_FEATURES:
        return features.feature_rule(kind), kind
    if kind == "words":
        return features.words_rule(listed), ", ".join(listed)[:60]
    if kind == "previous":
        return features.before_rule(features.words_rule(listed)), f"after {', '.join(listed)}"[:60]
    if kind == "position":
        return features.position_rule, ""
    if kind == "pattern" and pattern:
        return features.pattern_rule(pattern), pattern[:60]
    if kind == "pattern":
        raise UserError(r"pattern needs a regular expression, for example --pattern '\d{4}'")
    known = [*features.TEXT_FEATURES, "words", "pattern", "previous", "position", "compound", *_FROM_FOLDER]
    raise UserError(f"there is no kind {kind!r} of set that can be made: there are {', '.join(known)}")


def _keep(labelled: LabelledSet, name: str) -> None:
    from workbench.artifacts.data_set import facts_of, keep_set
    from workbench.cli.page import short_path
    from workbench.datasets.labelled.aligning import check_labels

    check_labels(labelled)
    file = keep_set(labelled, name)
    facts = dict(facts_of(labelled))
    what = facts.get("label 1", facts.get("targets", ""))
    say(f"{name} is in {short_path(file)}: {facts['examples']} examples, {what}")
    if labelled.note:
        say(f"from {labelled.note}")
    say(f"look at its labels: workbench data show {name}")
