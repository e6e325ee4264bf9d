"""Why on recorded sessions: from the timeline, in a replay, from before there were keys, another session."""

from __future__ import annotations

import pytest

from tests.tui.fakes import replay, screen, until, workbench
from tests.tui.why import WhyClient, add, opened, session, without_keys
from workbench.session.writer import SessionWriter
from workbench.tui.screens.save import Save
from workbench.tui.screens.timeline import Timeline
from workbench.tui.screens.why import Why


async def test_from_the_timeline_enter_looks_and_f_forks(terminal):
    client = WhyClient()
    path = session(terminal / "sessions" / "old.db")
    app = workbench(client, path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, Timeline) and app.screen.lines.current == 1, "the step")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Why), "the Why screen")
        await until(pilot, lambda: "three neurons off" in screen(app), "the step")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Timeline), "back")
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Why) and app.screen.has_class("asking"), "the fields")
        await until(pilot, lambda: app.screen.fields.field("prompt").has_focus, "the cursor in them")
        await pilot.press("tab", "ctrl+u", "space", *"Lyon", "enter")
        await until(pilot, lambda: client.submitted, "the fork")
        assert client.last("why").params["answer"] == " Lyon" and client.last("why").parent == 1


async def test_a_replay_shows_everything_and_says_what_needs_a_model(terminal):
    path = session(terminal / "sessions" / "old.db", trial=True)
    async with opened(None, path) as (pilot, page):
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the step")
        assert "L24.N1005" in screen(pilot.app) and "replay" in screen(pilot.app)
        await pilot.press("0")
        await until(pilot, lambda: "KL 1.44" in screen(pilot.app), "what was tried then")
        await pilot.press("space", "0")
        await until(pilot, lambda: "these were not switched off in it" in page.notice_sentence(), "the sentence")
        assert not page.state.off
        for key in ("p", "r", "i"):
            await pilot.press("escape", key)
            await until(pilot, lambda: "this is a replay" in page.notice_sentence(), f"the sentence for {key}")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Save), "saving needs no model")


async def test_of_several_questions_it_opens_on_the_newest_that_did_not_fail(terminal):
    path = session(terminal / "sessions" / "old.db")
    with SessionWriter(path) as writer:
        add(writer, prompt="The opposite of hot is", answer=" cold")
        add(writer, "queued", error="answer and foil are the same token")
    async with opened(None, path) as (pilot, page):
        await until(pilot, lambda: 'after "The opposite of hot is"' in screen(pilot.app), "the second")
        assert page.state.step == 2


async def test_a_replay_without_a_question_says_so(tour):
    async with opened(None, tour) as (pilot, _):
        await until(pilot, lambda: "No `why` was asked in this session" in screen(pilot.app), "the sentence")


@pytest.mark.parametrize("live", [True, False])
async def test_a_step_of_before_there_were_keys_is_shown_as_plain_tables(terminal, live):
    path = terminal / "sessions" / "old.db"
    with SessionWriter(path) as writer:
        step = add(writer, "controls")
        without_keys(writer, step)
        writer.finish(step, "done")
    app = workbench(WhyClient(), path) if live else replay(path)
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, Timeline) and app.screen.lines.current == 1, "the step")
        await pilot.press("enter")
        await until(pilot, lambda: "plain tables, here" in screen(app), "what it says of it")
        assert isinstance(app.screen, Timeline)
        await until(pilot, lambda: "' Lyon'" in screen(app), "its tables")
        await pilot.press("f7")
        if live:
            await until(pilot, lambda: "Enter asks" in screen(app), "what can be asked")
        else:
            await until(pilot, lambda: isinstance(app.screen, Timeline) and "' Lyon'" in screen(app), "its tables")


async def test_another_session_is_another_question(terminal):
    path = session(terminal / "sessions" / "old.db")
    with SessionWriter(terminal / "sessions" / "other.db") as writer:
        add(writer, prompt="The opposite of hot is", answer=" cold")
    async with opened(WhyClient(), path) as (pilot, _):
        await until(pilot, lambda: 'after "The capital' in screen(pilot.app), "the first")
        pilot.app.open_session(terminal / "sessions" / "other.db")
        await until(pilot, lambda: "done in" in screen(pilot.app), "its timeline")
        await pilot.press("f7")
        await until(pilot, lambda: 'after "The opposite of hot is"' in screen(pilot.app), "the other")
