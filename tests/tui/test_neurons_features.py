"""The Neurons screen on the features of an SAE: switching, columns, the card, what Enter opens, what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.index.synthetic_features import make_features, registered
from tests.tui import saes
from tests.tui.fakes import screen, until, workbench
from tests.tui.neurons import NeuronClient, lines_with, make_index, neurons
from workbench.artifacts._folder import remove_folder
from workbench.artifacts.sae import find_sae
from workbench.index.features import FeatureIndex
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.tui import unit_actions
from workbench.tui.screens.neurons import Neurons
from workbench.units import Feature, parse_unit
from workbench.worker.protocol import Submit


def client(**given: Any) -> NeuronClient:
    """A worker with the synthetic model, of which res-1's features are indexed beside the neurons."""
    index = make_index()
    make_features(index, registered())
    return NeuronClient(index, **given)


async def features(pilot, page: Neurons) -> FeatureIndex:
    await pilot.press("f")
    await until(pilot, lambda: page.browse.units == "features" and page.listing.count == 90, "the features")
    index = page.browse.index
    assert isinstance(index, FeatureIndex)
    return index


async def test_f_shows_the_features_and_the_neurons_again() -> None:
    async with neurons(client()) as (pilot, page):
        await pilot.press("j", "j", "j", "space")
        assert page.browse.marks == {3}
        index = await features(pilot, page)
        assert "features of res-1, L1.resid_post" in screen(pilot.app)
        assert "90 features" in screen(pilot.app)
        assert page.browse.marks == set()
        (header,) = lines_with(pilot.app, "highest at")[:1]
        for title in ("fires", "active", "max", "promotes", "‖W_dec‖"):
            assert title in header
        assert lines_with(pilot.app, " L1.F1 ")
        await pilot.press("j", "j")
        await until(pilot, lambda: lines_with(pilot.app, f"{index.unit(2)}"), "the card")
        shown = screen(pilot.app)
        for words in ("top examples, of 4", "promotes", "suppresses", "in its SAE", "‖W_dec‖"):
            assert words in shown
        assert "when +" not in shown and "lowest" not in shown
        await pilot.press("f")
        await until(pilot, lambda: page.listing.count == 120, "the neurons")
        assert page.neuron == 4, "where the cursor was"
        await features(pilot, page)
        assert page.neuron == 2, "where the cursor was"


async def test_sorting_filtering_and_going_to_an_address() -> None:
    async with neurons(client()) as (pilot, page):
        index = await features(pilot, page)
        await pilot.press("s", *"frequency", "enter")
        await until(pilot, lambda: page.browse.order_by == "frequency", "the order")
        shares = index.columns["frequency"].values[page.listing.ids]
        assert (shares[:-1] >= shares[1:]).all()
        await pilot.press("slash", *"max>5", "space", *"fires:the", "enter")
        await until(pilot, lambda: page.listing.count < 90, "the filter")
        assert f"{page.listing.count} of 90" in screen(pilot.app)
        await pilot.press("g", *"L1.F7", "enter")
        await until(pilot, lambda: page.neuron == 7, "the feature")
        await pilot.press("g", *"L1.N7", "enter")
        await until(pilot, lambda: "L1.N7 is no feature of res-1" in screen(pilot.app), "the sentence")


async def test_a_feature_that_never_fires() -> None:
    async with neurons(client()) as (pilot, page):
        await features(pilot, page)
        await until(pilot, lambda: "none in this corpus" in screen(pilot.app), "no examples")


async def test_enter_opens_the_card_and_p_pins(own_folders: Path) -> None:
    worker = client(hold=True)
    path = own_folders / "s.db"
    async with neurons(worker, session=path) as (pilot, page):
        await features(pilot, page)
        await pilot.press("j", "p")
        await until(pilot, lambda: page.state.pinned() == {1}, "the pin")
        with SessionReader(path) as reader:
            assert [pin.unit for pin in reader.pins()] == ["L1.F1/res-1"]
        await pilot.press("enter")
        await until(pilot, lambda: worker.asked(Submit), "the step")
        message = worker.asked(Submit)[0]
        assert (message.experiment, message.params["unit"]) == ("feature", "L1.F1/res-1")


