"""The prose of the Python standard library that runs this: a corpus that is always there."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from workbench import paths
from workbench.datasets.pieces import pieces
from workbench.files import cache_bytes

MIN_DOCSTRING = 80
EDITION = "1"
"""of the rules below: raised when they would find other text"""
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "__pycache__"}


def standard_library() -> list[str]:
    """Modules' docstrings, each once, and the language reference's topics; in an order that mixes them.

    A prefix of the corpus should be like the whole, so documents are ordered by the hash of their text. Reading a
    thousand modules takes seconds: the text is kept in the cache, for each Python by itself.
    """
    file = _cache_file()
    try:
        cached = json.loads(file.read_bytes())
    except (OSError, ValueError):
        cached = None
    if isinstance(cached, list) and cached and all(isinstance(text, str) for text in cached):
        return cached
    documents = {piece for text in _texts() for piece in pieces(text)}
    ordered = sorted(documents, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    cache_bytes(file, json.dumps(ordered).encode())
    return ordered


def _cache_file() -> Path:
    name = paths.short_hash(sys.version, sysconfig.get_path("stdlib"), EDITION)
    return paths.cache_dir() / "corpora" / f"stdlib-{name}.json"


def _texts() -> Iterator[str]:
    from pydoc_data import topics

    yield from topics.topics.values()
    root = Path(sysconfig.get_path("stdlib"))
    seen: set[str] = set()
    for path in sorted(root.rglob("*.py")):
        if not _SKIPPED.isdisjoint(path.relative_to(root).parts):
            continue
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


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) >= MIN_DOCSTRING:
                yield text
