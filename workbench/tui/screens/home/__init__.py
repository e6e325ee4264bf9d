"""Home: the questions, and the sessions there are."""

from workbench.tui.screens.home.screen import Home

__all__ = ["Home"]
