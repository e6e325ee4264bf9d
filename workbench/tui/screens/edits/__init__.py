"""Edits: the stack that is applied to every experiment."""

from workbench.tui.screens.edits.screen import Edits

__all__ = ["Edits"]
