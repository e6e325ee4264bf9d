"""Run: experiments without a prompt have a form, a result and next steps, and no text box."""

from __future__ import annotations

import numpy as np

from tests.tui.fakes import FakeClient, screen, until, workbench
from workbench.artifacts.direction import keep_direction
from workbench.report import NextStep
from workbench.session.writer import SessionWriter
from workbench.tui.screens.prompt.prompt_area import PromptArea
from workbench.tui.widgets.choice import Choice
from workbench.worker.protocol import Submit

KNOWN = ("predict", "why", "index", "neuron", "find-neuron", "direction", "project")


def chosen(app) -> str:
    return app.screen.query_one("#experiments", Choice).value


async def ready(pilot) -> None:
    await until(pilot, lambda: any(len(choice.words) > 1 for choice in pilot.app.screen.query("#experiments")))


async def test_it_has_the_experiments_that_take_no_prompt_and_no_box_for_one():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        words = app.screen.query_one("#experiments", Choice).words
        assert [name for name in words if name in KNOWN] == ["index", "neuron", "find-neuron", "direction", "project"]
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
        assert not {"index", "neuron", "find-neuron", "direction", "project"} & set(words)


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


async def test_a_direction_is_completed_where_one_is_asked_for(tmp_path):
    np.save(tmp_path / "r.npy", np.ones(576, np.float32))
    keep_direction("refusal", tmp_path / "r.npy")
    client = FakeClient()
    with SessionWriter(tmp_path / "s.db"):
        app = workbench(client, tmp_path / "s.db")
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        app.screen.query_one("#experiments", Choice).set("project", notify=True)
        await until(pilot, lambda: app.model_info and app.directions and "Enter runs project" in screen(app))
        await pilot.press("slash", *"@re")
        await until(pilot, lambda: app.focused._suggestion == "@refusal")
        await pilot.press("right", "enter")
        await until(pilot, lambda: bool(client.asked(Submit)))
        assert client.asked(Submit)[0].params["direction"] == "@refusal"


async def test_a_direction_is_made_of_two_files(tmp_path):
    client = FakeClient()
    app = workbench(client)
    for name in ("cities", "foods"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {number}\n" for number in range(10)))
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("run")
        await ready(pilot)
        app.screen.query_one("#experiments", Choice).set("direction", notify=True)
        await until(pilot, lambda: chosen(app) == "direction" and "Enter runs direction" in screen(app))
        form = app.screen.form
        assert [field.field.name for field in form.fields] == ["name", "positive", "negative", "token_class", "chat"]
        for field, text in zip(
            form.fields, ("city", str(tmp_path / "cities.txt"), str(tmp_path / "foods.txt")), strict=False
        ):
            field.set(text)
        app.screen.action_run()
        await until(pilot, lambda: bool(client.asked(Submit)))
        submit = client.asked(Submit)[0]
        assert submit.params["name"] == "city"
        assert [row["prompt"] for row in submit.params["negative"]] == [f"foods {number}" for number in range(10)]
        assert submit.names == {"positive": "cities", "negative": "foods"}


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
