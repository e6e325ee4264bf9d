"""Which labelled sets there are: the session's, those of the data folder, those that ship. No widget here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workbench.artifacts import data_set
from workbench.datasets.labelled.labelled_set import LabelledSet
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader


class SetEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled set by its name, or why it can't be read."""

    name: str
    hash: str = ""
    """as an artifact; empty for one that can't be read"""
    place: str
    """`session`, `data folder` or `ships`"""
    positive: int = 0
    """examples of label 1"""
    negative: int = 0
    """examples of label 0; of numeric targets all"""
    numeric: bool = False
    classes: tuple[str, str] = ("", "")
    read: str = ""
    """which token: `last token`, `mean over the tokens`"""
    problem: str = ""


class Catalogue:
    """Reads them; what was read once is remembered by hash, or by file and its time."""

    def __init__(self) -> None:
        self._sets: dict[str, LabelledSet] = {}
        """by hash as an artifact"""
        self._known: dict[object, tuple[str, str]] = {}
        """hash and problem, by what was read"""

    def read(self, reader: SessionReader | None) -> list[SetEntry]:
        """The session's come first, newest first; a name of both is the session's, as where it is typed."""
        entries: list[SetEntry] = []
        if reader is not None:
            for row in reader.artifacts():
                if row.kind == data_set.NAME and row.name:
                    if row.hash not in self._known:
                        self._known[row.hash] = self._stored(reader, row.hash)
                    entries.append(self._entry(row.name, "session", *self._known[row.hash]))
        own, stored = {entry.name for entry in entries}, set(data_set.stored_names())
        for name in data_set.set_names():
            if name not in own:
                place = "data folder" if name in stored else "ships"
                entries.append(self._entry(name, place, *self._named(name, name in stored)))
        return entries

    def labelled(self, entry: SetEntry) -> LabelledSet | None:
        """With its texts; None for one that can't be read."""
        return self._sets.get(entry.hash)

    def _stored(self, reader: SessionReader, digest: str) -> tuple[str, str]:
        try:
            self._sets[digest] = data_set.set_of(reader.content(digest))
        except UserError as error:
            return "", str(error)
        return digest, ""

    def _named(self, name: str, in_folder: bool) -> tuple[str, str]:
        stamp: object = name
        if in_folder:
            files = [data_set.data_sets_dir() / f"{name}{suffix}" for suffix in data_set.SUFFIXES]
            stamp = (name, tuple(_modified(file) for file in files))
        if stamp not in self._known:
            try:
                labelled = data_set.read_data(f"@{name}")
            except UserError as error:
                self._known[stamp] = "", str(error)
            else:
                digest = data_set.content_of(labelled).hash
                self._sets[digest] = labelled
                self._known[stamp] = digest, ""
        return self._known[stamp]

    def _entry(self, name: str, place: str, digest: str, problem: str) -> SetEntry:
        labelled = self._sets.get(digest)
        if labelled is None:
            return SetEntry(name=name, place=place, problem=problem)
        positive = 0 if labelled.numeric else sum(span.label == 1 for _, span in labelled.spans())
        return SetEntry(
            name=name,
            hash=digest,
            place=place,
            positive=positive,
            negative=len(labelled) - positive,
            numeric=labelled.numeric,
            classes=labelled.classes,
            read=dict(data_set.facts_of(labelled))["read"],
        )


def _modified(file: Path) -> int:
    """When a file was written, in nanoseconds; 0 where it is not there."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
