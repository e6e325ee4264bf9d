"""Workbench: look inside language models from a terminal, a shell or a notebook.

    from workbench import open_lab

    lab = open_lab()
    lab.predict(prompt="The capital of France is", edits=["L12.N345=0"]).headline

Importing this package is instant: the model libraries are imported by `open_lab`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.api import open_lab as open_lab

__all__ = ["open_lab"]


def __getattr__(name: str) -> Any:
    if name == "open_lab":
        from workbench.api import open_lab

        return open_lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
