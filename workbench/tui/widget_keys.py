"""Keys of the parts that several screens share: lists, tables, results, fields.

Their rules are those of `keys`, which has them by name beside the screens' own.
"""

from __future__ import annotations

from textual.binding import Binding


def key(name: str, keys: str, action: str, label: str, tip: str, show: bool = False, priority: bool = False) -> Binding:
    """A binding with a name for the settings file; `show`: in the footer, `priority`: also inside fields."""
    return Binding(keys, action, label, show=show, priority=priority, tooltip=tip, id=name)


PAGE = [
    key("page.next", "tab", "next_focus(1)", "next", "to the next place on this screen"),
    key("page.previous", "shift+tab", "next_focus(-1)", "", "to the place before"),
    key("result.one", "1", "next_step(1)", "next steps", "take the first next step"),
    key("result.two", "2", "next_step(2)", "", "take the second next step"),
    key("result.three", "3", "next_step(3)", "", "take the third next step"),
]

LIST = [
    key("list.up", "up,k", "move(-1)", "up", "one line up"),
    key("list.down", "down,j", "move(1)", "down", "one line down"),
    key("list.page-up", "pageup,ctrl+u", "page(-1)", "page up", "one page up"),
    key("list.page-down", "pagedown,ctrl+d", "page(1)", "page down", "one page down"),
    key("list.first", "home,g", "edge(-1)", "first", "the first line"),
    key("list.last", "end,G", "edge(1)", "last", "the last line"),
    key("list.open", "enter,l", "open", "open", "open what is under the cursor", show=True),
]

FIELD = [
    key("field.clear", "ctrl+u", "delete_left_all", "clear", "clear the field up to the cursor"),
    key("field.undo", "ctrl+z", "undo_deletion", "undo", "bring back the words that a key deleted in this field"),
]

CHOICE = [
    key("choice.next", "right,space,l", "turn(1)", "next", "the next choice", show=True),
    key("choice.previous", "left,h", "turn(-1)", "", "the choice before"),
]

RESULT = [
    key("result.up", "up,k", "move(-1)", "up", "the view above, or scroll"),
    key("result.down", "down,j", "move(1)", "down", "the view below, or scroll"),
    key("result.page-up", "pageup,ctrl+u", "page(-1)", "page up", "half a page up"),
    key("result.page-down", "pagedown,ctrl+d", "page(1)", "page down", "half a page down"),
    key("result.first", "home,g", "edge(-1)", "first", "to the headline"),
    key("result.last", "end,G", "edge(1)", "last", "to the end"),
    key("result.cells", "enter,right,l", "enter_view", "cells", "into this heat map, or table of units", show=True),
    key("result.leave", "escape", "leave_view", "views", "out of the heat map or table, back to the views", show=True),
    key(
        "result.columns",
        "greater_than_sign",
        "turn_columns(1)",
        "columns",
        "to the table's hidden columns, then to what its columns mean",
        show=True,
    ),
    key("result.columns-back", "less_than_sign", "turn_columns(-1)", "", "back to the table's first columns"),
    key("result.fold", "enter,space", "fold", "fold", "unfold or fold this view", show=True),
    key("result.copy", "y", "copy", "copy", "copy this view: the terminal's clipboard and a file"),
    key("result.save", "x", "save", "save", "save this view (text, CSV, JSON, figure) or the screen", show=True),
]

MAP = [
    key("map.up", "up,k", "down(-1)", "up", "one row up"),
    key("map.down", "down,j", "down(1)", "down", "one row down"),
    key("map.left", "left,h", "across(-1)", "left", "one column to the left"),
    key("map.right", "right,l", "across(1)", "right", "one column to the right"),
    key("map.page-up", "pageup,ctrl+u", "page(-1)", "page up", "half of the rows up"),
    key("map.page-down", "pagedown,ctrl+d", "page(1)", "page down", "half of the rows down"),
    key("map.first", "home,g", "edge(-1)", "first", "the row's first cell"),
    key("map.last", "end,G", "edge(1)", "last", "the row's last cell"),
    key("map.open", "enter", "open", "open", "run what this cell stands for, as the line below says", show=True),
]

TABLE = [
    key("table.up", "up,k", "move(-1)", "up", "one row up"),
    key("table.down", "down,j", "move(1)", "down", "one row down"),
    key("table.page-up", "pageup,ctrl+u", "page(-1)", "page up", "ten rows up"),
    key("table.page-down", "pagedown,ctrl+d", "page(1)", "page down", "ten rows down"),
    key("table.first", "home,g", "edge(-1)", "first", "the first row"),
    key("table.last", "end,G", "edge(1)", "last", "the last row"),
    key("table.open", "enter", "open", "open", "open this row's unit", show=True),
    key("table.pin", "p", "pin", "pin", "into the basket, or out of it: every experiment takes basket:", show=True),
]

ASK = [
    key("ask.complete", "tab", "complete", "complete", "take the way to go on under the cursor", show=True),
    key("ask.up", "up", "choose(-1)", "", "the way to go on above"),
    key("ask.down", "down", "choose(1)", "choose", "the way to go on below", show=True),
]

SCROLL = [
    key("scroll.up", "up,k", "scroll_up", "up", "one line up"),
    key("scroll.down", "down,j", "scroll_down", "down", "one line down"),
    key("scroll.page-up", "pageup,ctrl+u", "page_up", "page up", "one page up"),
    key("scroll.page-down", "pagedown,ctrl+d", "page_down", "page down", "one page down"),
    key("scroll.first", "home,g", "scroll_home", "first", "to the top"),
    key("scroll.last", "end,G", "scroll_end", "last", "to the end"),
]

NEURON_CARD = [
    key("card.up", "up,k", "move(-1)", "up", "one line up"),
    key("card.down", "down,j", "move(1)", "down", "one line down"),
    key("card.page-up", "pageup,ctrl+u", "page(-1)", "page up", "one page up"),
    key("card.page-down", "pagedown,ctrl+d", "page(1)", "page down", "one page down"),
    key("card.first", "home", "edge(-1)", "first", "to the top"),
    key("card.last", "end,G", "edge(1)", "last", "to the end"),
]

PALETTE = [
    key("palette.up", "up", "move(-1)", "up", "the line above, also while typing"),
    key("palette.down", "down", "move(1)", "down", "the line below, also while typing"),
    key("palette.page-up", "pageup", "page(-1)", "page up", "one page up"),
    key("palette.page-down", "pagedown", "page(1)", "page down", "one page down"),
    key("palette.type", "slash,i", "type", "type", "into the field, to narrow the list"),
]
