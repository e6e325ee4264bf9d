"""The definitions behind the numbers, as METHODS.md has them: read from the installed package, section by section."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from workbench.errors import UserError

FILE = "METHODS.md"


@dataclass(frozen=True)
class Section:
    """One heading of METHODS.md with what stands under it."""

    name: str
    text: str
    """paragraphs parted by an empty line, each on one line"""

    @property
    def paragraphs(self) -> list[str]:
        return self.text.split("\n\n")

    @property
    def summary(self) -> str:
        """Its first sentence, for a list."""
        return re.split(r"(?<=[\w)])\. ", self.paragraphs[0])[0].rstrip(".") + "."


def introduction() -> str:
    """What stands before the first section: what the file is, and the notation. Paragraphs as in a section."""
    return _paragraphs(_parts()[0].partition("\n")[2])


@cache
def sections() -> tuple[Section, ...]:
    """All of them, in the file's order."""
    parts = _parts()
    return tuple(Section(name, _paragraphs(text)) for name, text in (part.partition("\n")[::2] for part in parts[1:]))


def section(name: str) -> Section:
    """By its name in any case, or by how it begins. Raises UserError where none is called so."""
    names = [each.name for each in sections()]
    typed = name.strip().casefold()
    for is_whole in (True, False):
        matching = [each for each in sections() if _matches(each, typed, is_whole)]
        if typed and len(matching) == 1:
            return matching[0]
    by_name = {each.casefold(): each for each in names}
    near = [by_name[each] for each in difflib.get_close_matches(typed, by_name, 3, 0.5)] or names
    raise UserError(f"METHODS has no section {name!r}: there are {', '.join(near)}")


def _matches(each: Section, typed: str, is_whole: bool) -> bool:
    name = each.name.casefold()
    return name == typed if is_whole else name.startswith(typed)


def _parts() -> list[str]:
    return re.split(r"^## ", (resources.files("workbench") / FILE).read_text(encoding="utf-8"), flags=re.MULTILINE)


def _paragraphs(text: str) -> str:
    """Lines of a paragraph joined, since whoever shows them wraps them; a source is a paragraph of its own.

    What is set off in Markdown stands plain, as a terminal shows it.
    """
    parted = re.sub(
        r"\nSource: ", "\n\nSource: ", re.sub(r"(?<!\w)\*(?=\S)([^*]+)(?<=\S)\*(?!\w)", r"\1", text.strip())
    )
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", parted))
