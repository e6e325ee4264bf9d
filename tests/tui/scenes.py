"""Every screen with something on it, each reached by keys: for tests that go over all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from textual.pilot import Pilot

from tests.tui import directions, probes
from tests.tui.directions import DirectionsClient
from tests.tui.fakes import FakeClient, make_session, screen, split, until, workbench
from tests.tui.neurons import NeuronClient, make_index
from tests.tui.why import WhyClient, session
from workbench.edits import Entry, SetTo
from workbench.session.writer import SessionWriter
from workbench.tui.app import WorkbenchApp

Reach = Callable[[Pilot[Any]], Awaitable[None]]


class Scene(NamedTuple):
    """`client` and `session` make the app; `reach` leads to the screen and ends when all is drawn."""

    reach: Reach
    client: Callable[[], FakeClient]
    session: Callable[[Path], Path | None]


SCENES: dict[str, Scene] = {}


class EveryClient(NeuronClient, WhyClient):
    """Answers whatever a screen asks."""


def plain() -> FakeClient:
    client = FakeClient()
    client.tokens = split
    return client


def with_index() -> FakeClient:
    client = EveryClient(make_index())
    client.tokens = split
    return client


def no_index() -> FakeClient:
    return EveryClient(make_index(data=False))


def tour(folder: Path) -> Path:
    """Six steps, a saved stack, pins in two sets, a note on one of them."""
    path = make_session(folder / "tour.db")
    with SessionWriter(path) as writer:
        writer.keep_stack("months", [Entry(SetTo("L24.N88", 0.0)), Entry(SetTo("L17.N1203", 0.0), on=False)])
        for unit, name in (("L0.N1", ""), ("L5.H3", ""), ("L0.N2", "months")):
            writer.pin(unit, name, False)
        writer.note("L0.N1: fires on months")
    return path


def asked_why(folder: Path) -> Path:
    return session(folder / "why.db", trial=True)


def nothing(folder: Path) -> None:
    return None


def scene(
    name: str, client: Callable[[], FakeClient] = plain, session: Callable[[Path], Path | None] = tour
) -> Callable[[Reach], Reach]:
    def put(reach: Reach) -> Reach:
        SCENES[name] = Scene(reach, client, session)
        return reach

    return put


@contextlib.asynccontextmanager
async def shown(
    name: str, folder: Path, size: tuple[int, int] = (120, 40), **settings: Any
) -> AsyncIterator[Pilot[Any]]:
    """The screen of this name, with all that is on it; its session lies in `folder`."""
    wanted = SCENES[name]
    app: WorkbenchApp = workbench(wanted.client(), wanted.session(folder), **settings)
    async with app.run_test(size=size) as pilot:
        await sees(pilot, "model ready")
        await wanted.reach(pilot)
        await quiet(pilot)
        yield pilot


async def sees(pilot: Pilot[Any], *words: str) -> None:
    await until(pilot, lambda: all(word in screen(pilot.app) for word in words), f"{words}")


async def quiet(pilot: Pilot[Any]) -> None:
    """Nothing is drawn any more: three looks in a row see the same, and every drawing is the newest."""
    from workbench.tui.widgets.view_panel import ViewPanel

    before, same = "", 0
    while same < 3:
        await pilot.pause(0.03)
        now = screen(pilot.app)
        drawn = all(panel.drawn for panel in pilot.app.screen.query(ViewPanel) if panel.size.width and panel.visible)
        same = same + 1 if now == before and drawn else 0
        before = now


async def words(pilot: Pilot[Any], text: str) -> None:
    await pilot.press(*({" ": "space"}.get(one, one) for one in text))


# --- Home ---


@scene("home")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press("escape", "j")


@scene("home, nothing yet", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "none yet")


@scene("home, filling in")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press(*"comes", "tab")


@scene("home, on a session")
async def _(pilot: Pilot[Any]) -> None:
    await sees(pilot, "6 steps")
    await pilot.press("escape", "G", "j")
    pilot.app.screen.say("it could not be had", bad=True)


# --- Prompt ---


@scene("prompt, nothing asked")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("escape", "p")
    await sees(pilot, "Enter runs predict")
    await words(pilot, "The capital of")
    await sees(pilot, "3 tokens")


@scene("prompt")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("enter")
    await sees(pilot, "done in", "what next")
    pilot.app.screen.show_step(3)
    await sees(pilot, "★ expected", "L24.N88=0")


@scene("prompt, tokens and numbers")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("enter")
    await sees(pilot, "done in", "what next")
    pilot.app.screen.show_step(2)
    await sees(pilot, "under L24.N88=0")
    await pilot.press("j", "enter", "j", "enter")


@scene("prompt, an error")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("escape", "p")
    await sees(pilot, "Enter runs predict")
    await words(pilot, "text")
    await pilot.press("tab", "tab", "tab", "tab", *"many", "enter")
    await sees(pilot, "! ")


@scene("prompt, waiting")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.link._client.hold = True  # type: ignore[attr-defined]
    await pilot.press("enter")
    await sees(pilot, "queued")


# --- Neurons ---


@scene("neurons", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("j", "space", "j", "0")
    await sees(pilot, "1 marked", "KL")


@scene("neurons, the card", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("tab")


@scene("neurons, filtering", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "layer 1 kur")


@scene("neurons, a wrong filter", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "kurtosys>5")
    await pilot.press("enter")
    await sees(pilot, "did you mean")


@scene("neurons, none passes", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("slash")
    await words(pilot, "layer 1 kurtosis>1e9")
    await pilot.press("enter")
    await sees(pilot, "No neuron passes")


@scene("neurons, columns", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons")
    await pilot.press("c")
    await sees(pilot, "✓")


@scene("neurons, two compared", with_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "120 neurons", "top examples")
    await pilot.press("space", "space", "v")
    await until(pilot, lambda: pilot.app.screen.pane.compared)


@scene("neurons, weights alone", no_index)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "weights alone")


@scene("neurons, no index")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f6")
    await sees(pilot, "There is no index")


# --- Why ---


@scene("why", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")


@scene("why, switched off", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("0")
    await sees(pilot, "off: ")


@scene("why, where in the stream", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("tab", "tab")


@scene("why, nothing asked", EveryClient, nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "Enter asks", "passes of")


@scene("why, a foil", EveryClient, asked_why)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f7")
    await sees(pilot, "three neurons off", "L24.N1005")
    await pilot.press("c")


# --- Directions ---


def steered(folder: Path) -> Path:
    return directions.session(folder / "steering.db")


@scene("directions", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "' weapon' +4.1", "▸ +6")


@scene("directions, in the dial", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "▸ +6")
    await pilot.press("tab", "tab")


@scene("directions, a new name", DirectionsClient, steered)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "▌ @harmful", "▸ +6")
    await pilot.press("r")


@scene("directions, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f8")
    await sees(pilot, "No directions yet")


# --- Probes ---


def probing(folder: Path) -> Path:
    return probes.session(folder / "probing.db")


@scene("probes", plain, probing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "▌ 2    dense-probe", "tells 'a place'")


@scene("probes, layer × k", plain, probing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "▌ 2    dense-probe", "tells 'a place'")
    await pilot.press("tab", "down")
    await sees(pilot, "▌ 1    sparse-probe", "Layer × k")
    await pilot.press("tab")


@scene("probes, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f9")
    await sees(pilot, "no probe of this set yet")


# --- SAEs ---


@scene("SAEs, none", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f10")
    await sees(pilot, "No SAEs yet")


# --- Timeline and Compare ---


@scene("timeline")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:", "cancelled")
    await pilot.press("g", "j", "j")
    await sees(pilot, "★ expected: late")


@scene("timeline, a failure and a filter")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:", "cancelled")
    await pilot.press("slash", *"layer")
    await sees(pilot, "of 6 steps")


@scene("timeline, no step", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "No step yet")


@scene("compare")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:")
    await pilot.press("g", "j", "d", "d")
    await until(pilot, lambda: pilot.app.screen.NAME == "Compare")
    await sees(pilot, "Next token", "edits")


# --- Edits and Basket ---


@scene("edits")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    for edit in ("L24.N88=0", 'L5.H3<"other prompt"'):
        await words(pilot, edit)
        await pilot.press("enter")
    await pilot.press("escape", "space")
    await sees(pilot, "1 of 2 on")


@scene("edits, saved ones")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await pilot.press("escape", "o")


@scene("edits, a wrong one")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await words(pilot, "L24.N88==")
    await pilot.press("enter")
    await sees(pilot, "is expected here")


@scene("edits, saving")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f3")
    await sees(pilot, "months")
    await words(pilot, "L24.N88=0")
    await pilot.press("enter", "escape", "s")
    await sees(pilot, "save the stack as")


@scene("basket")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("basket")
    await sees(pilot, "L5.H3", "fires on months")


@scene("basket, empty", session=nothing)
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("basket")
    await sees(pilot, "Nothing is pinned")


# --- Palette, Help, Save ---


@scene("palette")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f2")
    await sees(pilot, "questions and sessions")


@scene("help")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f1")
    await sees(pilot, "home.ask")


@scene("methods")
async def _(pilot: Pilot[Any]) -> None:
    pilot.app.show("methods")
    await sees(pilot, "divergence from the clean")


@scene("save")
async def _(pilot: Pilot[Any]) -> None:
    await pilot.press("f4")
    await sees(pilot, "failed:")
    await pilot.press("g", "x")
    await sees(pilot, "what is saved")
