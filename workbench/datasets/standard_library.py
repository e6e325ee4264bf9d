"""The prose and the source of the Python standard library that runs this: corpora that are always there."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from workbench import paths
from workbench.datasets.pieces import pieces
from workbench.files import cache_bytes

MIN_DOCSTRING = 80
LONGEST_LINE = 400
"""characters; source with a longer line is a table that a program wrote"""
EDITION = "1"
"""of the rules below: raised when they would find other text"""
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "__pycache__"}


def standard_library(code: bool = False) -> list[str]:
    """Modules' docstrings, each once, and the language reference's topics; with `code` the modules' source as well.

    A prefix of the corpus should be like the whole, so documents are ordered by the hash of their text. Reading a
    thousand modules takes seconds: the text is kept in the cache, for each Python by itself.
    """
    file = _cache_file("code" if code else "stdlib")
    try:
        cached = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        cached = None
    if isinstance(cached, list) and cached and all(isinstance(text, str) for text in cached):
        return cached
    texts = chain(_texts(), _sources()) if code else _texts()
    documents = {piece for text in texts for piece in pieces(text)}
    ordered = sorted(documents, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    cache_bytes(file, json.dumps(ordered).encode())
    return ordered


def _cache_file(name: str = "stdlib") -> Path:
    named = paths.short_hash(sys.version, sysconfig.get_path("stdlib"), EDITION)
    return paths.cache_dir() / "corpora" / f"{name}-{named}.json"


def _texts() -> Iterator[str]:
    from pydoc_data import topics

    yield from topics.topics.values()
    seen: set[str] = set()
    for path in _modules():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError):
            continue
        new = [text for text in _docstrings(tree) if text not in seen]
        seen.update(new)
        if new:
            yield "\n\n".join(dict.fromkeys(new))


def _sources() -> Iterator[str]:
    for path in _modules():
        try:
            source = path.read_text(encoding="utf-8")
        except (ValueError, OSError):
            continue
        if max(map(len, source.split("\n"))) <= LONGEST_LINE:
            yield source


def _modules() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    return [path for path in sorted(root.rglob("*.py")) if _SKIPPED.isdisjoint(path.relative_to(root).parts)]


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) >= MIN_DOCSTRING:
                yield text
