"""The Neurons screen by keys alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.events import Key

from tests.tui.fakes import screen, until
from tests.tui.neurons import NeuronClient, lines_with, make_index, neurons
from workbench.worker.protocol import Note, Peek, Pin, Submit


async def typed(pilot, text: str) -> None:
    for character in text:
        await pilot.press(character)


async def test_moving_by_vim_keys_arrows_and_pages() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("j", "j", "down")
        assert page.neuron == 3
        await pilot.press("k")
        assert page.neuron == 2
        await pilot.press("pagedown")
        assert page.neuron is not None and page.neuron > 20
        await pilot.press("G")
        assert page.neuron == 119
        await pilot.press("g", "g")
        assert page.neuron == 0
        assert not page.asking.is_open
        await until(pilot, lambda: "▌   L0.N0 " in screen(pilot.app), "the cursor's mark")


async def test_the_card_follows_and_settles_on_the_last() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press(*"jjjjjjjj")
        await until(pilot, lambda: page.pane.neuron == 8, "the card of the last")
        card = index.card(0, 8)
        text = screen(pilot.app)
        assert "n 10,000 tokens" in text and "in 50 documents" in text
        assert f"[{card.high[0].tokens[card.high[0].peak].strip()}]" in text or "↵" in text
        assert "when +" in text and "when −" in text
        assert "reads like" in text and "writes like" in text
        assert text.count("gate +") == 2


async def test_a_filter_says_how_many_and_keeps_the_cursor() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("g")
        await typed(pilot, "L1.N7")
        await pilot.press("enter")
        assert page.neuron == 47
        await pilot.press("slash")
        await typed(pilot, "layer 1 neuron 5-9")
        await until(pilot, lambda: "5 of 120" in screen(pilot.app), "the count while typing")
        await pilot.press("enter")
        assert page.listing.ids.tolist() == [45, 46, 47, 48, 49]
        assert page.neuron == 47
        await until(pilot, lambda: "filter: layer 1 neuron 5-9   5 of 120" in screen(pilot.app), "the status")


async def test_a_wrong_filter_points_at_the_character_and_stays_open() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("slash")
        await typed(pilot, "layer 1 kurtosys>5 vr>.1")
        await pilot.press("enter")
        await until(pilot, lambda: "did you mean kurtosis" in screen(pilot.app), "the sentence")
        field = next(line for line in screen(pilot.app).splitlines() if line.startswith(" filter"))
        caret = next(line for line in screen(pilot.app).splitlines() if "^" in line)
        assert caret.index("^") == field.index("kurtosys")
        assert page.asking.is_open and len(page.listing.ids) == 120
        await pilot.press("escape")
        assert not page.asking.is_open and pilot.app.focused is page.listing


async def test_terms_complete_by_tab() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("slash")
        await typed(pilot, "fam")
        await until(pilot, lambda: "family=" in screen(pilot.app), "the completion")
        await pilot.press("tab")
        await typed(pilot, "pred")
        await pilot.press("tab", "enter")
        assert page.browse.query.text == "family=prediction"


async def test_filtered_to_nothing_names_the_term_and_relaxes() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("slash")
        await typed(pilot, "layer 99 neuron<5")
        await pilot.press("enter")
        await until(pilot, lambda: "No neuron passes" in screen(pilot.app), "the sentence")
        (worst,) = lines_with(pilot.app, "takes the most away")
        assert "layer 99" in worst and "15 pass all the others" in worst
        await pilot.press("R")
        await until(pilot, lambda: len(page.listing.ids) == 15, "the relaxed filter")
        assert page.browse.query.text == "neuron<5"
        await until(pilot, lambda: "L2.N4" in screen(pilot.app), "the list again")


async def test_sorting_by_a_chosen_column_and_back() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("s")
        await typed(pilot, "vr")
        await pilot.press("enter")
        values = index.columns["vr"].values[page.listing.ids]
        assert (values[:-1] >= values[1:]).all()
        await until(pilot, lambda: "VR, largest first" in screen(pilot.app), "the order in words")
        await pilot.press("S")
        values = index.columns["vr"].values[page.listing.ids]
        assert (values[:-1] <= values[1:]).all()
        await pilot.press("s")
        await typed(pilot, "address")
        await pilot.press("enter")
        assert page.listing.ids.tolist() == list(range(120))


async def test_keys_that_come_in_one_burst_go_where_they_belong() -> None:
    """Over a slow line many keys arrive at once: none may act on what had the focus before."""
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        burst = ["slash", *"layer", "space", *"1-2", "enter", "g", *"L2", "full_stop", *"N9", "enter", "k"]
        for key in burst:
            pilot.app.post_message(Key(key, {"space": " ", "full_stop": "."}.get(key, key if len(key) == 1 else None)))
        await until(pilot, lambda: page.neuron == 88, "the last key's effect")
        assert page.browse.query.text == "layer 1-2" and not page.asking.is_open
        assert pilot.app.screen is page
        for key in ("slash", *"vr>0", "enter", "s", *"vr", "enter"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: page.browse.order_by == "vr", "the order that was typed, not the first offered")


async def test_jumping_out_of_a_filter_takes_it_off() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("slash", *"vr>=2", "backspace", "0", "enter")
        await pilot.press("slash", "ctrl+u")
        await typed(pilot, "layer 0")
        await pilot.press("enter", "g")
        await typed(pilot, "L9.N1")
        await pilot.press("enter")
        await until(pilot, lambda: "there is no layer 9" in screen(pilot.app), "what is wrong")
        await pilot.press("ctrl+u")
        await typed(pilot, "L2.N3")
        await pilot.press("enter")
        assert page.neuron == 83
        assert "removed: L2.N3 does not pass it · Ctrl+Z brings it back" in page.notice_sentence()


async def test_columns_are_chosen_and_moved() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await until(pilot, lambda: " VR " in screen(pilot.app), "the columns")
        await pilot.press("c", "j", "space")
        await until(pilot, lambda: "vr" not in page.browse.names, "the column gone")
        chooser = page.pane.chooser
        await until(pilot, lambda: chooser._all[chooser.cursor] == "vr", "the cursor on it")
        await pilot.press("space")
        await until(pilot, lambda: page.browse.names[-1] == "vr", "the column back")
        await pilot.press("K")
        await until(pilot, lambda: page.browse.names[-2] == "vr", "the column moved")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.focused is page.listing, "the list again")


async def test_marks_filter_and_two_are_compared() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("v")
        assert "mark both with Space" in page.notice_sentence()
        await pilot.press("space", "j", "space")
        assert page.browse.marks == {0, 2}
        await until(pilot, lambda: "2 marked" in screen(pilot.app), "the count of marks")
        await pilot.press("slash")
        await typed(pilot, "in:marked")
        await pilot.press("enter")
        assert page.listing.ids.tolist() == [0, 2]
        await pilot.press("v")
        await until(pilot, lambda: screen(pilot.app).count(" examples, of") == 2, "two cards")
        assert "L0.N0" in screen(pilot.app) and "L0.N2" in screen(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: page.listing.display and pilot.app.focused is page.listing, "the list again")


async def test_both_tails() -> None:
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await until(pilot, lambda: page.pane.neuron == 0, "the card")
        assert not ("top examples" in screen(pilot.app) and "lowest examples" in screen(pilot.app))
        await pilot.press("b")
        await until(
            pilot, lambda: "top examples" in screen(pilot.app) and "lowest examples" in screen(pilot.app), "both tails"
        )


async def test_a_neuron_that_works_below_zero_shows_its_lowest_first() -> None:
    index = make_index()
    below = next(n for n in range(40) if index.card(0, n).tail_share[1] > 0.9)
    async with neurons(NeuronClient(index)) as (pilot, page):
        page.listing.go_to(below)
        await until(pilot, lambda: page.pane.neuron == below, "the card")
        await until(pilot, lambda: "lowest examples" in screen(pilot.app), "its lowest")
        assert "top examples" not in screen(pilot.app) and "highest" in screen(pilot.app)


async def test_your_text_comes_by_peek_for_the_neuron_under_the_cursor() -> None:
    index = make_index()
    client = NeuronClient(index)
    async with neurons(client) as (pilot, _):
        await until(pilot, lambda: "6.2 5.9" in screen(pilot.app), "the values")
        assert lines_with(pilot.app, "The capital of France is")
        assert "▲ here 6.2 at ' France'" in screen(pilot.app)
        await pilot.press("j")
        await until(pilot, lambda: client.asked(Peek)[-1].params["units"] == "L0.N1", "the next one's")
        await pilot.press("w")
        await typed(pilot, "Hello")
        await pilot.press("enter")
        await until(pilot, lambda: client.asked(Peek)[-1].params["prompt"] == "Hello", "the new text")


async def test_zero_shows_clean_and_edited_beside_controls(own_folders: Path) -> None:
    index = make_index()
    client = NeuronClient(index)
    async with neurons(client, session=own_folders / "s.db") as (pilot, page):
        await pilot.press("j", "0")
        await until(pilot, lambda: client.asked(Submit), "the step")
        (message,) = client.asked(Submit)
        assert (message.experiment, [str(edit) for edit in message.edits]) == ("predict", ["L0.N1=0"])
        assert message.params["prompt"] == page.state.text and message.params["controls"] == 64
        await until(pilot, lambda: "KL .318" in screen(pilot.app), "the sentence")
        text = screen(pilot.app)
        assert "clean        ' Paris' .771" in text
        assert "L0.N1=0      ' Paris' .412" in text
        await pilot.press("j")
        await until(pilot, lambda: "KL .318" not in screen(pilot.app), "the other neuron has none")
        await pilot.press("asterisk")
        await typed(pilot, "-2")
        await pilot.press("enter")
        await until(pilot, lambda: len(client.asked(Submit)) == 2, "the scaled one")
        assert str(client.asked(Submit)[-1].edits[0]) == "L0.N2*=-2"


async def test_every_neuron_is_ranked_by_how_unusual_it_is_on_your_text(own_folders: Path) -> None:
    client = NeuronClient(make_index())
    async with neurons(client, session=own_folders / "s.db") as (pilot, page):
        await pilot.press("w")
        await typed(pilot, "May")  # replaces the text that stands there
        await pilot.press("enter", "slash")
        await typed(pilot, "layer 2")
        await pilot.press("enter", "u")
        await until(pilot, lambda: page.listing.ids[0] == 119, "the order within the filter")
        assert client.asked(Submit)[-1].params["prompt"] == "May"
        assert page.listing.ids.tolist()[:3] == [119, 118, 117]


async def test_pins_go_into_the_session_and_filter(own_folders: Path) -> None:
    index = make_index()
    client = NeuronClient(index)
    async with neurons(client, session=own_folders / "s.db") as (pilot, page):
        await pilot.press("j", "p")
        await until(pilot, lambda: "★" in screen(pilot.app), "the star")
        await pilot.press("space", "space", "P")
        await typed(pilot, "months")
        await pilot.press("enter")
        await until(pilot, lambda: len(client.asked(Pin)) == 3, "three pins")
        await until(pilot, lambda: "months" in page.browse.sets, "the set")
        await pilot.press("slash")
        await typed(pilot, "in:mon")
        await pilot.press("tab", "enter")
        assert page.listing.ids.tolist() == [1, 2]
        await pilot.press("B")
        await until(pilot, lambda: "months" in screen(pilot.app) and "Basket" in screen(pilot.app), "the basket")
        assert len(lines_with(pilot.app, "L0.N1")) == 2
        await pilot.press("G", "enter")
        await until(pilot, lambda: pilot.app.screen is page, "back on the list")
        assert page.neuron == 2
        await pilot.press("B", "x")
        await until(pilot, lambda: client.asked(Pin)[-1].remove, "taken out")
        await until(pilot, lambda: len(pilot.app.screen.pins.pins) == 2, "one line less")
        await pilot.press("a")
        await typed(pilot, "L0.H1")
        await pilot.press("enter")
        await until(pilot, lambda: lines_with(pilot.app, "L0.H1"), "a head beside the neurons")
        await pilot.press("g", "0")
        assert str(pilot.app.edits.on()[0]) == "basket=0"


async def test_a_note_is_on_the_card(own_folders: Path) -> None:
    index = make_index()
    client = NeuronClient(index)
    async with neurons(client, session=own_folders / "s.db") as (pilot, page):
        await pilot.press("n")
        await typed(pilot, "fires on [w]")
        await pilot.press("enter")
        await until(pilot, lambda: client.asked(Note), "the note")
        assert client.asked(Note)[0].text == "L0.N0: fires on [w]"
        await until(pilot, lambda: page.state.notes_on("L0.N0"), "the note read back")


async def test_export_writes_the_card(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_folders)
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await pilot.press("j", "x")
        await until(pilot, lambda: "the card is in" in page.notice_sentence(), "the sentence")
    assert "top examples" in (own_folders / "L0.N1.txt").read_text()
    data = json.loads((own_folders / "L0.N1.json").read_text())
    assert data["unit"] == "L0.N1" and len(data["high"]) == 4 and sum(data["histogram"]) > 0


async def test_enter_opens_the_neuron_in_another_experiment(own_folders: Path) -> None:
    index = make_index()
    client = NeuronClient(index)
    async with neurons(client, session=own_folders / "s.db") as (pilot, _):
        await pilot.press("j", "enter")
        await until(pilot, lambda: client.asked(Submit), "the step")
        message = client.asked(Submit)[0]
        assert message.experiment == "activations" and message.params["units"] == "L0.N1"


async def test_80_by_24_list_alone_then_the_card_below() -> None:
    index = make_index()
    async with neurons(NeuronClient(index), size=(80, 24)) as (pilot, page):
        assert not lines_with(pilot.app, " examples, of")
        await pilot.press("j", "tab")
        await until(pilot, lambda: lines_with(pilot.app, " examples, of"), "the card")
        assert "L0.N1 " in screen(pilot.app)
        await pilot.press("J")
        await until(pilot, lambda: page.pane.card.scroll_offset.y > 0, "the card scrolled")
        await pilot.press("escape")
        await until(pilot, lambda: not lines_with(pilot.app, "n 10,000"), "the list alone")
        assert pilot.app.screen is page
