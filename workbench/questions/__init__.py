"""The questions a newcomer can ask: one short file a question, pure data. Home shows them, `workbench` lists them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workbench.questions.question import Blank, Question

__all__ = ["Blank", "Question", "questions"]


@cache
def questions() -> dict[str, Question]:
    """All questions by file name, in the order Home shows them (each file's ORDER)."""
    modules = [
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
        if found.name != "question"
    ]
    modules.sort(key=lambda module: (module.ORDER, module.__name__))
    return {module.__name__.rpartition(".")[2].replace("_", "-"): module.QUESTION for module in modules}
