"""Copying and saving what a screen shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.tui.context import Context
    from workbench.tui.page import Page
    from workbench.tui.widgets.result.snapshot import ShownView


def shown_by(page: Page) -> tuple[str, ShownView | None]:
    """A name for the file, and the view under the cursor of the page's result; the screen's name without one."""
    if named_view := page.view_under_cursor():
        return named_view
    pane = _pane(page)
    if pane is None or pane.snapshot is None:
        return page.NAME.lower(), None
    shown = pane.current()
    stem = f"{page.workbench.session_title}-step{pane.snapshot.record.id}"
    return (f"{stem}-{shown.key}" if shown else stem), shown


def _pane(page: Page) -> Any:
    """The result's pane that the cursor is in, else the first; None on screens without one."""
    panes: list[Any] = list(page.query("ResultPane"))  # by its name: the pane's own keys come through here
    return next((pane for pane in panes if pane.has_focus_within), panes[0] if panes else None)


def copy_command(page: Page) -> None:
    """The shell line of the step that is shown, to the terminal's clipboard and a file; the page says where."""
    from workbench.shell import NO_LINE, shell_line
    from workbench.tui.clipboard import copy

    pane = _pane(page)
    words = page.command_words() or (pane.snapshot.words if pane is not None and pane.snapshot is not None else ())
    line = shell_line(words)
    if not line:
        page.say(NO_LINE if words else "there is no step here whose command could be copied", bad=True)
        return
    try:
        page.say(f"the command: {copy(page.app, line)}")
    except UserError as error:
        page.say(str(error), bad=True)


async def copy_view(page: Page) -> None:
    """The view under the cursor as text, to the terminal's clipboard and a file; the page says where."""
    import asyncio

    from workbench.drawing.export import export_text
    from workbench.tui.clipboard import copy

    _, shown = shown_by(page)
    if shown is None or shown.view is None:
        page.say("there is no view here to copy", bad=True)
        return
    view = shown.view
    text = await asyncio.to_thread(export_text, view, max(60, page.size.width - 6))
    try:
        page.say(f"{shown.title}: {copy(page.app, text)}")
    except UserError as error:
        page.say(str(error), bad=True)


def save_view(app: Context, page: Page) -> None:
    """Asks where to and as what; the picture is of the screen as it is now."""
    stem, shown = shown_by(page)
    svg = page.app.export_screenshot(title=f"Workbench · {page.NAME}")
    app.page("save").offer(shown, stem, svg)
    app.show("save")
