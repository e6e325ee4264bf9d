"""What scenes are made of: clients and sessions of the app, and how one is reached and shown."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from textual.pilot import Pilot

from tests.index.synthetic_features import make_features, registered
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


def with_features() -> FakeClient:
    index = make_index()
    make_features(index, registered())
    client = EveryClient(index)
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
        pilot.app.page_now.refresh_frame()  # which would otherwise wait for its clock
        await pilot.pause()
        now = screen(pilot.app)
        drawn = all(panel.drawn for panel in pilot.app.screen.query(ViewPanel) if panel.size.width and panel.visible)
        same = same + 1 if now == before and drawn else 0
        before = now


async def words(pilot: Pilot[Any], text: str) -> None:
    await pilot.press(*({" ": "space"}.get(one, one) for one in text))
