"""The screens as pictures: a change of look is seen in a review. `pytest tests/tui --snapshot-update` takes them anew.

Everything that differs from machine to machine or from day to day stands still here: times, durations, versions.
"""

import contextlib
import sqlite3

import pytest

from tests.tui import directions, saes
from tests.tui.fakes import FakeClient, screen, split, until, workbench
from tests.tui.scenes import SCENES
from tests.tui.staging import quiet, sees, with_features
from workbench.edits import Entry, SetTo
from workbench.session.writer import SessionWriter
from workbench.tui.screens.home import session_list

SIZE = (100, 30)


@pytest.fixture
def still(tour, monkeypatch):
    """The recorded session, at a time that does not pass."""
    with SessionWriter(tour) as writer:
        writer.keep_stack("months", [Entry(SetTo("L24.N88", 0.0)), Entry(SetTo("L17.N1203", 0.0), on=False)])
    stop_the_clock(tour)
    monkeypatch.setattr(session_list, "ago", lambda then: "yesterday")
    return tour


def stop_the_clock(session):
    with contextlib.closing(sqlite3.connect(session)) as connection, connection:
        connection.execute("UPDATE step SET created = 1e9, started = 1e9 + 1, finished = 1e9 + 1.2")


def app_on(session):
    client = FakeClient()
    client.tokens = split
    return workbench(client, session)


async def home(pilot):
    await until(pilot, lambda: "6 steps" in screen(pilot.app) and "model ready" in screen(pilot.app))


def test_home(snap_compare, still):
    assert snap_compare(app_on(still), run_before=home, terminal_size=SIZE)


def test_home_in_a_small_terminal(snap_compare, still):
    assert snap_compare(app_on(still), run_before=home, terminal_size=(80, 24))


def test_prompt(snap_compare, still):
    async def shown(pilot):
        await home(pilot)
        await pilot.press("escape", "p")
        await until(pilot, lambda: pilot.app.screen.NAME == "Prompt" and "Enter runs predict" in screen(pilot.app))
        pilot.app.screen.area.set_text("The capital of France is")
        pilot.app.screen.show_step(2)
        await until(pilot, lambda: "under L24.N88=0" in screen(pilot.app) and pilot.app.screen.result.settled)
        await until(pilot, lambda: "The· capital· of· France· is" in screen(pilot.app))

    assert snap_compare(app_on(still), run_before=shown, terminal_size=(120, 40))


def test_timeline(snap_compare, still):
    async def shown(pilot):
        await home(pilot)
        await pilot.press("f4")
        await until(pilot, lambda: pilot.app.screen.NAME == "Timeline" and pilot.app.screen.lines.count == 6)
        await pilot.press("g", "down", "down")
        await until(pilot, lambda: pilot.app.screen.result.step == 3 and pilot.app.screen.result.settled)

    assert snap_compare(app_on(still), run_before=shown, terminal_size=SIZE)


def test_edits(snap_compare, still):
    async def shown(pilot):
        await home(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.NAME == "Edits" and pilot.app.screen.saved)
        for edit in ("L24.N88=0", 'L5.H3<"other prompt"'):
            pilot.app.edits.add(edit, pilot.app.model_info)
        pilot.app.edits.toggle(0)
        pilot.app.screen.on_screen_resume()
        await until(pilot, lambda: "1 of 2 on" in screen(pilot.app))

    assert snap_compare(app_on(still), run_before=shown, terminal_size=SIZE)


def test_help(snap_compare, still):
    async def shown(pilot):
        await home(pilot)
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.NAME == "Keys" or "keys" in screen(pilot.app))

    assert snap_compare(app_on(still), run_before=shown, terminal_size=SIZE)


def test_features_of_an_sae(snap_compare, terminal):
    async def shown(pilot):
        await until(pilot, lambda: "model ready" in screen(pilot.app))
        await pilot.press("f6")
        await until(pilot, lambda: "120 neurons" in screen(pilot.app))
        await pilot.press("f")
        await until(pilot, lambda: "90 features" in screen(pilot.app))
        await pilot.press("j", "j")
        await until(pilot, lambda: "in its SAE" in screen(pilot.app) and "▲ here" in screen(pilot.app))
        await quiet(pilot)

    assert snap_compare(workbench(with_features()), run_before=shown, terminal_size=(120, 40))


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_directions(snap_compare, terminal, size):
    path = directions.session(terminal / "sessions" / "steering.db")

    async def shown(pilot):
        await until(pilot, lambda: "model ready" in screen(pilot.app))
        await pilot.press("f8")
        await until(pilot, lambda: "▸ +6" in screen(pilot.app) and "' weapon' +4.1" in screen(pilot.app))
        await quiet(pilot)

    assert snap_compare(workbench(directions.DirectionsClient(), path), run_before=shown, terminal_size=size)


async def saes_shown(pilot):
    await until(pilot, lambda: "model ready" in screen(pilot.app))
    await pilot.press("escape", "f10")
    await until(pilot, lambda: pilot.app.screen.NAME == "SAEs" and pilot.app.screen.state.read_once)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_saes(snap_compare, terminal, size):
    """Which features of one fire on a text."""
    stop_the_clock(path := saes.session(terminal / "sessions" / "features.db"))

    async def shown(pilot):
        await saes_shown(pilot)
        page = pilot.app.screen
        page.saes.move_to(1)
        await until(pilot, lambda: page.state.entry.name == "res-1")
        await until(pilot, lambda: page.result.step == 2 and page.result.settled)

    assert snap_compare(workbench(saes.tiny_client(), path), run_before=shown, terminal_size=size)


def test_saes_of_which_nothing_was_asked(snap_compare, terminal):
    saes.register()

    async def shown(pilot):
        await saes_shown(pilot)
        await until(pilot, lambda: "nothing asked of mlp-0 yet" in screen(pilot.app))

    app = workbench(saes.tiny_client(), terminal / "sessions" / "empty.db")
    assert snap_compare(app, run_before=shown, terminal_size=SIZE)


FIRST = [
    "home, nothing yet", "prompt, nothing asked", "why, nothing asked", "neurons, no index", "directions, none",
    "probes, none", "timeline, no step", "basket, empty", "edits, nothing typed", "run, nothing asked",
]  # fmt: skip
"""as one meets a screen"""
FILLED = [
    "why", "neurons", "neurons, the card", "neurons, none passes", "probes", "basket", "compare", "palette", "methods",
    "run", "edits, one removed", "palette, nothing matches", "help, words explained", "methods, the end",
    "compare, on numbers",
]  # fmt: skip


@pytest.mark.parametrize("name", [*FIRST, *FILLED])
def test_other_states(snap_compare, terminal, name, monkeypatch):
    """What the tests above have not: each screen as one meets it, and with something on it."""
    monkeypatch.setattr(session_list, "ago", lambda then: "yesterday")
    wanted = SCENES[name]
    session = wanted.session(terminal / "sessions")
    if session is not None:
        stop_the_clock(session)

    async def shown(pilot):
        await sees(pilot, "model ready")
        await wanted.reach(pilot)
        await quiet(pilot)

    size = (80, 24) if name in FIRST else (120, 40)
    assert snap_compare(workbench(wanted.client(), session), run_before=shown, terminal_size=size)
