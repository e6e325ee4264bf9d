"""Another title for a session, asked for on whatever screen one is; the file keeps its path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import UserError
from workbench.text import safe

if TYPE_CHECKING:
    from workbench.tui.page import Page

LONGEST = 100
"""characters of a title"""


async def rename_session(page: Page, path: str, title: str) -> None:
    """Asks for the title of the session at `path`, which is `title` so far."""
    from workbench.tui.widgets.ask import Ask, InputRequest

    def done(typed: str) -> None:
        new_title = " ".join(typed.split())
        if not 0 < len(new_title) <= LONGEST:
            raise UserError(f"a title is 1 to {LONGEST} characters long")
        page.run_worker(_send(page, path, new_title), group="rename")

    asks = list(page.query(Ask))
    if not asks:
        asks = [Ask()]
        await page.mount(asks[0])
    asks[0].ask(InputRequest("title of the session", done, title, "a few words", select=True))


async def _send(page: Page, path: str, title: str) -> None:
    from workbench.worker.protocol import Rename

    try:
        await page.workbench.request(Rename(session=path, title=title))
    except UserError as error:
        page.say(str(error), bad=True)
        return
    page.say(f"the session is called {safe(title)} now; its file is where it was")
    page.workbench.feed.hint()
    page.session_changed()
