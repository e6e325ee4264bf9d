"""The Why screen by keys alone."""

from __future__ import annotations

import pytest

from tests.tui.fakes import LOADING, screen, until, workbench
from tests.tui.why import PICKED, WhyClient, answered, opened, params, session, write
from workbench.report import NextStep
from workbench.tui.screens.neurons import Neurons
from workbench.tui.screens.prompt import Prompt
from workbench.tui.screens.why import Why
from workbench.worker.protocol import Cancel, Pin


def line_with(app, text: str) -> str:
    return next((line for line in screen(app).splitlines() if text in line), "")


async def test_empty_it_shows_the_question_what_it_does_and_what_it_costs():
    async with opened(WhyClient()) as (pilot, page):
        text = screen(pilot.app)
        filled = ("⟨The capital of France is", "⟨ Paris")
        for words in ("prompt", "answer", "foil", *filled, "Enter asks", "Ctrl+C keeps what there is"):
            assert words in text, words
        await until(pilot, lambda: "passes of 6 tokens" in screen(pilot.app), "what it takes")
        await pilot.press("enter")  # the example, as it stands
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the sentence")


async def test_all_that_was_found_is_on_one_screen():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "L24.N1005" in screen(pilot.app), "the neurons")
        text = screen(pilot.app)
        assert "Why ' Paris' after \"The capital of France is\"" in text and "clean .773" in text
        assert "heads +9.75" in text and "= logit ' Paris'" in text
        assert "three neurons off: p(' Paris') .773 → .120" in text
        assert "64 matched random sets of 3 neurons: median .760 (5–95 %: .740–.770)" in text
        assert "├" in line_with(pilot.app, "matched random sets of 3 neurons n 64")
        assert "L23.H4" in text and "−.9 → −.21" in text
        assert "L21 · ' is': −4.2" in text
        assert "! 1 of 46,080 stands out from chance" in text and "L24.N1005!" in text
        assert "' Lyon'" in text and "next token" in text
        assert "$ workbench why 'The capital of France is' ' Paris'" in text
        assert "after 'The" not in text, "the prompt stands in the heading"
        rows = [line for line in text.splitlines() if "● L" in line]
        assert [row.split("● ")[1].split()[0] for row in rows] == list(PICKED), "those that 0 switches off are on top"
        submit = client.last("why")
        assert submit.params["answer"] == " Paris" and submit.params["controls"] == 64


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (200, 60)])
async def test_every_size_has_the_sentence_the_noise_floor_and_both_lists(size):
    async with opened(WhyClient(), size=size) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the sentence")
        lines = screen(pilot.app).splitlines()
        assert len(lines) == size[1] and max(map(len, lines)) <= size[0]
        text = "\n".join(lines)
        for words in (
            "L29.N385",
            "L23.H4",
            "matched random sets of 3",
            "picked, off",
            "workbench why",
            "F1 keys",
            "' the' .062",
        ):
            if words != "' the' .062" or size[0] < 96:
                assert words in text, words


async def test_narrow_the_map_takes_the_heads_place():
    async with opened(WhyClient(), size=(80, 24)) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "L23.H4" in screen(pilot.app), "the heads")
        await pilot.press("tab", "tab")
        await until(pilot, lambda: "L21 · ' is'" in screen(pilot.app), "the map")
        assert "L23.H4" not in screen(pilot.app)
        await pilot.press("h", "k")
        await until(pilot, lambda: "· ' France'" in screen(pilot.app), "another place")


async def test_while_it_runs_each_table_is_there_as_it_arrives():
    client = WhyClient(stage="direct")
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "heads +9.75" in screen(pilot.app), "the direct effect")
        assert "neurons: coming" in screen(pilot.app) and "1 of 8" in screen(pilot.app)
        writer = client.writer(str(pilot.app.feed.path))
        write(writer, 1, "swept")
        pilot.app.feed.hint()
        await until(pilot, lambda: "L24.N1005" in screen(pilot.app), "the neurons")
        assert "40 of 200 units" in screen(pilot.app) and "left" in screen(pilot.app)
        write(writer, 1, "controls")
        pilot.app.feed.hint()
        await until(
            pilot,
            lambda: "8 of 64 matched random sets of 3" in screen(pilot.app),
            "the sentence with its first controls",
        )
        assert "6 of 8" in screen(pilot.app)
        write(writer, 1, "done")
        pilot.app.feed.hint()
        await until(pilot, lambda: "· 64 matched random sets of 3" in screen(pilot.app), "the end")
        assert "6 of 8" not in screen(pilot.app)


