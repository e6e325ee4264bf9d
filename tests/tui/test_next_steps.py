"""What could follow a result stays in sight below it, and its keys work from anywhere on the screen."""

import pytest
from rich.text import Text

from tests.tui.fakes import FakeClient, replay, screen, until, workbench
from tests.tui.staging import EveryClient, asked_why, sees, tour
from workbench.text import width
from workbench.tui.widgets.result.next_steps import NextSteps, packed

LABELS = ("1 what is it thinking, layer by layer", "2 switch off L24.N88", "3 what it goes on to say")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_they_are_in_sight_wherever_the_result_is_scrolled(terminal, size):
    app = workbench(FakeClient(), tour(terminal))
    async with app.run_test(size=size) as pilot:
        await pilot.press("f4")
        await sees(pilot, "6 steps")
        await pilot.press("g", "j", "j", "enter")
        await sees(pilot, *LABELS)
        for key in ("G", "pageup", "g", "pagedown"):
            await pilot.press(key)
            assert all(label in screen(app) for label in LABELS), key


async def test_they_are_taken_from_the_list_and_are_not_those_of_an_unfinished_step(terminal):
    client = FakeClient()
    app = workbench(client, tour(terminal))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f4")
        await sees(pilot, "6 steps")
        await pilot.press("g", "j")
        await sees(pilot, *LABELS)
        await pilot.press("2")
        await until(pilot, lambda: client.submitted)
        asked = client.submitted[0]
        assert (asked.experiment, [str(edit) for edit in asked.edits], asked.parent) == ("predict", ["L24.N88=0"], 2)
        await until(pilot, lambda: app.screen.NAME == "Prompt")
        await sees(pilot, *LABELS)
        client.hold = True
        await pilot.press("3")
        await sees(pilot, "queued")
        assert not app.screen.query_one(NextSteps).display
        await pilot.press("1")
        assert len(client.submitted) == 2


async def test_on_why_too(terminal):
    client = EveryClient()
    app = workbench(client, asked_why(terminal))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f7")
        await sees(pilot, "three neurons off", "what next", "1 the next token with them off")
        await pilot.press("1")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[-1].experiment == "predict"


async def test_a_replay_says_what_they_take(terminal):
    app = replay(tour(terminal))
    async with app.run_test(size=(120, 40)) as pilot:
        await sees(pilot, "6 steps")
        await pilot.press("g")
        await sees(pilot, "what next, with a model", *LABELS)
        await pilot.press("1")
        await sees(pilot, "this is a replay")


@pytest.mark.parametrize("cells", [24, 40, 60, 76, 200])
def test_none_is_broken_where_a_line_has_room_for_it(cells):
    class Colors:
        quiet = strong = plain = ""

    labels = ["what is it", "switch off L24.N88", "what it goes on"]
    text = packed("what next", labels, cells, Colors())
    assert isinstance(text, Text)
    lines = text.plain.splitlines()
    assert all(any(f"{number} {label}" in line for line in lines) for number, label in enumerate(labels, 1))
    assert all(width(line) <= max(cells, 32) for line in lines)
    assert len(lines) == {24: 3, 40: 3, 60: 2, 76: 1, 200: 1}[cells]
