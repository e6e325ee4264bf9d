"""Directions: those of the session and the data folder, what each is, and what adding it does to your text."""

from workbench.tui.screens.directions.screen import Directions

__all__ = ["Directions"]
