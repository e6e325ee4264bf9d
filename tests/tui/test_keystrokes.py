"""What a key costs: one repaint of what changed, and no layout of the screen."""

import pytest
from textual.events import Key
from textual.screen import Screen

from tests.tui.fakes import FakeClient, replay, screen, split, until, workbench


@pytest.fixture
def drawn(monkeypatch):
    """A list to which every layout and every repaint of a screen is added."""
    seen = []
    lay_out, send = Screen._refresh_layout, Screen._compositor_refresh

    def laid_out(self, *args, **named):
        seen.append("layout")
        return lay_out(self, *args, **named)

    def sent(self):
        seen.append("repaint")
        return send(self)

    monkeypatch.setattr(Screen, "_refresh_layout", laid_out)
    monkeypatch.setattr(Screen, "_compositor_refresh", sent)
    return seen


async def costs(pilot, drawn, *keys):
    """What was done for each key, one after the other."""
    app, found = pilot.app, []
    await pilot.pause(0.1)
    for key in keys:
        drawn.clear()
        await pilot.press(key)
        await until(pilot, lambda: "repaint" in drawn)
        for _ in range(5):  # what follows in a later turn would be seen here
            await pilot.pause(0.02)
        found.append(list(drawn))
    assert app.is_running
    return found


async def test_a_key_in_the_prompt_is_one_repaint(drawn):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        await until(pilot, lambda: "Enter runs predict" in screen(app))
        assert await costs(pilot, drawn, "a", "b", "backspace") == [["repaint"]] * 3


async def test_a_key_in_the_edits_field_is_one_repaint_with_its_ways_to_go_on(drawn):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: app.screen.NAME == "Edits" and app.focused is app.screen.field and app.model_info)
        assert await costs(pilot, drawn, "L", "5", ".", "H") == [["repaint"]] * 4
        assert "L5.H8" in screen(app)


async def test_a_key_in_the_palette_is_one_repaint(drawn):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 60)) as pilot:
        await pilot.press("f2")
        await until(pilot, lambda: app.screen.NAME == "Ask or do" and "quit" in screen(app))
        assert await costs(pilot, drawn, "q", "u", "backspace") == [["repaint"]] * 3


async def test_the_cursor_of_the_timeline_is_one_repaint_until_it_rests(tour, drawn):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "cancelled after" in screen(app) and app.screen.result.settled)
        while drawn:  # what the first result still lays out
            drawn.clear()
            await pilot.pause(0.2)
        await pilot.press("k")
        await until(pilot, lambda: drawn)
        assert drawn[0] == "repaint"  # the result comes a moment later, in repaints of its own


@pytest.mark.parametrize("screen_key", ["p", "f3"])
async def test_a_burst_of_keys_is_taken_in_its_order(screen_key):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", screen_key)
        await until(pilot, lambda: app.screen.NAME in ("Prompt", "Edits") and app.screen.typing)
        typed = [Key(key, key if len(key) == 1 else None) for key in ("a", "x", "backspace", "left", "b", "end", "c")]
        for key in typed:
            app.post_message(key)
        await until(pilot, lambda: len(getattr(app.focused, "text", "") or getattr(app.focused, "value", "")) == 3)
        await until(pilot, lambda: "bac" in screen(app))


async def test_the_tokens_that_come_after_a_key_are_a_repaint_without_layout(drawn):
    client = FakeClient()
    client.tokens = split
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        await until(pilot, lambda: "Enter runs predict" in screen(app))
        drawn.clear()
        await pilot.press("a")
        await until(pilot, lambda: "1 token, no BOS   a" in screen(app))
        assert drawn == ["repaint"] * 2
