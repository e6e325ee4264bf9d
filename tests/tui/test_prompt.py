"""Prompt: asking, waiting, following, cancelling; errors are sentences in place."""

import re
import time

import msgspec
import pytest
from textual.events import Paste

from tests.tui.fakes import LOADING, READY, FakeClient, finish, next_token, screen, until, workbench
from workbench.errors import UserError
from workbench.report import Progress
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp
from workbench.worker.worker_files import WorkerSpec


async def asked(pilot, *keys):
    await pilot.press(*keys, "enter")
    await until(pilot, lambda: "done in" in screen(pilot.app))
    await until(pilot, lambda: pilot.app.screen.result.settled)


async def test_a_question_ends_in_its_sentence_with_next_steps_and_its_line():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 60)) as pilot:
        await asked(pilot)
        await until(pilot, lambda: "' Lyon'" in screen(app))
        shown = screen(app)
        assert "' Paris' .771 after" in shown
        assert "1 what is it thinking" in shown
        assert "$ workbench run predict" in shown
        assert "5 tokens (no BOS)" in shown.splitlines()[0]


async def test_at_80_by_24_the_main_view_is_seen_and_the_others_are_folded():
    app = workbench(FakeClient())
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        shown = screen(app)
        assert "▾ Next token" in shown
        assert "▸ Surprise along the prompt" in shown


async def test_folding_is_kept_from_step_to_step():
    app = workbench(FakeClient())
    async with app.run_test(size=(80, 24)) as pilot:
        await asked(pilot)
        await pilot.press("j", "space")
        await until(pilot, lambda: "▾ Surprise" in screen(app))
        await pilot.press("f5")
        await until(pilot, lambda: "step 2" in screen(app))
        await until(pilot, lambda: "▾ Surprise" in screen(app))


async def test_views_stand_side_by_side_on_a_wide_screen_and_below_on_a_narrow_one():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        line = next(line for line in screen(app).splitlines() if "Next token" in line)
        assert "Surprise along the prompt" in line
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.screen.result.settled)
        line = next(line for line in screen(app).splitlines() if "Next token" in line)
        assert "Surprise along the prompt" not in line


async def test_a_key_takes_a_next_step_which_hangs_under_the_one_it_came_from():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await pilot.press("2")
        await until(pilot, lambda: len(client.submitted) == 2)
        step = client.submitted[1]
        assert step.parent == 1
        assert [str(edit) for edit in step.edits] == ["L24.N88=0"]
        await until(pilot, lambda: "edits: 1 on" in screen(app))
        await until(pilot, lambda: "under L24.N88=0" in screen(app))


async def test_what_is_asked_while_the_model_loads_names_the_stage_and_the_seconds():
    app = workbench(client := FakeClient(LOADING, hold=True))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "queued: loading the weights, 9 s left" in screen(app))
        session = client.submitted[0].session
        writer = client.writer(session)
        writer.start(1)
        finish(writer, 1, "predict")
        client.tell(READY, jobs=[])
        await until(pilot, lambda: "' Paris' .771" in screen(app))


async def test_what_is_asked_before_there_is_a_worker_can_be_taken_back():
    app = workbench(None)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "queued: starting the worker" in screen(app))
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "taken back" in screen(app))
        assert app.is_running


async def test_progress_rate_and_time_left_then_cancel_keeps_what_there_is():
    app = workbench(client := FakeClient(hold=True))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        session = client.submitted[0].session
        writer = client.writer(session)
        writer.start(1)
        progress = Progress(done=12, total=40, unit="tokens", started=time.time() - 6)
        writer.publish(1, headline="so far", progress=progress, views={"next": next_token(False)})
        await until(pilot, lambda: re.search(r"12 of 40 tokens, [12]\.?\d? a second, \d\d s left", screen(app)))
        await until(pilot, lambda: "' Lyon'" in screen(app))
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "cancelled after" in screen(app))
        assert "' Lyon'" in screen(app)


async def test_a_parameter_that_is_wrong_is_a_sentence_naming_it():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 30)) as pilot:
        await asked(pilot)
        field = next(field for field in app.screen.form.fields if field.field.name == "top")
        field.input.focus()
        await pilot.press(*"many", "enter")
        await until(pilot, lambda: "! top:" in screen(app))
        assert len(client.submitted) == 1


async def test_the_focused_field_says_what_it_is_for():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 30)) as pilot:
        await asked(pilot)
        app.screen.form.fields[0].input.focus()
        await until(pilot, lambda: "answer: the token to watch" in screen(app))


async def test_a_form_shows_at_most_five_fields_and_the_rest_on_demand():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 30)) as pilot:
        await asked(pilot)
        assert len(app.screen.form.fields) + 1 <= 5
        await pilot.press("m")
        await until(pilot, lambda: any(field.field.name == "seed" for field in app.screen.form.fields))


