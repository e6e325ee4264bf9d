"""The Probes screen: which sets there are, what was fitted on each, and what a step found."""

from __future__ import annotations

import msgspec
import pytest

from tests.tui import results
from tests.tui.fakes import INFO, VERSIONS, FakeClient, screen, until
from tests.tui.neurons import NeuronClient, make_index
from tests.tui.probes import PLACES, PROBE, apply, begin, opened, probed, session
from workbench.artifacts.data_set import data_sets_dir, keep_set
from workbench.report import NextStep, Progress
from workbench.result_keys import DenseProbe, NeuronProbe, ProbeApply, SparseProbe
from workbench.session.writer import SessionWriter
from workbench.text import number
from workbench.tui.screens.probes.finding import PARTS
from workbench.tui.screens.probes.lines import summary
from workbench.worker.protocol import Cancel, Pin


@pytest.fixture
def path(terminal):
    return session(terminal / "sessions" / "probing.db")


async def sees(pilot, *texts):
    await until(pilot, lambda: all(text in screen(pilot.app) for text in texts), f"{texts}")


def line(app, text):
    return next((line for line in screen(app).splitlines() if text in line), "")


async def to_step(pilot, page, step):
    """The cursor to this step."""
    at = next(at for at, record in enumerate(page.state.records) if record.id == step)
    page.steps.move_to(at)
    await until(pilot, lambda: page.state.finding and page.state.finding.record.id == step, f"step {step}")


@pytest.fixture
def asked(monkeypatch):
    """Steps that the screen asks for, with their parents."""
    from workbench.tui.app import WorkbenchApp

    steps: list[tuple[NextStep, int | None]] = []
    monkeypatch.setattr(WorkbenchApp, "ask", lambda self, step, parent=None: steps.append((step, parent)))
    return steps


# --- sets ---


async def test_the_sessions_sets_come_first_then_the_data_folders_then_those_that_ship(path):
    keep_set(msgspec.structs.replace(PLACES, name="kept", texts=PLACES.texts[:18]), "kept")
    keep_set(msgspec.structs.replace(PLACES, texts=PLACES.texts[:10]), "places")
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "▌ places", "  kept", "  months", "ships")
        names = [entry.name for entry in page.state.entries]
        assert names[:2] == ["places", "kept"] and names.count("places") == 1, "the session's name wins"
        own = line(pilot.app, "▌ places")
        assert "90 + 90" in own and "a place | a person" in own and "last token" in own
        assert own.rstrip().endswith("session") and "2 steps" in own
        assert line(pilot.app, "  kept").rstrip().endswith("data folder")
        assert "step" not in line(pilot.app, "  months")


async def test_a_file_that_is_no_set_is_a_sentence_on_its_line(path):
    data_sets_dir().mkdir(parents=True)
    (data_sets_dir() / "broken.csv").write_text("one,two\n1,2\n")
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "  broken")
        assert "columns" in line(pilot.app, "  broken")
        page.sets.move_to(next(at for at, entry in enumerate(page.state.entries) if entry.name == "broken"))
        await sees(pilot, "▌ broken", "needs prompt and target")
        await pilot.press("s", "d")
        assert pilot.app.screen is page, "nothing can be probed"


async def test_a_set_that_changes_in_the_data_folder_is_read_again(path):
    file = keep_set(msgspec.structs.replace(PLACES, name="kept", texts=PLACES.texts[:18]), "kept")
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "9 + 9")
        file.unlink()
        keep_set(msgspec.structs.replace(PLACES, name="kept", texts=PLACES.texts[:36]), "kept")
        page.state.reread()
        await sees(pilot, "18 + 18")


async def test_without_any_step_the_labels_are_shown_and_keys_fill_a_form(terminal):
    client = FakeClient()
    async with opened(client, None) as (pilot, page):
        at = next(at for at, entry in enumerate(page.state.entries) if entry.name == "months")
        page.sets.move_to(at)
        await sees(pilot, "▌ months", "no probe of this set yet", "⟨January⟩1", "⟨Toronto⟩0", "of 138 texts")
        await pilot.press("s")
        await until(pilot, lambda: pilot.app.screen.NAME == "Run")
        await sees(pilot, "⟨months", "filled in")
        assert not client.submitted


