"""Help: what a screen is, and its keys."""

from workbench.tui.screens.help.screen import Help

__all__ = ["Help"]
