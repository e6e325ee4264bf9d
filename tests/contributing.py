"""The examples of .github/CONTRIBUTING.md, by the file that each is to be."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / ".github" / "CONTRIBUTING.md").read_text()


def examples() -> dict[str, str]:
    """Path → the Python block under it."""
    return dict(re.findall(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE))


def example(path: str) -> str:
    return examples()[path]
