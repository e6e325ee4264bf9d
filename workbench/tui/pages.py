"""The screens by name; each is imported when it is first shown."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.tui.page import Page


def make_page(name: str) -> Page:
    """The screen of the folder `workbench/tui/screens/NAME`, whose class is called as the folder is."""
    page: Page = getattr(importlib.import_module(f"workbench.tui.screens.{name}"), name.capitalize())()
    return page
