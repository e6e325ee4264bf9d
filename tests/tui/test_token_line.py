"""The line under the prompt: the text's tokens, a moment after the key, and nothing where they can't be had."""

import asyncio
import contextlib

import pytest

from tests.tui.fakes import LOADING, PROMPT, READY, FakeClient, replay, screen, split, until, workbench
from workbench.tui.screens.prompt.token_line import LONGEST, SLOT, TokenLine
from workbench.worker.protocol import Peek, PeekAnswer


@contextlib.asynccontextmanager
async def writing(client, size=(120, 40)):
    """The Prompt screen, its field focused."""
    app = workbench(client)
    async with app.run_test(size=size) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        await until(pilot, lambda: "Enter runs predict" in screen(app))
        yield pilot


def answering(status=READY, answers=split):
    client = FakeClient(status)
    client.tokens = answers
    return client


def asked(client):
    return [message for message in client.requests if isinstance(message, Peek)]


def line(pilot):
    """What the line shows; it is there, and one line high."""
    region = pilot.app.screen.query_one(TokenLine).region
    assert region.height == 1
    return screen(pilot.app).splitlines()[region.y].strip()


async def test_what_is_typed_is_shown_as_its_tokens():
    async with writing(client := answering()) as pilot:
        assert line(pilot) == ""
        pilot.app.screen.area.insert(PROMPT)
        await until(pilot, lambda: line(pilot) == "5 tokens, no BOS   The· capital· of· France· is")
        (peek,) = asked(client)
        assert (peek.slot, peek.experiment, peek.params) == (SLOT, "tokens", {"prompt": PROMPT, "chat": False})
        assert not client.submitted


async def test_keys_in_a_burst_are_one_peek():
    async with writing(client := answering()) as pilot:
        for key in "The river":
            pilot.app.screen.area.insert(key)
        await until(pilot, lambda: line(pilot).endswith("The· river"))
        assert [peek.params["prompt"] for peek in asked(client)] == ["The river"]


async def test_nothing_is_asked_again_while_nothing_changes():
    async with writing(client := answering()) as pilot:
        pilot.app.screen.area.insert("The")
        await until(pilot, lambda: line(pilot) == "1 token, no BOS   The")
        for stage in ("busy", "ready"):  # as the peek itself makes it
            client.tell(READY, stage=stage)
        pilot.app.screen.area.insert(" river")
        await until(pilot, lambda: line(pilot).endswith("The· river"))
        assert len(asked(client)) == 2


async def test_a_newer_text_takes_the_place_of_one_that_waits():
    held = asyncio.Event()

    async def answers(message):
        if message.params["prompt"] == "old":
            await held.wait()
        return await split(message)

    async with writing(client := answering(answers=answers)) as pilot:
        pilot.app.screen.area.insert("old")
        await until(pilot, lambda: asked(client))
        pilot.app.screen.area.set_text("new")
        await until(pilot, lambda: line(pilot).endswith("new"))
        held.set()
        pilot.app.screen.area.insert("er")
        await until(pilot, lambda: line(pilot).endswith("newer"))
        assert [peek.params["prompt"] for peek in asked(client)] == ["old", "new", "newer"]


async def test_an_answer_that_was_replaced_changes_nothing():
    async def answers(message):
        if message.params["prompt"] == "The":
            return await split(message)
        return PeekAnswer(slot=message.slot, replaced=True)

    async with writing(client := answering(answers=answers)) as pilot:
        pilot.app.screen.area.insert("The")
        await until(pilot, lambda: line(pilot).endswith("The"))
        pilot.app.screen.area.insert("n")
        await until(pilot, lambda: len(asked(client)) == 2)
        await pilot.pause()
        assert line(pilot).endswith("The")


async def test_the_chat_template_is_followed_and_only_the_text_is_listed():
    async with writing(answering()) as pilot:
        pilot.app.screen.area.insert("The river")
        await until(pilot, lambda: line(pilot) == "2 tokens, no BOS   The· river")
        await pilot.press("escape", "c")
        await until(pilot, lambda: line(pilot) == "4 tokens, 2 of them the chat template's   The· river")


