"""Home: never empty, filters by words, blanks in line, the place is kept."""

import re

import numpy as np
import pytest
from textual.events import Paste

from tests.tui.directions import DirectionsClient, direction, make
from tests.tui.fakes import LOADING, FakeClient, screen, until, workbench
from workbench.artifacts.direction import keep_direction
from workbench.artifacts.prompt_set import prompts_dir
from workbench.params import DIRECTION, TEXT, UNITS
from workbench.questions import QUESTIONS
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.tui.suggest import suggester

GROUPS = ["says", "why", "neurons", "directions", "probes", "features"]


async def test_the_first_screen_is_full_before_there_is_a_worker():
    app = workbench(None)
    async with app.run_test(size=(80, 24)):
        shown = screen(app)
        assert "What do you want to know?" in shown
        assert "what comes after ⟨The capital of France is⟩" in shown
        assert "sessions" in shown
        assert "starting the worker" in shown
        assert shown.count("\n") == 23


async def test_every_question_is_seen_at_80_by_24_whole():
    app = workbench(None)
    async with app.run_test(size=(80, 24)):
        lines = [line for line in screen(app).splitlines() if "⟨" in line]
        assert len(lines) >= 6
        assert all("⟩" in line for line in lines)


async def test_sessions_are_listed_with_their_last_result(tour):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "6 steps" in screen(app))
        assert "./sessions/tour.db" in screen(app)


async def test_without_sessions_it_says_where_the_first_will_be():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "none yet" in screen(app))
        assert "./sessions" in screen(app)


async def test_typing_narrows_and_escape_leaves_then_clears():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"switch off")
        assert f"1 of {len(QUESTIONS)}" in screen(app)
        assert "what comes after" not in screen(app)
        await pilot.press("escape")  # leaves the field, keeps the words
        assert f"1 of {len(QUESTIONS)}" in screen(app)
        await pilot.press("escape")
        assert "what comes after" in screen(app)


async def test_every_printable_key_is_the_fields_own():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"qe?:tjk")
        assert app.is_running
        assert app.query_one("#filter").value == "qe?:tjk"
        assert app.screen.NAME == "Workbench"


async def test_words_that_fit_no_question_are_the_prompt():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"The capital of Germany is")
        assert "what comes after ⟨The capital of Germany is⟩" in screen(app)
        assert "taken as the prompt" in screen(app)
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == "The capital of Germany is"


async def test_words_taken_back_give_back_the_prompt():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"zzz")
        assert "⟨zzz⟩" in screen(app)
        await pilot.press("backspace", "backspace", "backspace")
        assert "what comes after ⟨The capital of France is⟩" in screen(app)


async def test_tab_goes_into_the_blanks_and_enter_asks_with_them():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("down", "tab")
        assert app.focused.blank == "answer"
        await pilot.press("ctrl+u", *" Lyon", "tab")
        assert app.focused.blank == "prompt"
        await pilot.press(*"n't")
        assert "how likely is ⟨ Lyon" in screen(app)
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        params = client.submitted[0].params
        assert (params["answer"], params["prompt"]) == (" Lyon", "The capital of France isn't")


async def test_a_prompt_typed_once_is_in_every_question():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("tab", "ctrl+u", *"Two plus two is", "escape")
        shown = screen(app)
        assert "how does it go on after ⟨Two plus two is⟩" in shown
        assert "what comes after ⟨Two plus two is⟩" in shown


async def test_an_emptied_blank_is_a_sentence_in_place():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("tab", "ctrl+u", "enter")
        assert "a blank is empty" in screen(app)
        assert not client.submitted
        await pilot.press("escape", "escape")
        assert "a blank is empty" not in screen(app)


async def test_tabs_round_goes_over_blanks_and_sessions_and_comes_back(tour):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "6 steps" in screen(app))
        await pilot.press("tab", "tab")
        assert app.screen.sessions.active
        await pilot.press("tab")
        assert app.focused.id == "filter"
        await pilot.press("shift+tab", "shift+tab")
        assert app.focused.blank == "prompt"


async def test_the_cursor_goes_on_into_the_sessions_and_enter_opens_one(tour):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "6 steps" in screen(app))
        await pilot.press("escape", "G", *"j")
        assert app.screen.sessions.active
        await pilot.press("enter")
        await until(pilot, lambda: "Timeline" in screen(app) and "logit-lens" in screen(app))
        await pilot.press("escape")
        assert app.screen.sessions.active  # the place is kept


