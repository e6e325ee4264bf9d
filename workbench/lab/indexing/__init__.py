"""Building an index of what every neuron does: the pass over text, the weights part, and rules tried on other text."""
