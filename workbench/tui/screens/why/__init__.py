"""Why: from an answer to the units that make it, switched off, beside matched random ones."""

from workbench.tui.screens.why.screen import Why

__all__ = ["Why"]
