"""Copying and saving: a file each time, its path told, nothing claimed."""

import base64
import csv
import json
import shlex
import threading
from xml.etree import ElementTree

from tests.tui.fakes import FakeClient, next_token, replay, screen, until, workbench
from workbench.paths import data_dir
from workbench.session.writer import SessionWriter
from workbench.shell import shell_line
from workbench.tui.clipboard import LIMIT, sequences
from workbench.tui.keeping import copy_command
from workbench.tui.screens.save import formats


async def at_a_result(pilot):
    await until(pilot, lambda: pilot.app.screen.lines.count)
    await pilot.press("g", "enter")
    await until(pilot, lambda: "step 1 ·" in screen(pilot.app) and pilot.app.screen.result.settled)


async def test_copying_sends_and_keeps_and_says_where(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "clipboard.txt" in screen(app))
        assert "if it takes it" in screen(app)
        assert "' Paris'" in (data_dir() / "clipboard.txt").read_text()


async def test_the_command_of_a_step_is_copied_as_a_shell_reads_it(tour):
    with SessionWriter(tour) as writer:
        words = ["workbench", "run", "predict", "--prompt", "a\nb"]
        step = writer.add_step("predict", {"prompt": "a\nb"}, command=shlex.join(words))
        writer.start(step)
        writer.finish(step, "done")
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.screen.lines.count)
        await pilot.press("G", "enter")
        await until(pilot, lambda: f"$ {shell_line(words)}" in screen(app))
        copy_command(app.screen)
        await until(pilot, lambda: "the command: sent" in screen(app))
        assert (data_dir() / "clipboard.txt").read_text() == "workbench run predict --prompt $'a\\nb'"


def test_tmux_gets_the_sequence_plain_and_wrapped():
    plain, wrapped = sequences("é".encode(), tmux=True)
    assert base64.b64decode(plain.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode() == "é"
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]52")
    assert len(sequences(b"x", tmux=False)) == 1


async def test_what_is_too_long_for_a_terminal_is_in_the_file(tour, monkeypatch):
    from workbench.tui import clipboard

    monkeypatch.setattr(clipboard, "LIMIT", 10)
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "too long for a terminal" in screen(app))
    assert LIMIT < 100_000


async def save(pilot, turns, name):
    await pilot.press("x")
    await until(pilot, lambda: pilot.app.screen.NAME == "Save")
    await pilot.press("shift+tab", *["right"] * turns, "tab", "ctrl+u", *name, "enter")
    await until(pilot, lambda: "saved as" in screen(pilot.app))


async def test_a_view_as_text_csv_json_and_figures_and_the_screen(tour, terminal):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        for turns, name in enumerate(("a.txt", "b.csv", "c.json", "d.svg", "e.svg", "f.svg")):
            await save(pilot, turns, name)
    assert {"a.txt", "b.csv", "c.json", "d.svg", "e.svg", "f.svg"} <= {path.name for path in terminal.iterdir()}
    assert "' Paris'" in (terminal / "a.txt").read_text()
    rows = list(csv.reader((terminal / "b.csv").open()))
    assert rows[0] == [column.name for column in next_token(False).columns]
    assert json.loads((terminal / "c.json").read_text())["kind"] == "table"
    figures = [ElementTree.fromstring((terminal / name).read_text()) for name in ("d.svg", "e.svg")]
    assert [figure.get("width") for figure in figures] == ["486pt", "234pt"], "two columns of a paper, and one"
    assert all("' Paris'" in "".join(figure.itertext()) for figure in figures)
    assert (terminal / "f.svg").read_text().startswith("<svg")


async def test_a_file_that_is_there_is_asked_about_first(tour, terminal):
    (terminal / "a.txt").write_text("mine")
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        await pilot.press("x", "ctrl+u", *"a.txt", "enter")
        await until(pilot, lambda: "is there already" in screen(app))
        assert (terminal / "a.txt").read_text() == "mine"
        await pilot.press("enter")
        await until(pilot, lambda: "saved as" in screen(app))
        assert "Paris" in (terminal / "a.txt").read_text()


async def test_a_figure_that_takes_long_says_so_while_it_is_drawn(tour, terminal, monkeypatch):
    drawn = threading.Event()
    monkeypatch.setitem(formats.WRITERS, "text", lambda view: "words" if drawn.wait(20) else "")
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        await pilot.press("x", "ctrl+u", *"a.txt", "enter")
        await until(pilot, lambda: "drawing a.txt" in screen(app))
        drawn.set()
        await until(pilot, lambda: "saved as" in screen(app))
    assert (terminal / "a.txt").read_text() == "words"


async def test_a_folder_that_can_not_be_written_is_a_sentence(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_a_result(pilot)
        await pilot.press("x", "ctrl+u", *"/proc/nowhere/a.txt", "enter")
        await until(pilot, lambda: "can't be written" in screen(app))
        await pilot.press("escape")
        assert app.screen.NAME == "Timeline"


async def test_home_saves_its_screen():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f2", *"save", "enter")
        await until(pilot, lambda: app.screen.NAME == "Save" and "screen (SVG)" in screen(app))
        await pilot.press("enter")
        await until(pilot, lambda: "saved as" in screen(app))
