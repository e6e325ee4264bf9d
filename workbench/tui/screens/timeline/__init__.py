"""Timeline: the steps of a session, as a tree, and as they happened."""

from workbench.tui.screens.timeline.screen import Timeline

__all__ = ["Timeline"]
