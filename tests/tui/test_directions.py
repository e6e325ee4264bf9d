"""The Directions screen: what there is and where it comes from, what it is held against, and the strength dial."""

from __future__ import annotations

import msgspec
import pytest

from tests.tui.directions import (
    ORIGIN,
    DirectionsClient,
    direction,
    edits_of,
    keep_file,
    make,
    opened,
    project,
    session,
    steer,
    try_strength,
)
from tests.tui.fakes import INFO, LOADING, PROMPT, VERSIONS, screen, until
from tests.tui.staging import words
from workbench.artifacts.direction import read_direction_file
from workbench.report import Progress
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.tui.screens.directions.dial import turned
from workbench.tui.screens.directions.state import SETTLED
from workbench.worker.protocol import Cancel, Peek


@pytest.fixture
def path(terminal):
    return session(terminal / "sessions" / "steering.db")


async def sees(pilot, *texts):
    await until(pilot, lambda: all(text in screen(pilot.app) for text in texts), f"{texts}")


def line(app, text):
    return next((line for line in screen(app).splitlines() if text in line), "")


async def to(pilot, page, name):
    """The cursor to this direction."""
    at = next(at for at, entry in enumerate(page.state.entries) if entry.name == name)
    page.listing.move_to(at)
    await until(pilot, lambda: page.state.entry and page.state.entry.name == name, name)


# --- what there is ---


async def test_each_is_listed_with_where_it_comes_from(path):
    keep_file(origin=msgspec.structs.replace(ORIGIN, about="10 + 12 prompts", fingerprint="another", layer=9))
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "Directions · 3")
        harmful, kept = line(pilot.app, "▌ @harmful"), line(pilot.app, "  @kept")
        assert "mean difference" in harmful and "L14.resid_pre −2" in harmful and "24 + 24 prompts" in harmful
        assert harmful.rstrip().endswith("step 2")
        assert "L9.resid_pre −2" in kept and kept.rstrip().endswith("another model · data folder")
        assert "uppercase in W_E" in line(pilot.app, "@uppercase ")


async def test_the_one_under_the_cursor_says_all_that_is_known(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "meant for adding", f"{INFO.name} (abcdef01)", "AUC .98, d′ 4.1", "shuffled labels")
        await sees(pilot, "projects on  step 3", "median largest |logit| 1.4", "' weapon' +4.1", "' soup' −2.9")
        await sees(pilot, "@refusal +.82 (.11)", "L14.N77 +.31!", "L16.N5 −.22")
        assert "−.22!" not in screen(pilot.app)
        await sees(pilot, "effect against damage, step 4", "log of perplexity over")
        assert not [message for message in pilot.app.link._client.requests if isinstance(message, Peek)]


async def test_one_that_no_step_projected_is_previewed_and_not_logged(path):
    keep_file()
    client = DirectionsClient()
    async with opened(client, path) as (pilot, page):
        await to(pilot, page, "kept")
        await sees(pilot, "preview, p saves it", "' attack' +3.8")
        (peek,) = client.asked(Peek)
        assert peek.params["direction"] == "@kept" and peek.session == str(path)
        assert not client.submitted
        await pilot.press("p")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["direction"] == "@kept" and client.submitted[0].params["prompt"] == PROMPT


async def test_without_any_it_says_how_to_make_one_and_fills_the_form():
    client = DirectionsClient()
    async with opened(client, None) as (pilot, _page):
        await sees(pilot, "No directions yet", "workbench run direction --name NAME")
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.screen.NAME == "Run")
        await sees(pilot, "⟨@harmful", "⟨@harmless", "filled in: change what you like, Enter runs it")
        assert not client.submitted


@pytest.mark.parametrize(
    ("status", "words"),
    [("running", "being made: prompts: 12 of 40 rows"), ("failed", "failed: too few prompts")],
)
async def test_one_that_is_being_made_or_was_not_is_in_the_list(terminal, status, words):
    path = terminal / "sessions" / "one.db"
    with SessionWriter(path) as writer:
        make(writer, direction("harmful"))
        step = writer.add_step("direction", {"name": "@french"})
        writer.start(step, INFO, VERSIONS)
        writer.publish(step, progress=Progress(done=12, total=40, unit="rows", stage="prompts"))
        if status == "failed":
            writer.finish(step, "failed", error="too few prompts")
        async with opened(DirectionsClient(), path) as (pilot, _page):
            await sees(pilot, "▌ @french", words, f"step 2 {status}")
            await pilot.press("j")
            await sees(pilot, "meant for adding")


