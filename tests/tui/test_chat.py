"""A chat of several turns on Prompt: answers become turns, the edits stay on, the session keeps the conversation."""

import pytest

from tests.tui.fakes import FakeClient, finish, screen, until, workbench
from workbench.edits import parse_edits
from workbench.session.reader import SessionReader
from workbench.worker.protocol import Peek

ANSWER = " Paris, the city of light.\nIt lies on the Seine."
USER, ASSISTANT = "user", "assistant"


async def answered(pilot, text, step):
    """Writes a turn and waits for its answer."""
    page = pilot.app.screen
    page.area.focus()
    page.area.set_text(text)
    await pilot.press("enter")
    await until(pilot, lambda: page.result.step == step and page.result.settled)
    await until(pilot, lambda: "done in" in screen(pilot.app))


async def chatting(pilot, *edits, template=True):
    """On Prompt, `generate` with the chat template or without; a first turn was answered."""
    app = pilot.app
    app.edits.use(parse_edits(edits))
    app.show("prompt")
    await until(pilot, lambda: app.screen.NAME == "Prompt" and app.screen._ready.is_set())
    await pilot.press("escape")
    page = app.screen
    while page.experiment != "generate":
        before = page.experiment
        await pilot.press("right_square_bracket")
        await until(pilot, lambda before=before: page.experiment != before and page._ready.is_set())
    if template:
        await pilot.press("c")
    assert page.chat is template
    await answered(pilot, "Where is it?", 1)


async def test_an_answer_becomes_a_turn_and_the_edits_stay_on():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot, "L24.N88=0")
        await until(pilot, lambda: "a reply" in screen(app))
        await pilot.press("a")
        await until(pilot, lambda: "write what you say next" in screen(app))
        shown = screen(app)
        assert "user  Where is it?" in shown
        assert "assistant   Paris, the city of light." in shown
        assert "chat template on · 2 turns before the prompt" in shown.splitlines()[0]
        assert app.screen.area.has_focus
        assert app.screen.area.text == ""
        await answered(pilot, "And how large?", 2)
        await pilot.press("a")
        await until(pilot, lambda: "4 turns before the prompt" in screen(app))
        await answered(pilot, "Thanks.", 3)
        first, second, third = client.submitted
        assert "messages" not in first.params or not first.params["messages"]
        assert second.params["prompt"] == "And how large?"
        assert second.params["messages"] == [
            {"role": USER, "content": "Where is it?"}, {"role": ASSISTANT, "content": ANSWER},
        ]  # fmt: skip
        assert [turn["role"] for turn in third.params["messages"]] == [USER, ASSISTANT] * 2
        assert [step.parent for step in client.submitted] == [None, 1, 2]
        assert all([str(edit) for edit in step.edits] == ["L24.N88=0"] for step in client.submitted)
        assert all(step.params["chat"] for step in client.submitted)
        with SessionReader(first.session) as reader:
            assert reader.step(3).params["messages"][2:] == [
                {"role": USER, "content": "And how large?"}, {"role": ASSISTANT, "content": ANSWER},
            ]  # fmt: skip


async def test_another_last_turn_is_a_branch_and_a_new_chat_forgets_the_turns():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await chatting(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "2 turns before" in screen(app))
        await answered(pilot, "one", 2)
        await answered(pilot, "another", 3)
        assert [step.parent for step in client.submitted] == [None, 1, 1]
        await pilot.press("c")
        await until(pilot, lambda: "N begins a new chat" in screen(app))
        assert app.screen.chat
        await pilot.press("N")
        await until(pilot, lambda: "turns before" not in screen(app))
        assert "user  Where is it?" not in screen(app)
        await answered(pilot, "afresh", 4)
        assert client.submitted[-1].params.get("messages", []) == []
        assert client.submitted[-1].parent is None


async def test_without_the_template_there_is_no_turn_to_go_on_from():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot, template=False)
        assert "a reply" not in screen(app)
        await pilot.press("a")
        await pilot.pause()
        assert app.screen.turns == []


async def test_an_experiment_that_reads_one_text_says_so():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "2 turns before" in screen(app))
        page = app.screen
        page.area.set_text("next")
        await pilot.press("escape")
        while page.experiment != "attention":
            before = page.experiment
            await pilot.press("right_square_bracket")
            await until(pilot, lambda before=before: page.experiment != before)
        await pilot.press("f5")
        await until(pilot, lambda: "attention reads one text, not a chat" in screen(app))
        assert len(client.submitted) == 1


async def test_a_step_of_a_chat_is_forked_with_its_turns_and_its_tokens_are_asked_with_them():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "2 turns before" in screen(app))
        await answered(pilot, "one", 2)
        await pilot.press("N")
        await until(pilot, lambda: "turns before" not in screen(app))
        app.screen.fill(app.screen.result.snapshot.record)
        await until(pilot, lambda: "2 turns before" in screen(app))
        await until(pilot, lambda: "as in step 2" in screen(app))
        await until(
            pilot,
            lambda: any(peek.experiment == "tokens" and peek.params.get("messages") for peek in client.asked(Peek)),
        )
        await pilot.press("enter")
        await until(pilot, lambda: len(client.submitted) == 3)
        assert client.submitted[-1].parent == 2
        assert client.submitted[-1].params == client.submitted[1].params


@pytest.mark.parametrize("messages", [3, ["x"], [{"role": "robot", "content": "x"}]])
async def test_damaged_turns_of_a_step_are_no_way_on(messages, tmp_path):
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot)
        step = client.writer(client.submitted[0].session).add_step(
            "generate", {"prompt": "x", "chat": True, "messages": messages}
        )
        finish(client.writer(client.submitted[0].session), step, "generate")
        app.screen.show_step(step)
        await until(pilot, lambda: app.screen.result.step == step and app.screen.result.snapshot)
        assert "a reply" not in screen(app)
        app.screen.fill(app.screen.result.snapshot.record)
        await until(pilot, lambda: "these are no turns of a chat" in screen(app))
