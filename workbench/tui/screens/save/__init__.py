"""Save: a view or the screen, to a file."""

from workbench.tui.screens.save.screen import Save

__all__ = ["Save"]
