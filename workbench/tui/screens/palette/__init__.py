"""Palette: questions and commands, from anywhere."""

from workbench.tui.screens.palette.screen import Palette

__all__ = ["Palette"]
