"""Prompt: one text, one experiment, its answer."""

from workbench.tui.screens.prompt.screen import Prompt

__all__ = ["Prompt"]