async def test_going_there_and_back_keeps_words_and_cursor():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"what", "down", "enter")
        await until(pilot, lambda: app.screen.NAME == "Prompt")
        before = app.page("home").current.question
        await pilot.press("escape")
        if app.screen.NAME == "Prompt":
            await pilot.press("escape")
        assert app.screen.NAME == "Workbench"
        assert app.query_one("#filter").value == "what"
        assert app.screen.current.question is before


async def test_control_c_never_quits():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(3):
            await pilot.press("ctrl+c")
        assert app.is_running
        assert "nothing is running" in screen(app)


async def test_a_pasted_line_break_asks_nothing_and_stays():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("tab", "ctrl+u")
        app.focused.post_message(Paste("one\r\ntwo\n"))
        await until(pilot, lambda: "one↵two↵" in screen(app))
        assert not client.submitted
        assert app.screen.values["prompt"] == "one\ntwo\n"
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == "one\ntwo\n"


async def test_while_the_model_loads_the_seconds_left_are_named():
    app = workbench(FakeClient(LOADING, hold=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "loading the weights, 9 s left" in screen(app))


async def test_a_new_session_begins_where_one_was_open(tour):
    app = workbench(client := FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "session tour" in screen(app))
        await pilot.press("escape", "N", "enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].session != str(tour)


async def test_units_complete_from_the_models_shape():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info)
        await pilot.press(*"switch", "tab", "ctrl+u", *"L5.H")
        await until(pilot, lambda: app.focused._suggestion == "L5.H0")
        await pilot.press("right", "enter")
        await until(pilot, lambda: client.submitted)
        assert [str(edit) for edit in client.submitted[0].edits] == ["L5.H0=0"]


async def test_directions_complete_from_the_data_folder(tour, tmp_path):
    np.save(tmp_path / "r.npy", np.ones(576, np.float32))
    keep_direction("refusal", tmp_path / "r.npy")
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info and app.directions)
        await pilot.press(*"switch", "tab", "ctrl+u", *"@re")
        await until(pilot, lambda: app.focused._suggestion == "@refusal")


async def test_a_directions_name_completes_with_and_without_its_at(tour, tmp_path):
    """Also in arithmetic, behind the operator of an edit, and of the model's own."""
    np.save(tmp_path / "r.npy", np.ones(576, np.float32))
    keep_direction("refusal", tmp_path / "r.npy")
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info and app.directions)
        page = app.screen
        of_direction, of_units = suggester(page, DIRECTION), suggester(page, UNITS)
        assert of_direction("re") == "refusal" and of_direction("@Ref") == "@Refusal"
        assert of_direction("@L5.N7") == "@L5.N7.out" and of_direction("@L5.N7.g") == "@L5.N7.gate"
        assert of_direction("@L5.H3.") == "@L5.H3.ov1" and of_direction("refusal") == of_direction("") == ""
        assert of_units("@L0.N1.out - 0.5*@re") == "@L0.N1.out - 0.5*@refusal"
        assert of_units("L5.resid_pre+=4*@re") == "L5.resid_pre+=4*@refusal" and of_units("L5.H") == "L5.H0"
        assert suggester(page, TEXT) is None


async def test_names_of_prompt_sets_complete_in_their_blanks(tour, tmp_path):
    (prompts_dir()).mkdir(parents=True)
    (prompts_dir() / "haiku.txt").write_text("An old pond\n")
    with SessionWriter(tour) as writer:
        rows = [{"prompt": f"number {number}", "answer": "", "foil": ""} for number in range(20)]
        writer.add_step("predict", {"prompts": rows}, names={"prompts": "hamlets"})
    app = workbench(client := FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info and app.prompt_sets == ["hamlets"])
        await pilot.press(*"find a direction for", "tab")
        for typed, offered in (("@harml", "@harmless"), ("@hai", "@haiku"), ("@ha", "@hamlets"), ("harm", "")):
            await pilot.press("ctrl+u", *typed)
            await until(pilot, lambda offered=offered: app.focused._suggestion == offered)
        await pilot.press("ctrl+u", *"@harmf")
        await until(pilot, lambda: app.focused._suggestion == "@harmful")
        await pilot.press("right", "tab", "ctrl+u", *"@alar")
        await until(pilot, lambda: app.focused._suggestion == "@alarming")
        await pilot.press("right", "enter")
        await until(pilot, lambda: client.submitted)
        asked = client.submitted[0]
        assert asked.experiment == "direction"
        assert asked.names == {"positive": "harmful", "negative": "alarming"}


