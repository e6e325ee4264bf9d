"""Methods: how the numbers are defined."""

from workbench.tui.screens.methods.screen import Methods

__all__ = ["Methods"]