async def test_a_moved_cursor_stays_on_its_unit_when_the_order_changes():
    client = WhyClient(stage="swept")
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        listing = page.panes.list_of("neurons")
        await until(pilot, lambda: listing.count, "the neurons")
        await pilot.press("j", "j")
        assert listing.current.unit == "L29.N864"
        write(client.writer(str(pilot.app.feed.path)), 1, "done")
        pilot.app.feed.hint()
        await until(pilot, lambda: listing.count == 5, "those picked")
        assert listing.current.unit == "L29.N864" and listing.cursor == 4


async def test_cancelled_it_keeps_what_there_is():
    client = WhyClient(stage="effect")
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the effect")
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "cancelled" in line_with(pilot.app, "step 1 · why"), "its end")
        assert [message.step for message in client.requests if isinstance(message, Cancel)] == [1]
        assert "three neurons off" in screen(pilot.app) and "L24.N1005" in screen(pilot.app)


async def test_what_cannot_be_answered_is_a_sentence_and_the_question_can_be_mended():
    client = WhyClient(stage="queued", error="answer and foil are the same token, ' Paris': name another foil")
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "the same token, ' Paris'" in screen(pilot.app), "the sentence")
        await until(pilot, lambda: page.fields.field("prompt").has_focus, "the fields")
        await pilot.press("tab", "tab")
        assert page.fields.field("foil").has_focus
        client.error, client.stage = "", "done"
        await pilot.press("space", *"Lyon", "enter")
        await until(pilot, lambda: "foil ' Lyon' .004" in screen(pilot.app), "the other question")
        assert client.last("why").params["foil"] == " Lyon"


async def test_what_is_typed_into_a_short_field_stays_in_sight():
    async with opened(WhyClient()) as (pilot, page):
        await pilot.press("tab", "tab", *"a foil that is longer than its field")
        assert page.fields.field("foil").value == "a foil that is longer than its field"
        await until(pilot, lambda: "than its field" in line_with(pilot.app, "foil  "), "the end of it")


async def test_an_empty_prompt_and_a_wrong_size_are_sentences():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("ctrl+u", "enter")
        await until(pilot, lambda: "a prompt is needed" in page.notice_sentence(), "the sentence")
        page.fields.field("prompt").fill("Once")
        page.fields.field("size").fill("0")
        await pilot.press("enter")
        await until(pilot, lambda: "size" in page.notice_sentence() and ">= 1" in page.notice_sentence(), "the bounds")
        assert not client.submitted


async def test_zero_switches_the_picked_ones_off_and_on_and_asks_once():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the sentence")
        await pilot.press("0")
        await until(pilot, lambda: "KL 1.44" in screen(pilot.app), "the trial's sentence")
        assert "three neurons off" not in screen(pilot.app)
        assert "off: L29.N385, L24.N963, L29.N511 (the pick)" in screen(pilot.app)
        assert ".062" in line_with(pilot.app, "' the'") and ".310" in line_with(pilot.app, "' the'")
        submit = client.last("predict")
        assert [str(edit) for edit in submit.edits] == ["L29.N385, L24.N963, L29.N511[1-]=0"]
        assert submit.parent == 1 and submit.params["controls"] == 64 and submit.params["answer"] == " Paris"
        await pilot.press("0")
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the first sentence again")
        assert ".310" not in screen(pilot.app)
        await pilot.press("0")
        await until(pilot, lambda: "KL 1.44" in screen(pilot.app), "the trial again")
        assert len(client.submitted) == 2, "what was tried is not asked again"


async def test_space_chooses_what_zero_switches_off_and_a_brings_the_pick_back():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "● L29.N385" in screen(pilot.app), "the pick")
        await pilot.press("space", "tab", "space")  # the first neuron out, the first head in
        await until(pilot, lambda: "0 switches off L24.N963, L29.N511, L23.H4" in screen(pilot.app), "the set")
        assert "● L29.N385" not in screen(pilot.app) and "● L23.H4" in screen(pilot.app)
        await pilot.press("0")
        await until(pilot, lambda: "your 3 units (0)" in screen(pilot.app), "its level among the others")
        assert [str(edit) for edit in client.last("predict").edits] == ["L24.N963, L29.N511, L23.H4[1-]=0"]
        await pilot.press("a")
        await until(pilot, lambda: "● L29.N385" in screen(pilot.app), "the pick again")
        assert page.state.is_pick and not page.state.off