async def test_a_neuron_from_another_screen_comes_with_the_neurons() -> None:
    async with neurons(client()) as (pilot, page):
        await features(pilot, page)
        unit_actions.open_unit(pilot.app, "L1.N5")
        await until(pilot, lambda: page.listing.count == 120 and page.neuron == 45, "the neuron")


async def test_without_an_index_of_features_one_is_offered(own_folders: Path) -> None:
    worker = NeuronClient(make_index(), hold=True)
    async with neurons(worker, session=own_folders / "s.db") as (pilot, page):
        await pilot.press("f")
        await until(pilot, lambda: "workbench sae add" in screen(pilot.app), "that no SAE is there")
        registered()
        await pilot.press("f")
        await until(pilot, lambda: "20,000 tokens, features of res-1" in screen(pilot.app), "the offer")
        await pilot.press("enter")
        await until(pilot, lambda: worker.asked(Submit), "the step")
        message = worker.asked(Submit)[0]
        assert message.experiment == "index"
        assert message.params == {"corpus": "stdlib", "tokens": 20_000, "sae": "res-1"}
        assert page.browse.units == "neurons"


async def test_an_sae_that_changed_or_went_is_said() -> None:
    worker = client()
    remove_folder(find_sae("res-1"))
    registered(seed=1)
    async with neurons(worker) as (pilot, page):
        await features(pilot, page)
        await until(pilot, lambda: "the SAE res-1 has changed since this index was made" in screen(pilot.app), "it")
    remove_folder(find_sae("res-1"))
    async with neurons(worker, whole=False) as (pilot, page):
        await until(pilot, lambda: page.listing.count == 120, "the neurons")
        await features(pilot, page)
        await until(pilot, lambda: "the SAE res-1 is no longer registered" in screen(pilot.app), "it")


async def test_enter_on_a_feature_in_the_basket_opens_its_card(own_folders: Path) -> None:
    path = own_folders / "s.db"
    worker = client(hold=True)
    with SessionWriter(path) as writer:
        writer.pin("L1.F3/res-1~", "", False)
    async with neurons(worker, session=path) as (pilot, _):
        await pilot.press("B")
        await until(pilot, lambda: pilot.app.screen.NAME == "Basket" and lines_with(pilot.app, "L1.F3"), "the basket")
        await pilot.press("enter")
        await until(pilot, lambda: worker.asked(Submit), "the step")
        message = worker.asked(Submit)[0]
        assert (message.experiment, message.params["unit"]) == ("feature", "L1.F3/res-1")


async def test_enter_on_a_feature_in_a_result_s_table_opens_its_card(own_folders: Path) -> None:
    path = saes.session(own_folders / "features.db")
    worker = saes.tiny_client()
    worker.hold = True
    app = workbench(worker, path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "model ready" in screen(app), "the model")
        await pilot.press("f4")
        await until(pilot, lambda: app.screen.NAME == "Timeline" and app.screen.lines.count == 2, "the steps")
        await pilot.press("G", "tab")
        await until(pilot, lambda: app.screen.result.has_focus and app.screen.result.settled, "the features' result")
        result, unit = app.screen.result, ""
        for _ in result.sections:
            await pilot.press("enter")
            await pilot.pause(0.1)
            if result.entered is not None:
                unit = result.entered.table.unit if result.entered.table else ""
                if unit:
                    break
                await pilot.press("escape")
            await pilot.press("j")
        assert isinstance(parse_unit(unit), Feature)
        await pilot.press("enter")
        await until(pilot, lambda: worker.asked(Submit), "the step")
        message = worker.asked(Submit)[-1]
        assert (message.experiment, message.params["unit"]) == ("feature", unit)


async def test_the_card_of_a_feature_is_exported(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_folders)
    async with neurons(client()) as (pilot, page):
        await features(pilot, page)
        await pilot.press("j", "x")
        await until(pilot, lambda: "the card is in" in screen(pilot.app), "where it is")
        written = [path.read_text() for path in own_folders.rglob("*F1*") if path.is_file() and path.suffix != ".npy"]
        assert any("L1.F1/res-1" in text for text in written)
