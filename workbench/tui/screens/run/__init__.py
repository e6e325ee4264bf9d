"""Run: any experiment, from its form to its result."""

from workbench.tui.screens.run.screen import Run

__all__ = ["Run"]
