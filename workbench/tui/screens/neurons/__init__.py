"""Neurons: all of a model's, in a list that never lags, with a card for the one under the cursor."""

from workbench.tui.screens.neurons.screen import Neurons

__all__ = ["Neurons"]
