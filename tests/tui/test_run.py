"""Run: experiments without a prompt have a form, a result and next steps, and no text box."""

from __future__ import annotations

from tests.tui.fakes import FakeClient, screen, until, workbench
from workbench.report import NextStep
from workbench.tui.screens.prompt.prompt_area import PromptArea
from workbench.tui.widgets.choice import Choice
from workbench.worker.protocol import Submit


def chosen(app) -> str:
    return app.screen.query_one("#experiments", Choice).value


async def ready(pilot) -> None:
    await until(pilot, lambda: any(len(choice.words) > 1 for choice in pilot.app.screen.query("#experiments")))


async def test_it_has_the_experiments_that_take_no_prompt_and_no_box_for_one():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        assert app.screen.query_one("#experiments", Choice).words == ["index", "neuron", "find-neuron"]
        assert not app.screen.query(PromptArea)
        assert "Enter runs index" in screen(app)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "Enter runs neuron" in screen(app))


async def test_prompt_has_the_others():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("prompt")
        await ready(pilot)
        words = app.screen.query_one("#experiments", Choice).words
        assert "predict" in words
        assert not {"index", "neuron", "find-neuron"} & set(words)


async def test_fields_are_sent_as_they_are_filled():
    client = FakeClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: chosen(app) == "neuron" and "Enter runs neuron" in screen(app))
        await pilot.press("slash", *"L1.N3", "enter")
        await until(pilot, lambda: bool(client.asked(Submit)))
        submit = client.asked(Submit)[0]
        assert (submit.experiment, submit.params["unit"]) == ("neuron", "L1.N3")


async def test_a_question_about_a_neuron_is_answered_here():
    client = FakeClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        app.ask(NextStep(label="", experiment="neuron", params={"unit": "L1.N2"}))
        await until(pilot, lambda: bool(client.asked(Submit)))
        assert app.screen is app.page("run")
        assert client.asked(Submit)[0].params["unit"] == "L1.N2"


async def test_a_bad_field_is_a_sentence_in_place():
    client = FakeClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        app.screen.form.fields[1].set("many")
        app.screen.action_run()
        await until(pilot, lambda: "expected `int`" in screen(app))
        assert not client.asked(Submit)
