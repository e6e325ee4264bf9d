"""The screen of neurons by its index: none yet, weights alone, growing, damaged, of another model."""

from __future__ import annotations

from pathlib import Path

from tests.index.synthetic import make
from tests.tui.fakes import screen, until
from tests.tui.neurons import NeuronClient, lines_with, make_index, neurons
from tests.tui.test_neurons import typed
from workbench.index.format import read_index_file, write_index_file
from workbench.index.store import indexes_dir
from workbench.worker.protocol import Submit


async def test_no_index_reads_the_weights_and_says_what_more_costs(own_folders: Path) -> None:
    client = NeuronClient(hold=True)
    async with neurons(client, session=own_folders / "s.db") as (pilot, _):
        await until(pilot, lambda: "20,000" in screen(pilot.app), "the offer")
        await until(pilot, lambda: client.asked(Submit), "the weights are read unasked")
        assert client.asked(Submit)[0].params == {"tokens": 0}
        await until(pilot, lambda: "building an index" in screen(pilot.app), "how far it is")
        await pilot.press("s", "slash", "p", "0", "j")
        await pilot.press("I")
        await until(pilot, lambda: "build 20,000 tokens" in screen(pilot.app), "the choices")


async def test_weights_alone_can_be_browsed_and_an_index_is_offered(own_folders: Path) -> None:
    index = make_index(data=False)
    client = NeuronClient(index)
    async with neurons(client, session=own_folders / "s.db") as (pilot, _):
        await until(pilot, lambda: "weights alone" in screen(pilot.app), "what it is")
        await until(pilot, lambda: lines_with(pilot.app, "when +"), "the card")
        assert not lines_with(pilot.app, " examples, of")
        await pilot.press("I")
        await until(pilot, lambda: "build 20,000 tokens" in screen(pilot.app), "the offer")
        await typed(pilot, "20,")
        await pilot.press("enter")
        await until(pilot, lambda: client.asked(Submit), "the step")
        message = client.asked(Submit)[0]
        assert message.experiment == "index"
        assert message.params == {"corpus": "stdlib", "tokens": 20_000, "explain": True}


async def test_a_growing_index_is_read_anew_and_the_cursor_stays() -> None:
    index = make_index()
    file = read_index_file(index.folder)
    file.progress.done = False
    write_index_file(index.folder, file)
    async with neurons(NeuronClient(index)) as (pilot, page):
        await until(pilot, lambda: "10,000 tokens, 50 documents, growing" in screen(pilot.app), "that it grows")
        await pilot.press(*"jjjjj")
        file.counts.tokens = [30_000, 30_000]
        file.revision += 1
        write_index_file(index.folder, file)
        await until(pilot, lambda: "60,000 tokens" in screen(pilot.app), "the new revision")
        assert page.neuron == 5


async def test_a_damaged_index_is_a_sentence() -> None:
    index = make_index()
    (index.folder / "index.json").write_text("{}")
    for folder in indexes_dir().glob("weights-*"):
        (folder / "index.json").write_text("[1]")
    async with neurons(NeuronClient(index), whole=False) as (pilot, _):
        await until(pilot, lambda: "damaged" in screen(pilot.app), "the sentence")


async def test_an_index_of_another_model_is_left_alone() -> None:
    make(indexes_dir(), 2, 16, seed=7)
    index = make_index()
    async with neurons(NeuronClient(index)) as (pilot, page):
        await until(pilot, lambda: page.browse.index and page.browse.index.info == index.info, "the model's own")
        assert len(page.listing.ids) == 120