async def test_under_edits_it_says_so_and_what_is_switched_off_comes_on_top():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        pilot.app.edits.add("L5.H3=0", None)
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "asked under L5.H3=0" in screen(pilot.app), "the edits")
        await pilot.press("0")
        await until(pilot, lambda: "KL 1.44" in screen(pilot.app), "the trial")
        first, second = map(str, client.last("predict").edits)
        assert first == "L5.H3=0" and second == "L29.N385, L24.N963, L29.N511[1-]=0"
        pilot.app.edits.toggle(0)
        await pilot.press("r")
        await until(pilot, lambda: len(client.submitted) == 3, "again")
        assert client.submitted[2].edits == client.submitted[0].edits, "as it was asked, whatever is on now"


async def test_help_names_its_keys():
    async with opened(WhyClient(), size=(120, 60)) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await pilot.press("f1")
        await until(pilot, lambda: "why.toggle" in screen(pilot.app), "the keys by name")
        assert "Why does it say that?" in screen(pilot.app)


async def test_p_pins_and_unpins_the_unit_under_the_cursor():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "● L24.N963" in screen(pilot.app), "the neurons")
        await pilot.press("j", "p")
        await until(pilot, lambda: "L24.N963" in page.state.finding.pins, "the pin")
        await until(pilot, lambda: line_with(pilot.app, "● L24.N963")[:46].rstrip().endswith("p"), "its mark")
        await pilot.press("p")
        await until(pilot, lambda: not page.state.finding.pins, "no pin")
        pins = [message for message in client.requests if isinstance(message, Pin)]
        assert [(pin.unit, pin.remove) for pin in pins] == [("L24.N963", False), ("L24.N963", True)]


async def test_c_offers_the_likeliest_tokens_as_foils_and_takes_any():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the sentence")
        await pilot.press("c")
        await until(pilot, lambda: page.asking.is_open, "the line")
        offered = [one.text for one in page.asking.completions.items]
        assert offered == [" the", " Lyon", ""], "not the answer; the last is none"
        await pilot.press("down", "enter")
        await until(pilot, lambda: "foil ' Lyon' .004" in screen(pilot.app), "the question with the foil")
        assert client.last("why").params["foil"] == " Lyon" and client.last("why").parent == 1
        await pilot.press("c", "space", *"Nice", "enter")
        await until(pilot, lambda: client.last("why").params["foil"] == " Nice", "a typed one")


async def test_enter_opens_the_neuron_the_head_and_the_place():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "● L29.N385" in screen(pilot.app), "the neurons")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Neurons), "the Neurons screen")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Why), "back")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompt), "the head's attention")
        await until(pilot, lambda: client.submitted[-1].experiment == "attention", "asked")
        assert client.last("attention").params["head"] == "L23.H4" and client.last("attention").parent == 1
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Why), "back")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: client.submitted[-1].experiment == "predict", "the place")
        assert [str(edit) for edit in client.last("predict").edits] == ["L21.resid_pre[4]=0"]


async def test_homes_question_leads_here_and_runs():
    client = WhyClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"why does")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Why), "the screen")
        await until(pilot, lambda: "three neurons off" in screen(app), "the answer")
        assert client.last("why").params["prompt"] == "The capital of France is"
        assert app.focused is app.screen.panes.list_of("neurons")


async def test_asked_with_all_its_fields_on_prompt_it_is_answered_here():
    client = WhyClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("prompt").ask(NextStep(label="", experiment="why", params=params(controls=8)), None)
        await until(pilot, lambda: isinstance(app.screen, Why), "the screen")
        await until(pilot, lambda: "three neurons off" in screen(app), "the answer")
        assert client.last("why").params["controls"] == 8
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Prompt), "back")


async def test_while_the_model_loads_it_says_what_is_waited_for():
    async with opened(WhyClient(LOADING)) as (pilot, _):
        await until(pilot, lambda: "loading the weights" in screen(pilot.app), "the stage")


async def test_r_asks_the_same_again_as_a_branch():
    client = WhyClient()
    async with opened(client) as (pilot, page):
        await pilot.press("enter")
        await answered(pilot, page)
        await until(pilot, lambda: "three neurons off" in screen(pilot.app), "the sentence")
        await pilot.press("r")
        await until(pilot, lambda: len(client.submitted) == 2, "again")
        first, second = client.submitted
        assert second.params == first.params and second.parent == 1
        await until(pilot, lambda: page.state.step == 2 and page.state.finding, "the new step")


async def test_hostile_text_reaches_no_terminal(terminal):
    path = session(terminal / "sessions" / "old.db", prompt="\x1b]0;owned\x07 \u202e")
    async with opened(None, path) as (pilot, page):
        await until(pilot, lambda: page.state.finding, "the step")
        await until(pilot, lambda: "\\x1b]0;owned" in screen(pilot.app), "the escapes, visible")
        assert "\x1b" not in screen(pilot.app) and "\u202e" not in screen(pilot.app)
