"""Ratios, measured in one run and printed with their goals; never timed tests.

`python -m tests.benchmarks` runs all; name some to run those: `python -m tests.benchmarks startup forward`.
"""
