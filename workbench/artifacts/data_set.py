"""Data sets: labelled texts that probes are fitted on.

A set lies in the session that read it, once, by its hash; its name takes it again there. A file `data/NAME.json` (as
`workbench data import` and `make` write it, a large one compressed), `.jsonl` or `.csv` in the user's data folder has
its name in every session, and so have the sets that ship.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import msgspec

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._files import file_named, files_in, list_files, name_of, remove_file
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.datasets.labelled.reading import SUFFIXES as READABLE
from workbench.datasets.labelled.reading import read_labelled, read_typed, split_class
from workbench.datasets.labelled.sae_probes import PREFIX, read_sae_probes
from workbench.datasets.labelled.shipped import SHIPPED, shipped_set
from workbench.errors import UserError
from workbench.files import write_whole
from workbench.settings import load
from workbench.text import count, quoted, size

NAME = "data set"
SUFFIXES = (".json", ".json.gz", ".jsonl", ".csv")
PLAIN = 1 << 20
"""bytes of a set as JSON, above which it is compressed in the data folder"""
LARGEST = 1 << 25
"""bytes of a set as JSON: each session that uses it has a copy, and holds none larger"""
SHOWN = 5
"""texts of a set that are shown"""
_NAME = re.compile(r"\w(?:[\w.-]*\w)?")


def content_of(labelled: LabelledSet) -> Content:
    """As it is stored in a session."""
    return Content(kind=NAME, spec=msgspec.to_builtins(labelled))


def set_of(content: Content) -> LabelledSet:
    """A set as a session has it. Raises UserError for one that is damaged."""
    try:
        return msgspec.convert(content.spec, LabelledSet)
    except msgspec.ValidationError as error:
        raise UserError(f"a data set is damaged in the session: {error}") from None


def data_sets_dir() -> Path:
    """Where sets are that have a name in every session."""
    return paths.data_dir() / "data"


def stored_names() -> list[str]:
    """Of the sets of the data folder."""
    return list(dict.fromkeys(name_of(file, SUFFIXES) for file in files_in(data_sets_dir(), SUFFIXES)))


def set_names() -> list[str]:
    """Of the sets that have a name in every session: those of the data folder, then those that ship."""
    return list(dict.fromkeys([*stored_names(), *SHIPPED]))


def is_name(text: str) -> bool:
    """What was typed is the name of a stored set: no file, and none of sae-probes."""
    if text.startswith("@"):
        return True
    return not (text.startswith(PREFIX) or split_class(text)[0].lower().endswith(READABLE) or "/" in text)


def read_data(text: str) -> LabelledSet:
    """What was typed: a file, `sae-probes:65`, or the name of a set of the data folder, or of one that ships; behind a
    file of many classes the one that is label 1, `topics.csv=sport`.

    Raises UserError naming the sets there are.
    """
    if text.startswith(PREFIX):
        return read_sae_probes(text, load().sae_probes)
    if not is_name(text):
        return read_typed(text)
    name = text.removeprefix("@")
    file = file_named(data_sets_dir(), SUFFIXES, name)
    if file is not None:
        return msgspec.structs.replace(read_labelled(file), name=name)
    if name in SHIPPED:
        return shipped_set(name)
    raise UserError(
        f"there is no data set {quoted(name)}: there are {', '.join(set_names())}; or name a file, for example "
        f"{name}.csv with the columns prompt and target"
    )


def keep_set(labelled: LabelledSet, name: str) -> Path:
    """Writes a set to where its name is looked for, and returns its path.

    Raises UserError for what is no name, for a name that stands for another set, and for a set that is too large.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{quoted(name)} is no name for a data set: letters, digits, _ . - as in social-security")
    existing = file_named(data_sets_dir(), SUFFIXES, name)
    if existing is not None and read_labelled(existing).hash == labelled.hash:
        return existing
    if existing is not None:
        raise UserError(f"{name} is another data set already ({existing}): choose another --name, or remove it")
    data = msgspec.json.encode(msgspec.structs.replace(labelled, name=name))
    if len(data) > LARGEST:
        raise UserError(
            f"the set takes {size(len(data))}, and a session holds at most {size(LARGEST)}: take fewer examples with "
            "--limit"
        )
    file = data_sets_dir() / f"{name}.json"
    if len(data) > PLAIN:
        file, data = file.with_name(f"{name}.json.gz"), gzip.compress(data, 6, mtime=0)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, data, private=True)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}") from None
    return file


def facts_of(labelled: LabelledSet) -> Facts:
    """What it holds, by what it says."""
    labels = [span.label for _, span in labelled.spans()]
    facts = [("examples", count(len(labels))), ("texts", count(len(labelled.texts)))]
    if labelled.numeric:
        facts.append(("targets", f"numbers, {min(labels, default=0):g} to {max(labels, default=0):g}"))
    else:
        positive = sum(label == 1 for label in labels)
        facts.append(("label 1", f"{labelled.classes[1]}, {count(positive)}"))
        facts.append(("label 0", f"{labelled.classes[0]}, {count(len(labels) - positive)}"))
    facts.append(("labels are of", "texts" if labelled.whole_texts else "tokens"))
    pooled = {
        "mean": "mean over the tokens",
        "max": "largest over the tokens",
        "extreme": "largest size over the tokens",
    }
    facts.append(("read", pooled.get(labelled.read, f"{labelled.read} token")))
    return [*facts, ("from", labelled.note)] if labelled.note else facts


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    labelled = set_of(content) if content else read_data(f"@{artifact.name}")
    return facts_of(labelled) + [(f"text {number}", text.text) for number, text in enumerate(labelled.texts[:SHOWN], 1)]


KIND = Kind(
    name=NAME,
    listed=lambda: list_files(NAME, data_sets_dir(), SUFFIXES, lambda file: content_of(read_labelled(file)).hash),
    remove=remove_file,
    facts=_facts,
    in_session=True,
    of_model=False,
)
