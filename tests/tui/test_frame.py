"""The frame: help, palette, keys from the settings, resizing, few colours, ASCII, nothing that blinks."""

import re

import pytest
from textual.widgets import Input, TextArea

from tests.tui.fakes import LOADING, READY, FakeClient, replay, screen, until, workbench
from workbench.errors import UserError
from workbench.tui import keys
from workbench.tui.widgets.frame import BottomLine, key_word


async def test_help_from_inside_a_field_and_outside_and_back():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 40)) as pilot:
        for key in ("f1", "question_mark"):
            await pilot.press(key)
            assert app.screen.NAME == "Help"
            assert "home.ask" in screen(app)
            await pilot.press("escape")
            assert app.screen.NAME == "Workbench"
            await pilot.press("escape")  # out of the field


async def test_every_key_has_a_name_of_its_own_and_says_what_it_does():
    names = keys.names()
    assert len(names) == len(set(names))
    assert all(binding.tooltip for group in keys.ALL.values() for binding in group)


async def test_a_key_can_be_set_by_its_name():
    app = workbench(FakeClient(), keys={"help": "f10"})
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f1")
        assert app.screen.NAME == "Workbench"
        await pilot.press("f10")
        assert app.screen.NAME == "Help"
        assert "F10" in screen(app)


def test_a_name_that_no_key_has_is_a_sentence_with_near_ones():
    with pytest.raises(UserError, match=r"timeline\.note"):
        keys.check({"timeline.notes": "x"})


async def test_the_palette_narrows_and_does():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f2", *"time")
        assert "1 of" in screen(app)
        await pilot.press("enter")
        assert app.screen.NAME == "Timeline"
        await pilot.press("colon", *"switch off", "enter")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and "L24.N1005=0" in screen(app))


async def test_an_empty_timeline_says_how_it_gets_its_first_step():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f4")
        assert "No step yet" in screen(app)
        await pilot.press("escape", "enter")
        await until(pilot, lambda: "done in" in screen(app))
        await pilot.press("t")
        await until(pilot, lambda: "1 step" in screen(app).splitlines()[0])


async def test_q_quits_outside_of_fields_and_the_palette_does():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f2", *"quit", "enter")
    assert app.return_code == 0


@pytest.mark.parametrize("width", [80, 120, 200])
async def test_the_lower_line_says_how_the_worker_is_and_always_the_way_to_all_keys(width):
    app = workbench(client := FakeClient(LOADING))
    async with app.run_test(size=(width, 24)) as pilot:
        await until(pilot, lambda: "F1 keys" in screen(app).splitlines()[-1])
        client.tell(READY)
        await until(pilot, lambda: "model ready · cpu float32" in screen(app).splitlines()[-1])
        assert "F1 keys" in screen(app).splitlines()[-1]


async def test_resizing_keeps_everything_in_place(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.screen.lines.count and app.screen.result.settled)
        for size in ((80, 24), (200, 60), (40, 12), (120, 40)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: app.screen.result.settled and app.screen.lines.settled)
            await until(pilot, lambda: "Timeline" in screen(app).splitlines()[0])
            assert "F1 keys" in screen(app).splitlines()[-1]
            assert app.screen.lines.current == 6


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "xterm", "COLORTERM": ""}])
async def test_without_colours_marks_and_words_carry_the_meaning(monkeypatch, environment, tour):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        assert app.native_ansi_color
        assert any(line.split()[:3] == ["▌", "says", "what"] for line in screen(app).splitlines())
        await pilot.press("f4")
        await until(pilot, lambda: "failed:" in screen(app))
        colours = {
            segment.style.color.name
            for line in app.screen._compositor.render_strips(app.size)
            for segment in line
            if segment.style and segment.style.color
        }
        assert not any(name.startswith("#") for name in colours)


async def test_ascii_where_the_locale_has_no_more(monkeypatch, tour):
    monkeypatch.setenv("LC_ALL", "C")
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: re.search(r"> says +what comes after <The capital of France is>", screen(app)))
        await pilot.press("enter")
        await until(pilot, lambda: "done in" in screen(app))
        await until(pilot, lambda: app.screen.result.settled)
        assert screen(app).isascii()


async def test_nothing_blinks():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("tab", "f3", "f2", "escape", "escape", "escape", "escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt")
        for page in app._pages.values():
            assert not any(field.cursor_blink for field in page.query(Input))
            assert not any(area.cursor_blink for area in page.query(TextArea))


async def test_the_theme_follows_the_settings():
    for theme, dark in (("dark", True), ("light", False)):
        app = workbench(FakeClient(), theme=theme)
        async with app.run_test(size=(80, 24)):
            assert app.current_theme.dark is dark


def test_keys_are_named_as_they_are_printed():
    assert [key_word(key) for key in ("enter", "ctrl+c", "f1", "slash", "j", "G", "shift+tab")] == [
        "Enter", "Ctrl+C", "F1", "/", "j", "G", "Shift+Tab",
    ]  # fmt: skip


async def test_an_empty_no_color_is_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "")
    app = workbench(FakeClient())
    assert not app.no_color
    async with app.run_test(size=(100, 30)):
        assert not app.native_ansi_color


@pytest.mark.parametrize(
    ("key", "screen_name"), [("t timeline", "Timeline"), ("e edits", "Edits"), ("F1 keys", "Help")]
)
async def test_a_click_on_a_key_in_the_lower_line_presses_it(tour, key, screen_name):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "6 steps" in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda: key in screen(app).splitlines()[-1])
        line = screen(app).splitlines()[-1]
        await pilot.click(app.screen.query_one(BottomLine), offset=(line.index(key) + 1, 0))
        await until(pilot, lambda: screen_name == app.screen.NAME)
        await pilot.press("escape", "escape")  # out of a field, and back
        await until(pilot, lambda: app.screen.NAME == "Workbench")
        await pilot.click(app.screen.query_one(BottomLine), offset=(1, 0))  # no key there
        assert app.screen.NAME == "Workbench"
