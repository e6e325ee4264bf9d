"""What is written of directions: names that a model has by itself, and arithmetic. Pure: no torch, no files."""
