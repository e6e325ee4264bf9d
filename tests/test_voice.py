"""Words that readers stumble over stay out of what the project prints: screens, command line, errors, help, README."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from workbench.experiments import experiments

INSTEAD = {
    r"\brandom \w+ of (its|their) kind\b": "matched random neurons: median …",
    r"\bbeyond all\b": "larger than all 32",
    r"\bfirst of all in\b": "ranked first for … of prompts",
    r"\bfor want of width\b": "hidden, too narrow: …",
    r", a look\b|\ba look \(": "preview",
    r"\blikeliest\b": "top prediction",
    r"\blayer down, position across\b": "rows: layers · columns: positions",
    r"\bbeyond what chance gives\b": "none of 46,080 stands out from chance",
    r"\bbehind what runs\b": "waiting for step 3 (index build)",
    r"\bholds? (it |the answer )?back\b": "suppresses",
    r"\bthere is none yet\b": "no directions saved; n makes one",
    r"\brandom directions, as far\b": "random directions, same norm",
    r"\bthese edits at\b": "this edit: KL .279",
    r"\bput into (the |its )?(basket|set\b)": "added to basket",
    r"\b0 a second\b": "100 s per step",
}
"""pattern → what is said in its place"""


def docstrings(tree: ast.AST) -> set[int]:
    """The string constants that nobody prints: docstrings, also those under fields."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def printed(path: Path) -> Iterator[str]:
    """String constants of a file, an f-string's parts each by itself."""
    tree = ast.parse(path.read_text())
    silent = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def stumbles(text: str) -> list[str]:
    """What of the list stands in it."""
    words = " ".join(text.split())
    return [match[0] for pattern in INSTEAD for match in re.finditer(pattern, words)]


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "workbench").iterdir() if path.is_dir()))
def test_no_string_says_it(folder: str) -> None:
    for path in (ROOT / "workbench" / folder).rglob("*.py"):
        for text in printed(path):
            assert not stumbles(text), f"{path.relative_to(ROOT)}: {text!r}"


def test_no_page_says_it() -> None:
    pages = {path: (ROOT / path).read_text() for path in ("README.md", "workbench/METHODS.md")}
    pages |= {name: experiment.help for name, experiment in experiments().items()}
    pages |= {path.name: " ".join(printed(path)) for path in (ROOT / "workbench").glob("*.py")}
    assert {name: found for name, text in pages.items() if (found := stumbles(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "32 random neurons of its kind: 2.0e-6 (…), beyond all",
        "first of all in 88 %",
        "not shown, for want of width: log p edited",
        "Logit lens, a look (1 keeps it as a step)",
        "the likeliest from L29 on",
        "layer down, position across",
        "46,080; 0 beyond what chance gives",
        "queued behind what runs",
        "it holds the answer back",
        "there is none yet",
        "random directions, as far",
        "these edits at −.555",
        "put into the basket",
        "0 a second, 2 h 41 min left",
    ],
)
def test_it_is_seen_where_it_is_said(text: str) -> None:
    assert stumbles(text)
