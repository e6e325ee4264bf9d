"""Why: from an answer to the units that make it, switched off, against chance."""

from workbench.tui.screens.why.screen import Why

__all__ = ["Why"]
