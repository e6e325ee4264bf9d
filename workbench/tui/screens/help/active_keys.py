"""Which keys work on a screen: asked of the screen itself, so that the help neither leaves one out nor invents one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textual.screen import Screen
from textual.widget import Widget

from workbench.tui import keys
from workbench.tui.widgets.frame import key_word

if TYPE_CHECKING:
    from textual.binding import ActiveBinding, Binding

    from workbench.tui.page import Page

TYPING = "while typing"
"""the keys that every text field has besides ours"""


class KeyLine(NamedTuple):
    """`/  type words to narrow the list  home.filter`."""

    keys: str
    does: str
    name: str
    """for the settings file; empty for keys that can't be set there"""


class Group(NamedTuple):
    title: str
    lines: list[KeyLine]


def active_keys(page: Page) -> list[Group]:
    """What works on `page` now, in each place that Tab leads to: the screen's own first, then the places', the one
    with the focus before the others, then what works everywhere."""
    # The focus first, also where nothing has it, or something that has just been hidden.
    places = [page.focused, *(place for place in page.focus_chain if place is not page.focused)]
    by_name: dict[str, tuple[Binding, int, list[str]]] = {}
    for place in places:
        for key, active in bindings_at(page, place).items():
            if active.enabled and not key.startswith("super+"):  # no terminal sends those
                binding = active.binding
                name = binding.id or f"{TYPING} {binding.action}"
                pressed = by_name.setdefault(name, (binding, _rank(active, page), []))[2]
                if key not in pressed:
                    pressed.append(key)
    titles = {name: title for title, group in keys.ALL.items() for name in (binding.id or "" for binding in group)}
    order = {name: at for at, name in enumerate(keys.names())}
    groups: dict[str, list[str]] = {}
    for name in sorted(by_name, key=lambda name: by_name[name][1]):
        groups.setdefault(titles.get(name, TYPING), []).append(name)
    typing = groups.pop(TYPING, [])
    shown = [Group(title, _lines(sorted(names, key=order.__getitem__), by_name)) for title, names in groups.items()]
    return [*shown, Group(TYPING, _lines(typing, by_name))] if typing else shown


def bindings_at(page: Page, place: Widget | None) -> dict[str, ActiveBinding]:
    """What each key does while `place` has the focus; a key that a field takes for itself is not among them."""
    before = page.focused
    page.set_reactive(Screen.focused, place)  # set_reactive: no watcher runs, and nothing is drawn
    try:
        return page.active_bindings
    finally:
        page.set_reactive(Screen.focused, before)


def _rank(active: ActiveBinding, page: Page) -> int:
    return 0 if active.node is page else 2 if active.node is page.app else 1


def _lines(names: list[str], by_name: dict[str, tuple[Binding, int, list[str]]]) -> list[KeyLine]:
    declared = {binding.id: binding.key.split(",") for group in keys.ALL.values() for binding in group}
    lines = []
    for name in names:
        binding, _, pressed = by_name[name]
        order = {key: at for at, key in enumerate(declared.get(binding.id, []))}
        pressed.sort(key=lambda key: order.get(key, len(order)))  # in the order of `keys`, not in that of the widgets
        does = binding.tooltip or binding.description[:1].lower() + binding.description[1:]
        lines.append(KeyLine(" ".join(map(key_word, pressed)), does, binding.id or ""))
    return lines
