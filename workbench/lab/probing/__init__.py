"""Probes: which units carry a label, and how well. Mathematics over activations [example, unit], METHODS, "Sparse
probes".
"""
