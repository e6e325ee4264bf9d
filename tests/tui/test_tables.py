"""A table in a result: its hidden columns by key, its rows walked, opened and pinned where they name units."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.tui import results
from tests.tui.fakes import INFO, VERSIONS, screen, until, workbench
from tests.tui.neurons import NeuronClient, lines_with, make_index
from workbench.session.writer import SessionWriter
from workbench.tui.widgets.table_panel import TablePanel
from workbench.worker.protocol import Pin

ROWS = [
    {
        "unit": f"L{at % 3}.N{at}",
        "unusual": 9.5 - at,
        "token": " Paris",
        "value": 3.25 - at,
        "corpus_min": -1.5,
        "corpus_max": 2.5,
        "sd_beyond": 1.75,
        "feature": "is the name of a month",
    }
    for at in range(30)
]


@contextlib.asynccontextmanager
async def unusual(folder: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Pilot[Any], NeuronClient]]:
    """The Timeline on a step whose main view is a table of neurons; the keys go to its result."""
    path = folder / "sessions" / "unusual.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("unusual", {"prompt": "The capital of France is"})
        writer.start(step, INFO, VERSIONS)
        writer.publish(step, views={"ranking": results.table("unusual", "ranking", ROWS)})
        writer.finish(step, "done")
    app = workbench(client := NeuronClient(make_index()), path)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "model ready" in screen(app))
        await pilot.press("f4")
        await until(pilot, lambda: "L0.N0" in screen(app))
        await pilot.press("tab")
        await until(pilot, lambda: app.screen.result.has_focus)
        yield pilot, client


async def test_keys_turn_to_the_hidden_columns_and_back(terminal):
    async with unusual(terminal, (56, 50)) as (pilot, _):
        app = pilot.app
        await until(
            pilot, lambda: "hidden, too narrow: sd beyond, best feature (> shows them)" in " ".join(screen(app).split())
        )
        await until(pilot, lambda: "2 columns hidden, >" in screen(app))
        assert "month" not in screen(app)
        assert (">", "columns") in app.screen.keys_now()
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: "month" in screen(app))
        assert lines_with(app, "L1.N1 "), "the naming column stays"
        await until(pilot, lambda: "(< shows them)" in " ".join(screen(app).split()))
        for _ in range(9):
            await pilot.press("greater_than_sign")
        await until(pilot, lambda: "< shows the rows" in screen(app))
        assert "share of corpus tokens" in " ".join(screen(app).split()), "what the columns mean comes last"
        assert not lines_with(app, "L1.N1 ")
        for _ in range(9):
            await pilot.press("less_than_sign")
        await until(pilot, lambda: "(> shows them)" in " ".join(screen(app).split()))


async def test_rows_are_walked_pinned_and_opened(terminal):
    async with unusual(terminal) as (pilot, client):
        app = pilot.app
        await pilot.press("enter")
        await until(pilot, lambda: "L0.N0: row 1 of 30" in screen(app))
        assert lines_with(app, "▌ L0.N0")
        await pilot.press("j", "j", "k")
        await until(pilot, lambda: lines_with(app, "▌ L1.N1 "))
        await pilot.press("p")
        await until(pilot, lambda: "L1.N1 added to basket" in screen(app))
        await pilot.press("p")
        await until(pilot, lambda: "L1.N1 removed from basket" in screen(app))
        assert [(pin.unit, pin.remove) for pin in client.asked(Pin)] == [("L1.N1", False), ("L1.N1", True)]
        await pilot.press("G")
        await until(pilot, lambda: lines_with(app, "▌ L2.N29"), "the cursor is scrolled into sight")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen.result.has_focus)
        assert not lines_with(app, "▌ L2.N29")
        await pilot.press("enter")
        await until(pilot, lambda: lines_with(app, "▌ L2.N29"), "the place is kept")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.NAME == "Neurons")
        await until(pilot, lambda: app.screen.listing.count and app.screen.listing.neuron == 2 * 40 + 29)


async def test_a_table_without_units_folds_with_enter(terminal):
    async with unusual(terminal) as (pilot, _):
        panel = pilot.app.screen.query_one(TablePanel)
        assert panel.can_enter
        panel.show(results.view("predict", "next"))
        await until(pilot, lambda: panel.drawn)
        assert not panel.can_enter
        await pilot.press("enter")
        await until(pilot, lambda: not panel.is_on_screen)


async def test_only_the_lines_of_the_cursor_are_drawn_again(terminal, monkeypatch):
    async with unusual(terminal) as (pilot, _):
        await pilot.press("enter")
        await until(pilot, lambda: "L0.N0: row 1 of 30" in screen(pilot.app))
        panel = pilot.app.screen.query_one(TablePanel)
        drawn: list[int] = []
        plain = TablePanel.render_line
        monkeypatch.setattr(TablePanel, "render_line", lambda self, y: drawn.append(y) or plain(self, y))
        await pilot.press("j")
        await until(pilot, lambda: "L1.N1: row 2 of 30" in screen(pilot.app))
        line = panel.cursor_line
        assert set(drawn) == {line - 1, line}
