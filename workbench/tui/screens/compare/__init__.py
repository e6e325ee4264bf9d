"""Compare: two steps side by side."""

from workbench.tui.screens.compare.screen import Compare

__all__ = ["Compare"]
