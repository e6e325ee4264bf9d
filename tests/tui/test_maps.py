"""The cursor in heat maps: into one and out of it, from cell to cell, and what Enter on a cell runs."""

import re
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest

from tests.tui.fakes import INFO, PROMPT, VERSIONS, FakeClient, lens, screen, until, workbench
from workbench.session.writer import SessionWriter
from workbench.tui.widgets.map_panel import MapPanel


def session_with(path, view, experiment="logit-lens", key="grid", params=None):
    with SessionWriter(path) as writer:
        step = writer.add_step(experiment, params or {"prompt": PROMPT})
        writer.start(step, INFO, VERSIONS)
        writer.publish(step, headline="a map", views={key: view})
        writer.finish(step, "done")
    return path


@asynccontextmanager
async def opened(path, size=(120, 40)):
    """The step's result alone on the timeline, with its map."""
    client = FakeClient()
    app = workbench(client, path)
    async with app.run_test(size=size) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: app.screen.NAME == "Timeline" and app.screen.lines.count)
        await until(pilot, lambda: app.screen.result.settled and app.screen.result.sections)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.has_class("zoomed") and app.screen.result.settled)
        yield pilot, client, app.screen.result


def panel_of(result) -> MapPanel:
    return result.sections[0].panel


def words(pilot) -> str:
    return re.sub(r"\s+", " ", screen(pilot.app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_enter_goes_into_the_map_arrows_walk_and_escape_leaves_it_at_its_place(tmp_path, size):
    view = lens()
    async with opened(session_with(tmp_path / "s.db", view), size) as (pilot, _, result):
        assert "Enter cells" in words(pilot)
        await pilot.press("enter")
        panel = panel_of(result)
        await until(pilot, lambda: panel.has_focus and result.has_class("in-view"))
        top = np.unravel_index(int(np.argmax(view.values)), view.values.shape)
        assert panel.cell == top, "on the strongest"
        assert "largest of 40" in words(pilot)
        await pilot.press("home", "pagedown", "pagedown", "pagedown")
        assert panel.cell == (0, 0)
        for key, cell in (("up", (1, 0)), ("right", (1, 1)), ("k", (2, 1)), ("l", (2, 2)), ("h", (2, 1)), ("j", (1, 1)),
                          ("left", (1, 0)), ("left", (1, 0)), ("end", (1, 4)), ("pageup", (5, 4))):  # fmt: skip
            await pilot.press(key)
            assert panel.cell == cell, key
            value = view.values[cell]
            await until(pilot, lambda cell=cell: f"L{cell[0]} · {view.column_labels[cell[1]].strip()}:" in words(pilot))
            assert f"{value:.3f}".lstrip("0").rstrip("0") in words(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: result.has_focus and not result.has_class("in-view"))
        assert pilot.app.screen.has_class("zoomed"), "one step back, not two"
        await pilot.press("right")
        await until(pilot, lambda: panel.has_focus)
        assert panel.cell == (5, 4)


async def test_a_click_chooses_the_cell_that_is_drawn_there(tmp_path):
    view = lens()
    async with opened(session_with(tmp_path / "s.db", view)) as (pilot, _, result):
        panel = panel_of(result)
        grid = panel._map.grid
        await pilot.click(panel, offset=(grid.start(3) + 1, grid.top + 2))
        await until(pilot, lambda: panel.has_focus)
        assert panel.cell == (5, 3)

        def marked() -> bool:
            line = screen(pilot.app).split("\n")[panel.region.y + grid.top + 2].ljust(120)
            return line[panel.region.x + grid.start(3)] == "[" and line[panel.region.x + grid.start(4)] == "]"

        await until(pilot, marked)


async def test_enter_runs_what_the_cell_stands_for_under_the_step(tmp_path):
    async with opened(session_with(tmp_path / "s.db", lens())) as (pilot, client, result):
        await pilot.press("enter")
        await until(pilot, lambda: panel_of(result).has_focus)
        await pilot.press("home", "right")
        row = panel_of(result).cell[0]
        await until(pilot, lambda: f"Enter: top tokens after L{row}" in words(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        asked = client.submitted[-1]
        assert (asked.experiment, asked.parent) == ("logit-lens", 1)
        assert (asked.params["layer"], asked.params["position"]) == (f"L{row}", -4)


async def test_columns_that_do_not_fit_come_with_the_cursor(tmp_path):
    values = np.random.default_rng(0).random((6, 300))
    values[2, 290] = 7
    view = msgspec.structs.replace(
        lens(), values=values, texts=None, row_labels=[f"L{at}" for at in range(6)],
        column_labels=[f"c{at}" for at in range(300)],
    )  # fmt: skip
    async with opened(session_with(tmp_path / "s.db", view)) as (pilot, _, result):
        panel = panel_of(result)
        await pilot.press("enter", "home")
        await until(pilot, lambda: panel.drawn and 0 in panel._map.grid.columns)
        assert panel.cell == (2, 0)
        assert "the last" in words(pilot)
        first = panel._map.grid
        await pilot.press(*["right"] * 5)
        assert panel._map.grid is first, "nothing is drawn anew for a cursor that stays inside"
        await pilot.press("end")
        await until(pilot, lambda: panel.drawn and 299 in panel._map.grid.columns)


async def test_a_map_that_grows_keeps_the_cursor(tmp_path):
    path = session_with(tmp_path / "s.db", lens())
    async with opened(path) as (pilot, _, result):
        await pilot.press("enter", "home", "right", "right")
        cell = panel_of(result).cell
        await until(pilot, lambda: result.settled)
        await result._build((*result.snapshot.views, msgspec.structs.replace(result.snapshot.views[0], key="more")))
        await until(pilot, lambda: len(result.sections) > 1 and panel_of(result).has_focus)
        assert panel_of(result).cell == cell


async def test_space_folds_a_map_that_is_entered(tmp_path):
    async with opened(session_with(tmp_path / "s.db", lens())) as (pilot, _, result):
        await pilot.press("enter")
        await until(pilot, lambda: panel_of(result).has_focus)
        await pilot.press("space")
        await until(pilot, lambda: result.has_focus and result.sections[0].folded)
        await pilot.press("enter")
        await until(pilot, lambda: panel_of(result).has_focus and not result.sections[0].folded)