async def test_blanks_for_a_direction_hold_the_sessions_newest_until_one_is_typed(tour):
    with SessionWriter(tour) as writer:
        make(writer, direction("harmful"))
    app = workbench(client := DirectionsClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info)
        await pilot.press(*"what is the direction")
        await until(pilot, lambda: "what is the direction ⟨@harmful⟩" in screen(app))
        await pilot.press("tab", "ctrl+u", *"@mine", "escape")
        with SessionWriter(tour) as writer:
            make(writer, direction("french", 5))
        await until(pilot, lambda: "@french" in app.directions)
        assert "what is the direction ⟨@mine⟩" in screen(app)
        assert not client.submitted


async def test_a_question_about_two_sets_is_sent_with_their_rows(terminal):
    (terminal / "french.txt").write_text("\n".join(f"Bonjour {number}" for number in range(12)))
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.model_info)
        await pilot.press(*"find a direction", "tab", "ctrl+u", *"french.txt", "enter")
        await until(pilot, lambda: client.submitted)
        (asked,) = client.submitted
        assert asked.experiment == "direction" and asked.params["name"] == "french"
        assert [row["prompt"] for row in asked.params["positive"]] == [f"Bonjour {number}" for number in range(12)]
        assert len(asked.params["negative"]) > 200
        assert asked.names == {"positive": "french", "negative": "harmless"}


async def test_enter_that_was_typed_before_the_terminal_was_ours():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+j")
        await until(pilot, lambda: client.submitted)


async def test_a_session_is_renamed_from_its_line_and_its_file_stays(tour):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "6 steps" in screen(app))
        await pilot.press("escape", "G", "down", "R")
        await until(pilot, lambda: "title of the session" in screen(app))
        await pilot.press(*"capital cities", "enter")
        await until(pilot, lambda: "capital cities  " in screen(app))
        await pilot.press("escape", "R", "x", "escape")
        await until(pilot, lambda: "title of the session" not in screen(app))
        assert "capital cities  " in screen(app)
    with SessionReader(tour) as reader:
        assert reader.title == "capital cities"


async def test_the_session_in_use_is_renamed_from_anywhere_and_the_header_says_so(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: "6 steps" in screen(app))
        await pilot.press("f2", *"rename the", "enter")
        await until(pilot, lambda: "title of the session" in screen(app))
        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: "1 to 100 characters" in screen(app))
        await pilot.press(*"[b]cities", "enter")
        await until(pilot, lambda: "Timeline · [b]cities · 6 steps" in screen(app))


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ("attention", "where does ⟨L19.H3⟩ look"),
        ("ablate head", "what if I switch off"),
        ("steer", "make it more"),
        ("patching", "what differs between"),
        ("refusal", "make it stop refusing"),
        ("haystack", "which of ⟨months,plural,past⟩"),
    ],
)
async def test_the_words_of_the_field_lead_to_a_question_and_are_no_prompt(typed, question):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*({" ": "space"}.get(key, key) for key in typed))
        assert question in screen(app)
        assert "taken as the prompt" not in screen(app)


async def test_a_groups_name_stands_beside_the_first_of_its_questions_that_is_shown():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        lines = screen(app).splitlines()
        assert [line[2:12].strip() for line in lines if line[2:12].strip() in GROUPS] == GROUPS
        await pilot.press(*"switch off")
        assert re.search(r"^▌ why +what if I switch off", screen(app), re.MULTILINE)


async def test_a_tall_screen_has_the_sessions_last_findings_newest_first(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: "last findings of tour" in screen(app))
        shown = screen(app)
        assert shown.index("6  generate") < shown.index("2  predict")
        assert "KL .318" in shown
        with SessionWriter(tour) as writer:
            step = writer.add_step("tokens", {"prompt": "x"})
            writer.start(step)
            writer.publish(step, headline="one token")
            writer.finish(step, "done")
        app.feed.hint()
        await until(pilot, lambda: "7  tokens" in screen(app) and "one token" in screen(app))
