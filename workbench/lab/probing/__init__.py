"""Probes: activations at the positions that a labelled set reads, and what can be read from them."""
