"""Modules that TransformerLens imports at once and that this check never uses, where they are not installed.

`datasets` brings pyarrow and pandas, together larger than everything else. Each stand-in lives as long as the import of
TransformerLens; nothing of it is in the product, which has the real ones.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Unused:
    """In the place of a class."""


NAMES: dict[str, dict[str, dict[str, object]]] = {
    "datasets": {
        "datasets": {"load_dataset": None},
        "datasets.arrow_dataset": {"Dataset": _Unused},
        "datasets.iterable_dataset": {"IterableDataset": _Unused},
        "datasets.load": {"load_dataset": None},
    },
    "pandas": {"pandas": {"DataFrame": _Unused}},
}


def import_transformer_lens() -> list[str]:
    """Imports it; the names of the packages that something stood in for."""
    importlib.import_module("transformers")  # looks for these packages itself, and has to find what is there
    missing = [package for package in NAMES if importlib.util.find_spec(package) is None]
    made = {name: content for package in missing for name, content in NAMES[package].items()}
    for name, content in made.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        module.__dict__.update(content)
        sys.modules[name] = module
    try:
        importlib.import_module("transformer_lens.model_bridge")
    finally:
        for name in made:
            del sys.modules[name]
    return missing
