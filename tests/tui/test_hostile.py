"""Whatever a session file, a prompt or a model says, the terminal gets it as text."""

import numpy as np
import pytest

from tests.tui.fakes import INFO, FakeClient, replay, screen, until, workbench
from workbench.report import NextStep
from workbench.session.writer import SessionWriter
from workbench.tui.widgets.field import pictured
from workbench.views import Column, Lines, Series, Table, Text, TokenRow, Tokens

NASTY = "[bold red]x[/] \x1b[31m \x1b]0;title\x07 \u202eevil \x00 \x9b2J 日本語 e\u0301\u0301 👩\u200d🔬 $TERM"


@pytest.fixture
def nasty(terminal):
    path = terminal / "sessions" / "nasty.db"
    with SessionWriter(path) as writer:
        writer.rename(NASTY)
        step = writer.add_step("predict", {"prompt": NASTY}, expected=NASTY, command=NASTY)
        writer.start(step, INFO, {"torch": NASTY})
        views = {
            "table": Table(title=NASTY, note=NASTY, columns=[Column(name=NASTY, kind="token")], rows=[[NASTY]]),
            "text": Text(title=NASTY, text=NASTY + "\n" + NASTY),
            "tokens": Tokens(
                title=NASTY, tokens=[NASTY, "a"], rows=[TokenRow(name=NASTY, values=np.array([1.0, 2.0]))],
                value_label=NASTY, low_label=NASTY, high_label=NASTY,
            ),
            "lines": Lines(
                title=NASTY, x=np.arange(3), series=[Series(name=NASTY, y=np.arange(3.0))], x_label=NASTY, y_label=NASTY
            ),
        }  # fmt: skip
        steps = [NextStep(label=NASTY, experiment=NASTY, params={"prompt": NASTY})]
        writer.publish(step, headline=NASTY, remarks=[NASTY], next_steps=steps, views=views)
        writer.finish(step, "failed", error=NASTY)
        writer.note(NASTY, step)
    return path


def harmless(app) -> bool:
    shown = screen(app).replace("\n", "")
    return not any(ord(character) < 0x20 or character in "\x7f\x9b\u202e" for character in shown)


async def test_a_crafted_session_is_shown_escaped(nasty):
    app = replay(nasty)
    async with app.run_test(size=(160, 60)) as pilot:
        await until(pilot, lambda: app.screen.lines.settled and app.screen.result.settled and app.screen.lines.count)
        await until(pilot, lambda: "[bold red]x[/]" in screen(app))  # never read as markup
        await pilot.press("enter", "j", "space", "j", "space", "j", "space")
        await until(pilot, lambda: app.screen.result.settled)
        assert "\\x1b[31m" in screen(app)
        assert harmless(app)


async def test_home_lists_a_crafted_title(nasty):
    app = workbench(FakeClient())
    async with app.run_test(size=(160, 40)) as pilot:
        await until(pilot, lambda: "1 step" in screen(app))
        assert harmless(app)


async def test_a_prompt_of_anything_is_kept_and_drawn_as_pictures():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        app.screen.area.set_text(NASTY)
        await until(pilot, lambda: "␛[31m" in screen(app))
        assert harmless(app)
        await pilot.press("enter")
        await until(pilot, lambda: "holds a NUL" in screen(app))
        text = NASTY.replace("\0", "")
        app.screen.area.set_text(text)
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == text
        await until(pilot, lambda: "done in" in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen.NAME == "Workbench")
        assert harmless(app)


@pytest.mark.parametrize("prompt", ["", "👩\u200d🔬" * 200, "שלום עולם", "a" * 20_000, "\n" * 50])
async def test_prompts_of_every_kind_can_be_asked(prompt):
    app = workbench(client := FakeClient())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        app.screen.area.set_text(prompt)
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == prompt
        assert len(screen(app).splitlines()) <= 24


async def test_a_damaged_session_is_a_sentence_in_its_line_and_when_opened(terminal):
    (terminal / "sessions" / "broken.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 2000)
    (terminal / "sessions" / "text.db").write_text("no database")
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "text.db" in screen(app))
        await pilot.press("escape", "G", "j", "enter")
        await until(pilot, lambda: "! " in screen(app))
        assert app.screen.NAME == "Workbench"


@pytest.mark.parametrize("text", ["plain", "\x1b[31m", "a\nb", "\u202e", "\x00\x7f", "e\u0301", "日本"])
def test_pictures_keep_the_number_of_characters(text):
    assert len(pictured(text)) == len(text)
    assert "\x1b" not in pictured(text)
