"""What a question is: a sentence with one or two blanks that stands for an experiment with its arguments filled."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from workbench.errors import UserError
from workbench.params import TEXT, Kind

if TYPE_CHECKING:
    from workbench.report import NextStep

BLANK = re.compile(r"⟨(\w+)⟩")
"""How a sentence, a parameter or an edit names a blank."""
_NAME_OF_BLANK = re.compile(r"⟨(\w+)\.name⟩")
"""How a parameter takes the name of a blank's prompt set: `french` of `sets/french.txt`, `harmful` of `@harmful`."""


class Blank(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a sentence to be filled. `example` is there until something else is typed."""

    name: str
    kind: Kind
    example: str
    help: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One line of Home."""

    group: str
    """what it is about, in a word; the questions of a group stand together"""
    sentence: str
    """with its blanks: `how likely is ⟨answer⟩ after ⟨prompt⟩`"""
    about: str
    """what the answer consists of, in a few words"""
    synonyms: str
    """other words by which one would look for it"""
    experiment: str
    blanks: tuple[Blank, ...]
    params: dict[str, Any]
    """blanks in strings are filled"""
    edits: tuple[str, ...] | None = None
    """edit texts, blanks filled; None keeps the ones that are on"""
    beside: tuple[Blank, ...] = ()
    """blanks that its sentence does not have: parameters take what was filled in for other questions, or the example"""

    @property
    def examples(self) -> dict[str, str]:
        return {blank.name: blank.example for blank in self.blanks}

    def filled(self, values: dict[str, str]) -> str:
        """The sentence with its blanks filled, in ⟨ ⟩."""
        return BLANK.sub(lambda match: f"⟨{values.get(match[1]) or self.examples[match[1]]}⟩", self.sentence)

    def ask(self, values: dict[str, str]) -> NextStep:
        """The experiment this question stands for. Raises UserError for an empty blank."""
        from workbench.report import NextStep  # brings numpy, which Home's first paint does without

        for blank in self.blanks:
            if not values.get(blank.name, blank.example):
                raise UserError(f"a blank is empty: fill in {blank.help}, for example {blank.example!r}")

        filled = {blank.name: values.get(blank.name) or blank.example for blank in (*self.blanks, *self.beside)}

        def fill(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            if named := _NAME_OF_BLANK.fullmatch(value):
                return set_name(filled[named[1]])
            return BLANK.sub(lambda match: filled[match[1]], value)

        return NextStep(
            label=self.filled(values),
            experiment=self.experiment,
            params={name: fill(value) for name, value in self.params.items()},
            edits=None if self.edits is None else [fill(edit) for edit in self.edits],
        )

    def matches(self, words: str) -> bool:
        """Every typed word begins some word of the sentence, of what it is about or of its synonyms."""
        about = f"{self.group} {self.sentence} {self.about} {self.experiment} {self.synonyms}"
        vocabulary = re.findall(r"\w[\w-]*", about.lower())
        return all(
            any(candidate.startswith(word) for candidate in vocabulary)
            for word in re.findall(r"\w[\w-]*", words.lower())
        )


def set_name(text: str) -> str:
    """What a prompt set that was typed is called, as a direction can be called: `two_words` of `~/two words.txt`."""
    stem = PurePath(text.strip().removeprefix("@")).stem
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"d{name}"


PROMPT = Blank(name="prompt", kind=TEXT, example="The capital of France is", help="the text the model reads")