async def test_a_replay_shows_all_and_asks_nothing(path):
    async with opened(None, path) as (pilot, page):
        await sees(pilot, "steps on places", "Neurons that write it")
        await to_step(pilot, page, 1)
        await pilot.press("s", "u", "d", "a", "A")
        assert pilot.app.screen is page
        page.sets.move_to(next(at for at, entry in enumerate(page.state.entries) if entry.name == "months"))
        await sees(pilot, "a replay has no model", "⟨January⟩1")


# --- steps ---


async def test_steps_stand_with_score_and_baselines_newest_first(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "steps on places", "▌ 2    dense-probe")
        assert [record.id for record in page.state.records] == [2, 1]
        scalars = results.result("sparse-probe").scalars
        sparse = line(pilot.app, "sparse-probe")
        assert f"L{scalars['layer']:g}, k = {scalars['k']:g}" in sparse
        assert f"MCC {number(scalars['mcc'])} ({number(scalars['mcc_low'])} to" in sparse
        assert f"tokens alone {number(scalars['tokens_alone'])}" in sparse
        assert f"permuted labels: p {number(scalars['null_p'])}" in sparse


async def test_a_step_shows_curve_map_neurons_and_baselines(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        await sees(pilot, "F1 by k  1 of 4, > turns", "Layer × k", "The chosen neurons", "Beside baselines, on test")
        await sees(pilot, f"makes the probe {PROBE}", "too few to tell", "this probe", "L0.N34")
        await pilot.press("greater_than_sign")
        await sees(pilot, "MCC by k  2 of 4")
        await pilot.press("less_than_sign", "less_than_sign")
        await sees(pilot, "Precision and recall, on test  4 of 4")


async def test_in_a_small_terminal_the_drawing_takes_the_others_place(path):
    async with opened(FakeClient(), path, (80, 24)) as (pilot, page):
        await to_step(pilot, page, 1)
        await sees(pilot, "Layer × k", "The chosen neurons")
        assert "F1 by k" not in screen(pilot.app)
        await pilot.press("greater_than_sign")
        await sees(pilot, "F1 by k")
        assert "Layer × k" not in screen(pilot.app)
        await pilot.press("tab", "tab")
        await sees(pilot, "Layer × k")


async def test_the_maps_cursor_probes_that_place_alone(path, asked):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        view = results.view("sparse-probe", SparseProbe.MAP)
        await pilot.press("tab", "tab")
        await until(pilot, lambda: page.panes.cells.has_focus)
        row, _ = page.panes.cells.cell
        await pilot.press("left", "left", "right")
        await until(pilot, lambda: page.panes.cells.cell == (row, 1))
        await sees(pilot, f"{view.row_labels[row]} · {view.column_labels[1]}:")
        await pilot.press("enter")
        ((step, parent),) = asked
        assert step.experiment == "sparse-probe" and parent == 1
        assert step.params["layers"] == [int(view.row_labels[row][1:])]
        assert step.params["ks"] == [int(view.column_labels[1])]
        assert step.params["data"]["name"] == "places"


async def test_the_form_of_a_place_alone_names_its_set_and_runs_it_again(path):
    client = FakeClient()
    async with opened(client, path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("tab", "tab")
        await until(pilot, lambda: page.panes.cells.has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert pilot.app.screen.NAME == "Run"
        assert pilot.app.screen.form.values()["data"] == "places"
        await until(pilot, lambda: pilot.app.screen._pending is None)
        pilot.app.screen.action_run()
        await until(pilot, lambda: len(client.submitted) == 2)
        first, second = client.submitted
        assert first.params["data"]["name"] == "places"
        assert first.names == second.names == {"data": "places"}
        assert second.params["data"]["texts"] == first.params["data"]["texts"]


async def test_from_a_neuron_to_its_card_its_ablation_and_the_basket(path, asked):
    client = NeuronClient(make_index())
    async with opened(client, path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("tab", "tab", "tab")
        await until(pilot, lambda: page.panes.rows.has_focus)
        unit = page.panes.rows.unit
        await pilot.press("a")
        ((step, parent),) = asked
        assert (step.experiment, parent) == ("probe-ablate", 1)
        assert step.params == {"data": "places", "units": unit}
        await pilot.press("p")
        await sees(pilot, f"{unit} added to basket")
        assert [pin.unit for pin in client.asked(Pin)] == [unit]
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.NAME == "Neurons")


async def test_a_feature_of_a_probe_is_ablated_as_a_neuron_is(path, asked):
    with SessionWriter(path) as writer:
        step = begin(writer, "neuron-probe", sae="res")
        rows = [{"unit": "L1.F7/res", "train_auc": 0.9}, {"unit": "L1.F3/res", "train_auc": 0.2}]
        table = results.table("neuron-probe", NeuronProbe.NEURONS, rows)
        writer.publish(step, headline="", views={NeuronProbe.NEURONS: table}, scalars={})
        writer.finish(step, "done")
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, step)
        page.panes.enter(page.panes.rows)
        await pilot.press("end", "a")
        await until(pilot, lambda: asked, "the ablation")
        ((asked_step, parent),) = asked
        assert (asked_step.experiment, parent) == ("probe-ablate", step)
        assert asked_step.params == {"data": "places", "units": "L1.F3/res"}


async def test_a_battery_is_among_each_sets_steps_and_its_cells_are_that_sets_probe(path, asked):
    with SessionWriter(path) as writer:
        step = writer.add_step("battery", dict(results.ASKED["battery"][1]))
        writer.start(step, INFO, VERSIONS)
        made = results.result("battery")
        writer.publish(step, headline=made.headline, views=dict(made.views), scalars=dict(made.scalars))
        writer.finish(step, "done")
    async with opened(FakeClient(), path, (160, 48)) as (pilot, page):
        await sees(pilot, "battery", "2 sets", "Best k, set × layer", "Sets")
        assert {"places", "again"} <= {entry.name for entry in page.state.entries}
        page.panes.enter(page.panes.cells)
        await pilot.press("home", "down", "enter")
        await until(pilot, lambda: asked, "the cell's step")
        (probe, parent) = asked.pop()
        assert (probe.experiment, parent) == ("sparse-probe", step)
        assert probe.params["data"]["name"] == "again"
        assert len(probe.params["layers"]) == 1
        page.panes.enter(page.panes.rows)
        await pilot.press("end", "a")
        await until(pilot, lambda: asked, "the row's ablation")
        (ablation, _) = asked.pop()
        assert (ablation.experiment, ablation.params["data"]) == ("probe-ablate", "again"), "the row's set"


async def test_the_cursor_of_a_long_table_stays_in_sight(path):
    async with opened(FakeClient(), path, (120, 30)) as (pilot, page):
        await pilot.press("tab", "tab")
        await until(pilot, lambda: page.panes.rows.has_focus)
        units = page.panes.rows.units
        assert units[-1] not in screen(pilot.app)
        await pilot.press("G")
        await until(pilot, lambda: "▌ " in line(pilot.app, units[-1]))


async def test_the_probe_is_applied_elsewhere(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("A")
        await until(pilot, lambda: pilot.app.screen is not page)
        await sees(pilot, f"⟨{PROBE}", "filled in")


async def test_what_a_probe_read_elsewhere_is_among_its_sets_steps(path):
    with SessionWriter(path) as writer:
        apply(writer, ProbeApply.ALONG, ProbeApply.TEXT, ProbeApply.SCORES, data=results.LABELLED, text="The capital")
        apply(writer, ProbeApply.TEXT, text="The capital")
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "▌ 4    probe-apply", "token by token")
        assert [record.id for record in page.state.records] == [4, 3, 2, 1], "the last one reads a text alone"
        await to_step(pilot, page, 3)
        mcc = results.result("probe-apply").scalars[ProbeApply.MCC]
        assert f"MCC {number(mcc)}" in line(pilot.app, "▌ 3    probe-apply")
        scores = results.view("probe-apply", ProbeApply.SCORES)
        await sees(pilot, results.view("probe-apply", ProbeApply.ALONG).title, scores.title)
        await pilot.press("greater_than_sign")
        await sees(pilot, "token by token", "2 of 2")


@pytest.mark.parametrize("name", list(PARTS))
def test_the_views_that_are_looked_for_are_those_that_are_made(name):
    parts = PARTS[name]
    expected = {*parts.drawn, parts.cells, parts.rows, parts.below} - {"", DenseProbe.PREDICTED, DenseProbe.HEADS}
    assert expected <= set(results.result(name).views)


async def test_v_shows_the_labels_and_the_findings_again(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("v")
        await sees(pilot, "⟨France⟩1", "⟨Mary⟩0")
        assert "Layer × k" not in screen(pilot.app)
        await pilot.press("tab", "tab")
        assert page.focused is page.query_one("LabelledTexts")
        await pilot.press("v")
        await sees(pilot, "Layer × k")
        assert page.focused is page.sets, "the texts have gone, and the keys with them"


async def test_enter_on_a_step_leads_to_the_timeline(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: pilot.app.screen.NAME == "Timeline")
        await sees(pilot, "▌  1  sparse-probe")


async def test_escape_leads_to_the_sets_before_it_leaves(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        await pilot.press("tab", "tab", "escape")
        assert page.focused is page.sets
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not page)


# --- while a step runs ---


async def test_a_step_that_is_asked_for_appears_with_its_progress_and_what_there_is(path):
    async with opened(FakeClient(), path) as (pilot, _page):
        await sees(pilot, "▌ 2    dense-probe")
        with SessionWriter(path) as writer:
            step = begin(writer, "sparse-probe")
            writer.publish(
                step,
                headline="the best of 1 of 3 layers",
                views={SparseProbe.MAP: results.view("sparse-probe", SparseProbe.MAP)},
                progress=Progress(done=1, total=3, unit="layers", stage="sparse probes, all k"),
            )
            await sees(pilot, "▌ 3    sparse-probe  running: sparse probes, all k: 1 of 3 layers")
            await sees(pilot, "the best of 1 of 3 layers", "Layer × k")
            assert "The chosen neurons" not in screen(pilot.app)
            await pilot.press("ctrl+c")
            await until(pilot, lambda: pilot.app.link._client.asked(Cancel))
            assert pilot.app.link._client.asked(Cancel)[0].step == step


async def test_the_cursor_stays_on_an_older_step(path):
    async with opened(FakeClient(), path) as (pilot, page):
        await to_step(pilot, page, 1)
        with SessionWriter(path) as writer:
            begin(writer, "dense-probe")
        await sees(pilot, "  3    dense-probe", "▌ 1    sparse-probe")


@pytest.mark.parametrize(
    ("status", "words"),
    [("queued", "queued: waiting for the model"), ("failed", "failed: one class only"), ("cancelled", "cancelled")],
)
async def test_a_step_that_is_not_done_says_why(terminal, status, words):
    path = terminal / "sessions" / "one.db"
    with SessionWriter(path) as writer:
        step = writer.add_step("sparse-probe", {"data": results.LABELLED}, names={"data": "places"})
        if status != "queued":
            writer.start(step, INFO, VERSIONS)
            writer.finish(step, status, error="one class only" if status == "failed" else "")
        async with opened(FakeClient(hold=True), path) as (pilot, _page):
            await sees(pilot, "▌ places", f"▌ 1    sparse-probe  {words}")


async def test_another_session_has_its_own_steps(path, terminal):
    other = terminal / "sessions" / "other.db"
    with SessionWriter(other) as writer:
        probed(writer, "dense-probe")
    async with opened(FakeClient(), path) as (pilot, page):
        await sees(pilot, "▌ 2    dense-probe")
        pilot.app.open_session(other)
        pilot.app.show("probes")
        await sees(pilot, "▌ 1    dense-probe")
        assert len(page.state.records) == 1


# --- words ---


def test_scores_of_numbers_are_r2(path):
    from workbench.session.reader import SessionReader

    with SessionReader(path) as reader:
        record = reader.step(2)
    numeric = {"layer": 3.0, "r2": 0.61, "low": 0.5, "high": 0.7, "null_p": 0.01}
    where, score, compared = summary(msgspec.structs.replace(record, scalars=numeric))
    assert (where, score, compared) == ("L3", "R² .61 (.5 to .7)", ["permuted labels: p .01"])
