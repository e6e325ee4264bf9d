"""The screens of the application: one of each name, how keys lead from one to the other, and their theme."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.screen import Screen
from textual.widget import Widget

from workbench.tui.page import Page
from workbench.tui.pages import make_page
from workbench.tui.theme import use_theme

_SCREENS = frozenset({"help", "palette", "edits", "timeline", "neurons", "why", "directions", "probes", "sae"})
"""actions that lead to the screen of their name"""


class Navigation(App[int]):
    """Screens are made when first shown, and kept."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[str, Page] = {}

    def page(self, name: str) -> Any:
        """The screen of this name: one of each, made when first needed, kept from then on."""
        page = self._pages.get(name)
        if page is None:
            page = self._pages[name] = make_page(name)
            self.install_screen(page, name)
        return page

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """None: a page covers the terminal. Textual would draw the page anew for every change of the one below it."""
        return []

    def show(self, name: str) -> Any:
        """Shows this screen; where it is below others in the stack, they are popped."""
        page = self.page(name)
        if page in self.screen_stack:
            while self.screen is not page:
                self.pop_screen()
        else:
            self.push_screen(page)
        return page

    @property
    def page_now(self) -> Page:
        """The screen that is seen."""
        return self.screen  # type: ignore[return-value]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that leads to the screen already shown is not offered."""
        return action not in _SCREENS or not self.screen_stack or self.screen is not self._pages.get(action)

    async def action_back(self) -> None:
        page = self.page_now
        if page.typing:
            if not page.close_ask():
                await page.leave_field()
        elif page.notice_sentence():
            page.say("")
        elif not page.leave() and len(self.screen_stack) > 1:
            self.pop_screen()

    def action_help(self) -> None:
        self.help_on(self.page_now)

    def help_on(self, page: Page) -> None:
        self.page("help").describe(page)
        self.show("help")

    def action_palette(self) -> None:
        self.page("palette").set_caller(self.page_now)
        self.show("palette")

    def action_edits(self) -> None:
        self.show("edits")

    def action_timeline(self) -> None:
        self.show("timeline")

    def action_neurons(self) -> None:
        self.show("neurons")

    def action_why(self) -> None:
        self.show("why")

    def action_directions(self) -> None:
        self.show("directions")

    def action_probes(self) -> None:
        self.show("probes")

    def action_sae(self) -> None:
        self.show("sae")

    def use_setting(self, theme: str) -> None:
        """Sets the theme by its name in the settings."""
        use_theme(self, theme)

    def refresh_css(self, animate: bool = True) -> None:
        """Applies another theme to every page: Textual does not restyle pages outside of the screen stack, and does not
        redraw lines that our widgets render themselves."""
        super().refresh_css(animate=animate)
        for page in self._pages.values():
            if page.is_mounted and page not in self.screen_stack:
                self.stylesheet.update(page, animate=animate)
        for screen in self.screen_stack[-1:]:  # at the start there is none yet
            for widget in screen.walk_children(Widget, with_self=True):
                widget.refresh()