async def test_a_direction_that_is_made_meanwhile_appears_and_the_cursor_stays(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▌ @harmful")
        with SessionWriter(path) as writer:
            make(writer, direction("french", 5))
        await sees(pilot, "  @french", "▌ @harmful", "Directions · 3")


async def test_the_cursor_follows_a_step_to_what_it_makes(path):
    with SessionWriter(path) as writer:
        step = writer.add_step("direction", {"name": "french"})
        writer.start(step, INFO, VERSIONS)
        async with opened(DirectionsClient(), path) as (pilot, page):
            await sees(pilot, "▌ @french", "being made")
            assert not page.dial.display and not page.dial.region
            use = msgspec.structs.replace(direction("french", 5).use, role="made")
            writer.apply(step, Update(artifacts=[use]), "done")
            await sees(pilot, "▌ @french", "meant for adding", "added at ⟨L14.resid_pre")


async def test_a_damaged_file_is_a_sentence_on_its_line(path):
    file = keep_file()
    file.write_bytes(b"\0" * 40)
    async with opened(DirectionsClient(), path) as (pilot, page):
        await sees(pilot, "  @kept")
        await to(pilot, page, "kept")
        await until(pilot, lambda: "kept.safetensors" in line(pilot.app, "▌ @kept") or "kept" in line(pilot.app, "▌"))
        await pilot.press("plus", "a", "E")
        assert not pilot.app.edits.entries


# --- the dial ---


async def test_the_dial_stands_where_steer_chose_and_shows_what_was_tried(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▸ +6", "sorry sorry sorry")
        tried = [text for text in screen(pilot.app).splitlines() if " strength " in text]
        assert any("L14.resid_pre += strength × @harmful" in text for text in tried)
        lines = screen(pilot.app).splitlines()
        order = [next(at for at, text in enumerate(lines) if start in text) for start in ("  −4 ", " 0   ", "▸ +6 ")]
        assert order == sorted(order), "weakest first"
        assert "2.02!" in line(pilot.app, "▸ +6"), "11.9 over 5.9 is broken"
        assert "city of light" in lines[order[1]]


async def test_turning_it_asks_for_one_strength_however_often_it_is_turned(path):
    client = DirectionsClient()
    async with opened(client, path) as (pilot, page):
        await sees(pilot, "▸ +6")
        for _ in range(3):  # in one turn of the event loop, however slow the machine is
            page.action_turn(1)
        await sees(pilot, "▸ +16", "a text at strength 16.")
        assert client.strengths == ["L14.resid_pre+=16*@harmful"]
        assert client.submitted[0].parent == 2, "a step under the one that made it"
        for _ in range(3):
            page.action_turn(-1)
        await sees(pilot, "▸ +6", "sorry sorry sorry")
        await pilot.pause(2 * SETTLED)
        assert len(client.submitted) == 1, "what was tried is shown"


async def test_plus_and_minus_turn_it(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("plus")
        await sees(pilot, "▸ +8")
        await pilot.press("minus")
        await sees(pilot, "▸ +6")


async def test_a_strength_that_is_typed_cancels_the_one_that_runs(path):
    client = DirectionsClient(slow=True)
    async with opened(client, path) as (pilot, page):
        await sees(pilot, "▸ +6")
        await pilot.press("plus")
        await sees(pilot, "▸ +8", " a te")
        page.dial.field("strength").focus()
        await pilot.press("ctrl+u", *"-2.5", "enter")
        await until(pilot, lambda: client.strengths[1:] == ["L14.resid_pre-=2.5*@harmful"])
        (cancelled,) = client.asked(Cancel)
        assert cancelled.step == 7
        await sees(pilot, "▸ −2.5")


async def test_another_text_has_continuations_of_its_own(path):
    client = DirectionsClient()
    async with opened(client, path) as (pilot, page):
        await sees(pilot, "▸ +6")
        await pilot.press("i", "ctrl+u")
        await words(pilot, "Once")
        await until(pilot, lambda: "sorry" not in screen(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].params["prompt"] == "Once"
        await sees(pilot, "sorry sorry sorry")
        page.dial.field("text").fill(PROMPT)
        await sees(pilot, "  −4 ")


@pytest.mark.parametrize(
    ("strength", "site", "problem"),
    [("much", "L14.resid_pre", "a strength is a number"), ("inf", "L14.resid_pre", "finite"), ("2", "L99.x", "L99")],
)
async def test_what_cannot_be_added_is_a_sentence(path, strength, site, problem):
    client = DirectionsClient()
    async with opened(client, path) as (pilot, page):
        await sees(pilot, "▸ +6")
        page.dial.field("at").fill(site)
        page.dial.field("strength").fill(strength)
        page.dial.field("strength").focus()
        await pilot.press("enter")
        await sees(pilot, problem)
        assert not client.submitted


async def test_control_c_cancels_the_continuation(path):
    client = DirectionsClient(slow=True)
    async with opened(client, path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("plus")
        await sees(pilot, "▸ +8", " a te")
        await pilot.press("ctrl+c")
        await until(pilot, lambda: client.asked(Cancel))


def test_the_dial_goes_over_zero():
    assert [turned(4, 1), turned(5, 1), turned(0.25, -1), turned(-0.25, 1), turned(4, -1)] == [6, 6, -0.25, 0.25, 3]
    assert turned(9999, 1) == 9999


# --- what can be done with one ---


async def test_it_goes_into_the_edits(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("a", "E")
        assert pilot.app.edits.on() == edits_of(["@harmful=0", "L14.resid_pre+=6*@harmful"])
        await sees(pilot, "L14.resid_pre+=6*@harmful is on for every experiment")


async def test_steering_fills_its_form(path):
    client = DirectionsClient()
    async with opened(client, path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("s")
        await until(pilot, lambda: pilot.app.screen.NAME == "Prompt")
        await sees(pilot, "⟨@harmful", "filled in")
        assert not client.submitted


async def test_a_new_name_keeps_what_was_tried(path):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("r")
        await words(pilot, "2bad")
        await pilot.press("enter")
        await sees(pilot, "no name for a direction")
        await pilot.press("ctrl+u", *"unsafe", "enter")
        await sees(pilot, "▌ @unsafe", "@harmful is called @unsafe now", "sorry sorry sorry", "' weapon' +4.1")


async def test_export_writes_it_with_its_origin(path, terminal):
    async with opened(DirectionsClient(), path) as (pilot, _page):
        await sees(pilot, "▸ +6")
        await pilot.press("x", "enter")
        await sees(pilot, "@harmful is in")
        written = read_direction_file("harmful", terminal / "harmful.safetensors")
        assert written.origin == ORIGIN and written.vector == direction("harmful").vector
        await pilot.press("x", "enter")
        await sees(pilot, "is there already")


async def test_removing_asks_once_and_says_what_it_does(path):
    file = keep_file()
    async with opened(DirectionsClient(), path) as (pilot, page):
        await sees(pilot, "▸ +6")
        await pilot.press("delete")
        await sees(pilot, "Delete again takes the name off it")
        await pilot.press("delete")
        await until(pilot, lambda: "@harmful " not in screen(pilot.app).partition("──")[0])
        await to(pilot, page, "kept")
        await pilot.press("delete")
        await sees(pilot, "Delete again deletes")
        assert file.exists()
        await pilot.press("delete")
        await until(pilot, lambda: not file.exists())
        await sees(pilot, "Directions · 1")


async def test_enter_projects_it_and_o_leads_to_the_step_that_made_it(path):
    async with opened(client := DirectionsClient(), path) as (pilot, page):
        await sees(pilot, "▸ +6")
        text = page.dial.question.text
        await pilot.press("o")
        await until(pilot, lambda: pilot.app.screen.NAME == "Timeline" and pilot.app.screen.lines.current == 2)
        pilot.app.show("directions")
        await sees(pilot, "▸ +6")
        await pilot.press("enter")
        await until(pilot, lambda: any(step.experiment == "project" for step in client.submitted))
        asked = next(step for step in client.submitted if step.experiment == "project")
        assert (asked.params["direction"], asked.params["prompt"]) == ("@harmful", text)


async def test_in_a_replay_enter_leads_to_the_step_that_made_it(path):
    async with opened(None, path) as (pilot, _page):
        await sees(pilot, "▌ @harmful")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.NAME == "Timeline" and pilot.app.screen.lines.current == 2)


# --- sizes, a replay, a model that loads ---


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_it_fits(path, size):
    async with opened(DirectionsClient(), path, size) as (pilot, _page):
        await sees(pilot, "▌ @harmful", "' weapon' +4.1", "▸ +6", "sorry")
        assert ("shuffled labels" in screen(pilot.app)) is (size[1] > 30)


async def test_a_replay_shows_what_was_found_and_offers_nothing_else(path):
    async with opened(None, path) as (pilot, page):
        await sees(pilot, "▌ @harmful", "' weapon' +4.1", "sorry sorry sorry")
        await pilot.press("plus")
        await sees(pilot, "this strength was not tried in it")
        await pilot.press("r", "s", "p", "m", "delete")
        assert pilot.app.screen is page and not page.asking.is_open


async def test_while_the_model_loads_it_says_what_is_waited_for(terminal):
    path = terminal / "sessions" / "one.db"
    with SessionWriter(path) as writer:
        make(writer, direction("harmful"))
    client = DirectionsClient(LOADING)
    async with opened(client, path) as (pilot, _page):
        await sees(pilot, "what it promotes: waiting for the model", "what is asked now waits for it")


async def test_other_steps_of_a_direction_are_not_taken_for_its_own(terminal):
    """One that a projection is compared with; another text, place or template; an edit that does more."""
    path = terminal / "sessions" / "one.db"
    with SessionWriter(path) as writer:
        harmful = direction("harmful")
        make(writer, harmful)
        step = writer.add_step("project", {"direction": "@other", "beside": "@harmful"}, uses=[harmful.use])
        writer.finish(step, "done")
        try_strength(writer, harmful, 3.0, site="L15.resid_pre")
        try_strength(writer, harmful, 3.0, prompt="Once")
        both = edits_of(["L14.resid_pre+=3*@harmful", "L0.N1=0"])
        writer.finish(writer.add_step("generate", {"prompt": PROMPT}, both, uses=[harmful.use]), "done")
    async with opened(DirectionsClient(), path) as (pilot, page):
        await sees(pilot, "+ or − adds it")
        assert page.state.findings.projected is None and not page.state.findings.attempts
        with SessionWriter(path) as writer:
            project(writer, harmful)
            steer(writer, harmful)
        await until(pilot, lambda: page.state.findings.projected and page.state.findings.front)