async def test_a_prompt_that_a_step_brings_is_shown_as_well():
    async with writing(client := answering()) as pilot:
        pilot.app.screen.area.insert(PROMPT)
        await pilot.press("enter")
        await until(pilot, lambda: "done in" in screen(pilot.app))
        pilot.app.screen.area.set_text("")
        await until(pilot, lambda: line(pilot) == "")
        await pilot.press("1")
        await until(pilot, lambda: line(pilot).endswith("France· is"))
        assert len(client.submitted) == 2


async def test_a_long_text_keeps_the_end_that_is_typed_at():
    async with writing(answering(), size=(80, 24)) as pilot:
        pilot.app.screen.area.insert("one two " * 40 + "three")
        await until(pilot, lambda: line(pilot).endswith("· two· three"))
        assert line(pilot).startswith("81 tokens, no BOS   …")
        assert len(line(pilot)) > 70


async def test_words_before_the_tokens_give_way_only_where_they_must():
    async with writing(answering(), size=(60, 30)) as pilot:
        pilot.app.screen.area.insert("The")
        await pilot.press("escape", "c")
        await until(pilot, lambda: line(pilot) == "3 tokens, 2 of them the chat template's   The")
        pilot.app.screen.area.insert(" river" * 20)
        await until(pilot, lambda: line(pilot).startswith("23 tokens, 2 of them the"))
        assert "…   …" in line(pilot)
        assert line(pilot).endswith("river· river")


async def test_what_could_steer_a_terminal_is_shown_as_text():
    async with writing(answering()) as pilot:
        pilot.app.screen.area.insert("a\x1b[31mb\u202ec\nd")
        await until(pilot, lambda: line(pilot).endswith(r"a\x1b[31mb\u202ec·\n·d"))


@pytest.mark.parametrize("text", ["", "x" * (LONGEST + 1)])
async def test_a_text_without_tokens_or_too_long_to_ask_about_clears_it(text):
    async with writing(client := answering()) as pilot:
        pilot.app.screen.area.insert("The")
        await until(pilot, lambda: line(pilot).endswith("The"))
        pilot.app.screen.area.set_text(text)
        await until(pilot, lambda: line(pilot) == "")
        assert len(asked(client)) == 1


async def test_an_error_of_the_worker_clears_it():
    async def answers(message):
        if "!" in message.params["prompt"]:
            return PeekAnswer(slot=message.slot, error="too long")
        return await split(message)

    async with writing(answering(answers=answers)) as pilot:
        pilot.app.screen.area.insert("The")
        await until(pilot, lambda: line(pilot).endswith("The"))
        pilot.app.screen.area.insert("!")
        await until(pilot, lambda: line(pilot) == "")
        assert "too long" not in screen(pilot.app)


async def test_while_the_model_loads_nothing_is_asked_and_then_it_is():
    async with writing(client := answering(LOADING)) as pilot:
        pilot.app.screen.area.insert(PROMPT)
        await pilot.pause(0.4)
        assert (line(pilot), asked(client)) == ("", [])
        client.tell(READY)
        await until(pilot, lambda: line(pilot).endswith("France· is"))
        client.tell(LOADING)  # it crashed, and loads again
        await until(pilot, lambda: line(pilot) == "")
        client.tell(READY)
        await until(pilot, lambda: line(pilot).endswith("France· is"))


async def test_without_a_worker_the_line_is_empty():
    async with writing(None) as pilot:
        pilot.app.screen.area.insert(PROMPT)
        await pilot.pause(0.4)
        assert line(pilot) == ""


async def test_a_replay_asks_nobody(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("prompt")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and "Enter runs predict" in screen(app))
        app.screen.area.insert(PROMPT)
        await pilot.pause(0.4)
        assert line(pilot) == ""


async def test_where_there_is_no_room_it_is_not_there():
    async with writing(client := answering(), size=(80, 20)) as pilot:
        pilot.app.screen.area.insert("The")
        await pilot.pause(0.4)
        assert not asked(client)
        assert not pilot.app.screen.query_one(TokenLine).region
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "1 token, no BOS   The" in screen(pilot.app))
