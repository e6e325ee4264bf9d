"""SAEs: the ones that are registered, how good they are here, and what was found with each."""

from workbench.tui.screens.sae.screen import Sae

__all__ = ["Sae"]
