"""F1 on every screen: every key that works there is listed in plain words, and none that does not."""

from __future__ import annotations

import re

import pytest
from textual.widgets import Input, TextArea

from tests.tui.fakes import until
from tests.tui.scenes import SCENES, shown
from workbench.methods import sections
from workbench.tui import glossary, keys
from workbench.tui.page import Page
from workbench.tui.screens.help.screen import WORDS
from workbench.tui.widgets.frame import key_word
from workbench.tui.widgets.words import Words

LISTED = re.compile(r"^  (\S+(?: \S+)*?)  +(\S.*?)(?:  +(\S+))? *$")


def listed(app) -> list[tuple[list[str], str]]:
    """Keys and meaning of every line of the help that names keys."""
    words = app.screen.query_one("#text", Words)
    said = str(words.content).partition(f"\n{WORDS}\n")[0]
    found = [LISTED.match(line) for line in said.splitlines()]
    return [(match[1].split(), match[2]) for match in found if match]


def works(page: Page) -> set[tuple[str, str]]:
    """Each key that does something where the focus is, as the help names it, with what it does."""
    found = set()
    for key, active in page.active_bindings.items():
        if key.startswith("super+"):  # no terminal sends those
            continue
        binding = active.binding
        does = binding.tooltip or binding.description[:1].lower() + binding.description[1:]
        node, action = active.node, binding.action.partition("(")[0]
        assert hasattr(node, f"action_{action}"), f"{type(node).__name__} has no action {action}"
        in_text = isinstance(node, Input | TextArea)
        assert not (in_text and action.startswith(("scroll_", "page_"))), f"{key}: a field has nowhere to scroll to"
        assert does, f"{type(node).__name__}: {key} is described nowhere"
        if active.enabled:
            found.add((key_word(key), does))
    return found


@pytest.mark.parametrize("name", [name for name in SCENES if not name.startswith("help")])
async def test_f1_lists_what_works_here_and_nothing_else(name, terminal):
    async with shown(name, terminal / "sessions", size=(160, 50)) as pilot:
        page, app = pilot.app.screen, pilot.app
        here = works(page)
        await pilot.press("f1")
        await until(pilot, lambda: app.screen.NAME == "Help" and listed(app))
        lines = listed(app)
        missing = {(key, does) for key, does in here if not any(key in line[0] and does == line[1] for line in lines)}
        assert not missing, f"not in the help: {sorted(missing)}"
        await pilot.press("escape")
        assert app.screen is page
        anywhere = set(here)
        for place in page.focus_chain:
            page.set_focus(place)
            anywhere |= works(page)
        wrong = [(key, does) for taken, does in lines for key in taken if (key, does) not in anywhere]
        assert not wrong, f"in the help, and no such key: {wrong}"


async def test_keys_of_their_own_are_listed_on_neurons_and_basket(terminal):
    for name, own in (("neurons", "multiply its activation on your text"), ("basket", "take this unit out of its set")):
        async with shown(name, terminal / "sessions", size=(160, 50)) as pilot:
            await pilot.press("f1")
            await until(pilot, lambda: pilot.app.screen.NAME == "Help")
            assert own in [does for _, does in listed(pilot.app)]
            (terminal / "sessions" / "tour.db").unlink()


async def test_a_key_of_another_name_is_listed_under_it(terminal):
    async with shown("basket", terminal / "sessions", size=(160, 50), keys={"basket.remove": "f12"}) as pilot:
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.NAME == "Help")
        assert (["F12"], "take this unit out of its set") in listed(pilot.app)


async def test_letters_of_a_field_are_not_listed_as_its_keys_and_the_way_out_is_named(terminal):
    async with shown("palette", terminal / "sessions", size=(160, 50)) as pilot:
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.NAME == "Help")
        assert "Esc leaves it, then letters are keys" in str(pilot.app.screen.query_one("#text", Words).content)


def test_every_binding_of_ours_has_a_name_for_the_settings():
    names = set(keys.names())
    groups = [value for value in vars(keys).values() if isinstance(value, list)]
    assert {binding.id for group in groups for binding in group} == names


async def test_at_80_cells_no_meaning_is_cut(terminal):
    async with shown("home", terminal / "sessions", size=(80, 24)) as pilot:
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.NAME == "Help")
        said = str(pilot.app.screen.query_one("#text", Words).content)
        assert "…" not in said.partition(f"\n{WORDS}\n")[0]
        assert "another title for the session under the" in said and "cursor, or the one in use" in said
        assert "Enter Ctrl+J" in said, "in the order they are declared in"


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("f6", "Neurons"),
        ("f7", "Why"),
        ("f8", "Directions"),
        ("f9", "Probes"),
        ("f10", "SAEs"),
        ("f3", "Edits"),
        ("f4", "Timeline"),
    ],
)
async def test_keys_that_lead_elsewhere_do_so_also_from_inside_the_prompt(key, wanted, terminal):
    async with shown("prompt, nothing asked", terminal / "sessions") as pilot:
        assert pilot.app.screen.typing
        await pilot.press(key)
        await until(pilot, lambda: wanted == pilot.app.screen.NAME)


async def test_help_leads_to_the_definitions_of_the_numbers(terminal):
    async with shown("help", terminal / "sessions") as pilot:
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.screen.NAME == "Methods")
        text = str(pilot.app.screen.query_one("#text", Words).content)
        assert all(f"\n{each.name}\n{each.paragraphs[0]}" in text for each in sections())
        await pilot.press("escape")
        assert pilot.app.screen.NAME == "Help"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("neurons", ["VR", "share of variance that the best feature explains", "Neuron statistics"]),
        ("prompt", ["KL", "0 is no change", "Controls"]),
        ("why", ["estimate", "activation × gradient", "Nanda, Attribution patching"]),
        ("SAEs, none", ["ε-Σ", "in directions in which activations vary", "SAE errors"]),
    ],
)
async def test_what_a_word_on_the_screen_means_is_one_key_away(name, words, terminal):
    async with shown(name, terminal / "sessions", size=(160, 50)) as pilot:
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.NAME == "Help" and listed(pilot.app))
        said = str(pilot.app.screen.query_one("#text", Words).content).partition(f"\n{WORDS}\n")[2]
        assert all(word in said for word in words)


async def test_every_column_that_is_shown_is_explained(terminal):
    async with shown("neurons", terminal / "sessions", size=(160, 50)) as pilot:
        titles = [column.title for column in pilot.app.screen.listing.row.shown]
        assert "highest at" in titles
        explained = dict(pilot.app.screen.glossary().words)
        assert all(explained[title] for title in titles)


def test_every_section_that_a_screen_names_is_there():
    names = {each.name for each in sections()}
    screens = (glossary.PROMPT, glossary.WHY, glossary.DIRECTIONS, glossary.PROBES, glossary.SAES)
    assert {name for each in (*screens, glossary.of_neurons({}, ())) for name in each.sections} <= names
