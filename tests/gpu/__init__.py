"""A check of the workbench on a GPU: `python -m tests.gpu`, see `__main__.py`."""