async def test_expectation_and_seed_go_with_the_step_and_are_asked_anew():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await pilot.press("m")
        await until(pilot, lambda: any(field.field.name == "seed" for field in app.screen.form.fields))
        fields = {field.field.name: field for field in app.screen.form.fields}
        fields["seed"].set("7")
        fields["transfer"].set("on")
        fields["expect"].set("Paris, surely")
        await pilot.press("f5")
        await until(pilot, lambda: "★ expected: Paris, surely" in screen(app))
        assert (client.submitted[1].seed, client.submitted[1].expected) == (7, "Paris, surely")
        assert [submit.transfer for submit in client.submitted] == [False, True]
        assert fields["expect"].value == ""


async def test_another_experiment_has_its_own_form():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "tokens" in {field.field.name for field in app.screen.form.fields})
        await until(pilot, lambda: "Enter runs generate" in screen(app))
        await pilot.press("f5")
        await until(pilot, lambda: len(client.submitted) == 2)
        assert client.submitted[1].experiment == "generate"


async def test_the_chat_template_is_a_key_and_is_shown():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await pilot.press("c", "f5")
        await until(pilot, lambda: len(client.submitted) == 2)
        assert client.submitted[1].params["chat"] is True
        assert "chat template on" in screen(app).splitlines()[0]


async def test_pasting_lines_into_the_prompt_asks_nothing_and_keeps_them():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.focused is not None and app.screen.NAME == "Prompt")
        app.focused.post_message(Paste("def f():\r\n    return 1\n"))
        await until(pilot, lambda: "return 1" in screen(app))
        assert not client.submitted
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == "def f():\n    return 1\n"


async def test_control_j_breaks_a_line_and_enter_runs():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("escape", "p")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.focused is app.screen.area)
        await pilot.press("a", "ctrl+j", "b", "enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == "a\nb"


async def test_variations_of_a_prompt_are_branches_of_the_first_and_another_prompt_is_not():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: len(client.submitted) == 2)
        await pilot.press("i", "!", "enter")
        await until(pilot, lambda: len(client.submitted) == 3)
        assert [step.parent for step in client.submitted] == [None, 1, None]


async def test_a_worker_that_can_not_start_is_a_sentence_and_can_be_tried_again():
    client, tries = FakeClient(), []

    async def connect(spec):
        tries.append(spec)
        if len(tries) == 1:
            raise UserError("the model does not fit: it needs 3 GiB, 1 GiB is free")
        return client

    app = WorkbenchApp(WorkerSpec(), None, Settings(), connect=connect)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "it needs 3 GiB" in screen(app))
        await pilot.press("f2", *"try", "enter")
        await until(pilot, lambda: len(tries) == 2)
        await pilot.press("f5")
        await until(pilot, lambda: "done in" in screen(app))


async def test_a_model_that_does_not_load_says_why_where_the_step_waits():
    failed = msgspec.structs.replace(LOADING, stage="failed", detail="gpt9: there is no such model")
    app = workbench(FakeClient(failed, hold=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "gpt9: there is no such model" in screen(app))


async def test_when_the_worker_dies_another_line_is_made_and_asking_goes_on():
    first, second = FakeClient(), FakeClient()
    clients = [first, second]

    async def connect(spec):
        return clients.pop(0)

    app = WorkbenchApp(WorkerSpec(), None, Settings(), connect=connect)
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        await first.close()
        first.closed.set()
        await until(pilot, lambda: not clients and app.link.connected)
        assert any(type(message).__name__ == "Attach" for message in second.requests)
        assert "the worker is gone; another one is being started" in screen(app)
        await pilot.press("f5")
        await until(pilot, lambda: "step 2" in screen(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (40, 10), (20, 5)])
async def test_any_size_can_be_drawn(size):
    app = workbench(FakeClient())
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and app.screen.result.snapshot is not None)
        await until(pilot, lambda: app.screen.result.settled)
        assert len(screen(app).splitlines()) <= size[1]


async def test_a_changed_text_marks_the_result_of_the_one_before():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await asked(pilot)
        mark = "of another text: Enter runs the one above · step 1"
        assert mark not in screen(app)
        app.screen.action_write()
        await pilot.press("x")
        await until(pilot, lambda: mark in screen(app))
        assert "' Paris' .771 after" in screen(app)
        await pilot.press("backspace")
        await until(pilot, lambda: mark not in screen(app))
        await pilot.press("y", "enter")
        await until(pilot, lambda: "step 2 ·" in screen(app) and "done in" in screen(app))
        assert "of another text" not in screen(app)
