"""Directions of the stream: what a job has of them by name, and what is computed of them."""
