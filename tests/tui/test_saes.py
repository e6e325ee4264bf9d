"""The SAE screen: which SAEs there are, how good each is, and what was found with it."""

from __future__ import annotations

import pytest

from tests.lab.labs import tiny_lab
from tests.lab.sae.made import keep, made_sae
from tests.tui.fakes import VERSIONS, screen, until
from tests.tui.saes import TEXT, opened, register, session, tiny_client
from workbench.artifacts import Use
from workbench.artifacts.sae import content_of, find_sae, saes_dir
from workbench.params import DIRECTION, SAE, UNITS
from workbench.session.update import Update
from workbench.session.writer import SessionWriter
from workbench.text import number
from workbench.tui.suggest import suggester
from workbench.worker.protocol import Cancel, Submit


@pytest.fixture
def path(terminal):
    return session(terminal / "sessions" / "features.db")


async def sees(pilot, *texts):
    await until(pilot, lambda: all(text in screen(pilot.app) for text in texts), f"{texts}")


async def to_sae(pilot, page, name):
    page.saes.move_to(next(at for at, entry in enumerate(page.state.entries) if entry.name == name))
    await until(pilot, lambda: page.state.entry.name == name)


async def test_saes_stand_by_site_with_width_kind_figures_and_fit(path):
    async with opened(tiny_client(), path, (200, 60)) as (pilot, page):
        assert [entry.name for entry in page.state.entries] == ["mlp-0", "res-1", "other"]
        await sees(pilot, "▌ mlp-0", "L0.mlp_out", "448", "standard", "site and width fit this model")
        await sees(pilot, "nothing asked of mlp-0 yet", "c measures how good it is here")
        await to_sae(pilot, page, "res-1")
        (figures,) = page.state.figures.values() if len(page.state.figures) == 1 else [page.state.figures["res-1"]]
        assert figures["explained_variance"] is not None
        await sees(pilot, f"explains {number(figures['explained_variance'])}", "% dead", "▌ 2    features")
        await to_sae(pilot, page, "other")
        await sees(pilot, "does not fit this model: for layer 9", "other can't be used here")
        await pilot.press("c", "h", "f")
        assert pilot.app.screen is page, "nothing can be asked of it"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_newest_step_is_shown_and_walked(path, size):
    async with opened(tiny_client(), path, size) as (pilot, page):
        await to_sae(pilot, page, "res-1")
        await sees(pilot, "▌ 2    features", "strongest of res-1")
        await until(pilot, lambda: page.result.step == 2 and page.result.settled)
        await pilot.press("tab", "down")
        await until(pilot, lambda: page.result.step == 1 and page.result.settled)
        await sees(pilot, "▌ 1    sae-check")
        await pilot.press("tab")
        await until(pilot, lambda: page.result.has_focus)
        await pilot.press("escape")
        assert page.focused is page.saes


async def test_keys_fill_the_forms(path):
    for key, name in (("f", "Prompt"), ("c", "Run"), ("h", "Run"), ("m", "Run")):
        client = tiny_client()
        async with opened(client, path) as (pilot, page):
            await to_sae(pilot, page, "res-1")
            await pilot.press(key)
            await until(pilot, lambda name=name: name == pilot.app.screen.NAME)
            values = pilot.app.screen.form.values()
            assert values["site"] == "L1.resid_post" if key == "m" else values["sae"] == "res-1"
            assert not client.submitted


async def test_without_any_sae_it_says_how_to_get_one(terminal):
    async with opened(tiny_client(), None, (80, 24)) as (pilot, _):
        await sees(pilot, "No SAEs yet", "m trains a small one", "workbench sae add")
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.screen.NAME == "Run")


async def test_one_that_is_damaged_is_a_sentence(terminal):
    register()
    (saes_dir() / "mlp-0" / "cfg.json").write_text("[]")
    async with opened(tiny_client(), None) as (pilot, page):
        await to_sae(pilot, page, "mlp-0")
        await sees(pilot, "workbench sae rm mlp-0")
        await pilot.press("c")
        assert pilot.app.screen is page


async def test_running_and_failed_steps_say_so_and_ctrl_c_cancels(path):
    artifact = find_sae("res-1")
    with SessionWriter(path) as writer:
        failed = writer.add_step("sae-errors", {"sae": "res-1"})
        step = writer.add_step("features", {"sae": "res-1", "prompt": TEXT})
        for each in (failed, step):
            writer.start(each, tiny_client().status.info, VERSIONS)
            writer.apply(each, Update(artifacts=[Use(content=content_of(artifact), name="res-1")]))
        writer.finish(failed, "failed", error="out of memory")
        client = tiny_client()
        async with opened(client, path) as (pilot, page):
            await to_sae(pilot, page, "res-1")
            await sees(pilot, f"▌ {step}    features", "running", f"{failed}    sae-errors  failed: out of memory")
            assert page.state.running == step
            await pilot.press("ctrl+c")
            await until(pilot, lambda: [sent.step for sent in client.asked(Cancel)] == [step])


async def test_a_replay_shows_all_and_asks_nothing(path):
    async with opened(None, path) as (pilot, page):
        await to_sae(pilot, page, "res-1")
        await sees(pilot, "strongest of res-1")
        await pilot.press("f", "c", "h", "m")
        assert pilot.app.screen is page
        await to_sae(pilot, page, "mlp-0")
        await sees(pilot, "no step with this SAE in this session")


async def test_features_on_a_text_of_ones_own_are_asked_for_here(path):
    client = tiny_client()
    async with opened(client, path) as (pilot, page):
        await to_sae(pilot, page, "res-1")
        await sees(pilot, "strongest of res-1")
        page.steps.move_to(1)
        await until(pilot, lambda: page.result.step == 1)
        await pilot.press("w", "enter")
        await sees(pilot, "the text is empty")
        await pilot.press(*"We met in June", "enter")
        await until(pilot, lambda: bool(client.asked(Submit)))
        (submit,) = client.asked(Submit)
        assert (submit.experiment, submit.params["sae"]) == ("features", "res-1")
        assert submit.params["prompt"] == "We met in June"
        assert pilot.app.screen is page and not page.asking.is_open
        await until(pilot, lambda: page.result.step == 2, "the newest is followed again")
        await pilot.press("w")
        assert page.asking.field.value == "We met in June"
        await pilot.press("escape")
        assert page.focused is page.saes
        await to_sae(pilot, page, "other")
        await pilot.press("w")
        assert not page.asking.is_open, "it does not fit this model"


async def test_features_and_saes_are_completed(path):
    keep(made_sae(tiny_lab("llama"), n=8), "also-1")
    async with opened(tiny_client(), path) as (_, page):
        units, direction, name = (suggester(page, kind) for kind in (UNITS, DIRECTION, SAE))
        assert units("L0.F") == "L0.F0"
        assert units("L0.F77") == "L0.F77/mlp-0" and units("L1.N3, L0.F77/m") == "L1.N3, L0.F77/mlp-0"
        assert units("L1.F3/r") == "L1.F3/res-1" and units("L1.F3/a") == "L1.F3/also-1"
        assert units("L0.F9999999") == units("L2.F3") == units("L9.F3") == units("L0.F3/x") == ""
        assert direction("@L0.F7") == "@L0.F7.dec" and direction("@L0.F7.e") == "@L0.F7.enc"
        assert name("res") == "res-1" and name("x") == ""
