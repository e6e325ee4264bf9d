"""Labelled sets: texts with labels on their characters, aligned to a tokenizer's tokens. Numpy only, no model."""
