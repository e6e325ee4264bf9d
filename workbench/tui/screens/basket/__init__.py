"""The basket: pinned units of any kind, by set."""

from workbench.tui.screens.basket.screen import Basket

__all__ = ["Basket"]
