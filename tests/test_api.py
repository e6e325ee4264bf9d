"""The Python API: the same experiments, arrays as results, every run in the session."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.experiments.test_battery import BROKEN
from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import PROMPT, new_report, tiny_folder, tiny_lab
from tests.tiny import tiny_model
from workbench import open_lab
from workbench.artifacts.direction import Direction, Origin, directions_dir, keep_direction, write_direction
from workbench.edits import SetTo, parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.session.reader import SessionReader


def halve(activation, context):
    """A function that a test finds again in the log."""
    return activation * 0.5


@pytest.fixture(scope="module")
def lab():
    return open_lab(str(tiny_folder("llama")), device="cpu")


def test_importing_the_package_is_instant_and_imports_no_model_library():
    code = (
        "import sys, time; start = time.perf_counter(); import workbench, workbench.api; "
        "print(time.perf_counter() - start); "
        "print([name for name in ('torch', 'transformers', 'transformer_lens', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"


def test_it_finds_what_the_experiment_finds(lab):
    found = lab.predict(prompt=PROMPT, edits=["L1.N3=9"], controls=4, seed=3)
    report = new_report()
    execute(tiny_lab("llama"), "predict", {"prompt": PROMPT, "controls": 4}, parse_edits(["L1.N3=9"]), 3, report)
    assert found.headline == report.headline == str(found)
    assert found.scalars == report.scalars
    assert list(found.views) == list(report.views)
    assert found.step is None
    assert lab.run("predict", prompt=PROMPT, edits="L1.N3=9", controls=4, seed=3).scalars == found.scalars
    assert lab.predict(prompt=PROMPT, edits=SetTo("L1.N3", 9), controls=4, seed=3).scalars == found.scalars


def test_results_are_arrays(lab):
    arrays = lab.logit_lens(prompt=PROMPT).arrays
    grid = next(value for name, value in arrays.items() if name.endswith(".values"))
    assert isinstance(grid, np.ndarray)
    assert grid.shape == (4, 5)


def test_every_experiment_is_a_method(lab):
    assert {"predict", "generate", "logit_lens", "activations"} <= set(dir(lab))
    assert "What the model says next" in lab.predict.__doc__
    with pytest.raises(AttributeError, match="there is no 'prediction' here"):
        lab.prediction(prompt=PROMPT)


def test_prompts_may_be_texts(lab):
    found = lab.predict(prompts=[PROMPT, {"prompt": "The river is", "answer": " Paris"}])
    assert [row[0] for row in found.views["prompts"].rows] == [PROMPT, "The river is"]


def test_a_python_function_is_an_edit(lab):
    clean = lab.cache(PROMPT, "L1.resid_post")["L1.resid_post"]
    edited = lab.cache(PROMPT, "L1.resid_post", edits=[("L1.resid_post", halve)])["L1.resid_post"]
    np.testing.assert_allclose(edited, clean / 2, rtol=1e-6)
    found = lab.predict(prompt=PROMPT, edits=("L1.resid_post", halve))
    assert found.scalars["kl"] > 0
    assert any("Python function" in note for note in found.notes)


def test_mistakes_are_sentences(lab):
    with pytest.raises(UserError, match="the prompt is empty"):
        lab.predict(prompt="")
    with pytest.raises(UserError, match="no parameter 'tops'"):
        lab.predict(prompt=PROMPT, tops=3)
    with pytest.raises(UserError, match="there is no neuron 99"):
        lab.predict(prompt=PROMPT, edits="L1.N99=0")
    with pytest.raises(UserError):
        open_lab("/nowhere/at/all")


def test_every_run_is_in_the_session(tmp_path):
    path = tmp_path / "mine.db"
    with open_lab(str(tiny_folder("llama")), session=path, device="cpu") as lab:
        assert lab.session == path
        first = lab.predict(prompt=PROMPT, edits=["L1.N3=9"], controls=4, seed=3)
        second = lab.predict(prompt=PROMPT, edits=[("L1.resid_post", halve)])
        with pytest.raises(UserError):
            lab.predict(prompt="")
    assert (first.step, second.step) == (1, 2)
    reader = SessionReader(path)
    step = reader.step(1)
    assert (step.status, step.headline, step.scalars, step.seed) == ("done", first.headline, first.scalars, 3)
    assert step.fingerprint
    assert step.origin == "python"
    assert "--edit L1.N3=9" in step.command
    assert {"torch", "transformer_lens", "python"} <= set(step.versions)
    assert [row.key for row in reader.views(1)] == list(first.views)
    stored = reader.load_view(reader.views(1)[1])
    np.testing.assert_array_equal(stored.rows[0].values, first.views["surprise"].rows[0].values)
    function = reader.step(2)
    assert not function.replayable
    assert "A function that a test finds again in the log" in function.edits[0]["source"]
    assert reader.step(3).status == "failed"
    assert "the prompt is empty" in reader.step(3).error
    reader.close()


def test_an_index_without_a_session_reads_the_fingerprint(tmp_path):
    with open_lab(str(tiny_model("llama", tmp_path / "new")), device="cpu") as lab:
        assert not lab.info.fingerprint
        assert "can be browsed by their weights" in lab.index(tokens=0).headline
        assert len(lab.info.fingerprint) == 64


def test_an_interrupted_run_keeps_what_it_had(tmp_path, monkeypatch):
    path = tmp_path / "mine.db"
    with open_lab(str(tiny_folder("llama")), session=path, device="cpu") as lab:
        calls = []

        def interrupt():
            calls.append(time.monotonic())
            if len(calls) > 12:
                raise KeyboardInterrupt

        lab._lab.cancel_check = interrupt
        with pytest.raises(KeyboardInterrupt):
            lab.generate(prompts=[PROMPT, "The river is", "The sun is"], tokens=6)
    reader = SessionReader(path)
    assert reader.step(1).status == "cancelled"
    rows = reader.load_view(reader.views(1)[0]).rows
    assert [row[0] for row in rows] == [PROMPT, "The river is", "The sun is"]  # they grow together
    assert all(row[1] for row in rows)
    reader.close()


def test_parts_are_steps_under_the_step(tmp_path):
    with open_lab(str(tiny_folder("llama")), session=tmp_path / "a.db", device="cpu") as lab:
        found = lab.why(prompt=PROMPT, edits=["L1.N3=0"], controls=2, unrelated=0, n=3, seed=4)
        with pytest.raises(UserError):
            lab.why(prompt=PROMPT, answer=" Paris", foil=" Paris")
    with SessionReader(tmp_path / "a.db") as reader:
        rows = reader.rows(0, 9)
        assert [(row.parent, row.experiment, row.status) for row in rows] == [
            (None, "why", "done"),
            (1, "dla", "done"),
            (1, "sweep", "done"),
            (None, "why", "failed"),
        ]
        part = reader.step(3)
        assert (part.seed, part.origin, part.edits[0]["units"]) == (4, "part", "L1.N3")
        assert part.command.startswith("workbench run sweep --prompt ")
        assert {view.key for view in reader.views(3)} >= {"neurons", "heads", "where"}
        assert {view.key for view in reader.views(1)} == set(found.views)


def test_a_battery_is_steps_under_a_step_and_goes_on_from_the_session(tmp_path, monkeypatch):
    from workbench.experiments import battery

    asked = {"data": [labelled(n=80), BROKEN, labelled(n=80, rule=False, name="no rule")]}
    asked |= {"ks": [1, 2], "permutations": 2, "controls": 2}
    probe, seen, stopped = battery._Run._probe, [], []

    def stops(run, data, result, stage):
        if data.name == "no rule" and not stopped:
            stopped.append(stage)
            raise KeyboardInterrupt
        seen.append(data.name)
        probe(run, data, result, stage)

    monkeypatch.setattr(battery._Run, "_probe", stops)
    with open_lab(str(tiny_folder("llama")), session=tmp_path / "a.db", device="cpu") as lab:
        with pytest.raises(KeyboardInterrupt):
            lab.battery(**asked)
        again = lab.battery(**asked)
        assert seen == ["places", "broken", "broken", "no rule"]
        third = lab.battery(**asked)
        assert seen == ["places", "broken", "broken", "no rule", "broken"]
    assert [row["set"] for row in third.views["sets"].records()] == ["places", "broken", "no rule"]
    assert again.notes == ["places: as in step 1"]
    assert third.scalars == again.scalars
    with SessionReader(tmp_path / "a.db") as reader:
        rows = reader.rows(0, 99)
        assert [(row.parent, row.experiment, row.status) for row in rows[:8]] == [
            (None, "battery", "cancelled"),
            (1, "sparse-probe", "done"),
            (1, "neuron-probe", "done"),
            (1, "probe-ablate", "done"),
            (1, "sparse-probe", "failed"),
            (None, "battery", "done"),
            (6, "sparse-probe", "failed"),
            (6, "sparse-probe", "done"),
        ]
        assert reader.step(5).error == "every example is 1: two classes are needed"
        assert {view.key for view in reader.views(2)} >= {"map", "neurons", "baselines"}
        first = reader.load_view(next(view for view in reader.views(1) if view.key == "sets"))
        assert [row["problem"] for row in first.records()] == ["", "every example is 1: two classes are needed"]


def test_the_basket_is_taken_by_units_and_edits_and_logged_written_out(tmp_path):
    file = tmp_path / "basket.db"
    with open_lab(str(tiny_folder("llama")), session=file, device="cpu") as lab:
        lab._writer.pin("L1.N3", "months")
        lab._writer.pin("L2.N5", "months")
        found = lab.predict(prompt=PROMPT, edits=["basket:months[1-]=0"], controls=0)
        same = lab.predict(prompt=PROMPT, edits=["L1.N3, L2.N5[1-]=0"], controls=0)
        assert found.scalars["kl"] == same.scalars["kl"] > 0
        lab.activations(prompt=PROMPT, units="basket:months")
        with pytest.raises(UserError, match="no set 'days'.*basket:months"):
            lab.predict(prompt=PROMPT, edits=["basket:days=0"])
    with SessionReader(file) as reader:
        steps = [reader.step(row.id) for row in reader.rows(0, None)]
    assert steps[0].edits == steps[1].edits
    assert "basket" not in steps[0].command + steps[2].command
    assert steps[2].params["units"] == "L1.N3, L2.N5"


def test_directions_and_sets_are_in_the_session_and_parts_say_which_they_use(tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal(32).astype(np.float32))
    file = keep_direction("mine", tmp_path / "v.npy")
    (tmp_path / "capitals.txt").write_text(f"{PROMPT}\nThe river is\n")
    with open_lab(str(tiny_folder("llama")), session=tmp_path / "s.db", device="cpu") as opened:
        first = opened.predict(prompts=tmp_path / "capitals.txt", edits="L1.resid_post+=2*@mine", controls=0)
        file.unlink()
        again = opened.predict(prompts="@capitals", edits="L1.resid_post+=2*@mine", controls=0)
        assert again.scalars == first.scalars
        opened.why(prompt=PROMPT, edits="L1.resid_post+=2*@mine", controls=2, unrelated=0, n=3)
        cache = opened.cache(PROMPT, "L2.resid_post", edits="L1.resid_post+=2*@mine")
        assert cache["L2.resid_post"].shape == (1, 5, 32)
        with pytest.raises(UserError, match="no direction @other"):
            opened.predict(prompt=PROMPT, edits="@other=0")
    with SessionReader(tmp_path / "s.db") as reader:
        assert [row.label for row in reader.rows()][:2] == ["capitals, 2 prompts"] * 2
        assert "--prompts @capitals" in reader.step(2).command
        parts = [row for row in reader.rows() if row.parent == 3]
        assert parts
        with_direction = [row.id for row in parts if "@mine" in row.edits]
        assert with_direction
        for step in (1, 2, 3, *with_direction):
            assert "mine" in [use.name for use in reader.artifacts_of(step)], step
        assert sorted(row.kind for row in reader.artifacts()) == ["direction", "prompt set"]


def test_a_direction_of_another_model_needs_transfer(lab):
    origin = Origin(fingerprint="e" * 64, model="base")
    made = Direction(name="base", vector=np.ones(32, "<f4").tobytes(), origin=origin)
    write_direction(made, directions_dir() / "base.safetensors")
    edits = "L1.resid_post+=2*@base"
    for ask in (lab.predict, lambda prompt, **more: lab.cache(prompt, "L2.resid_post", **more)):
        with pytest.raises(UserError, match="@base was made on base, and this is llama"):
            ask(prompt=PROMPT, edits=edits)
    assert lab.cache(PROMPT, "L2.resid_post", edits=edits, transfer=True)["L2.resid_post"].shape == (1, 5, 32)
    assert "@base was made on base and is used on llama" in lab.predict(prompt=PROMPT, edits=edits, transfer=True).notes
