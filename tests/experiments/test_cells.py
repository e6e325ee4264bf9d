"""What the cells of heat maps stand for: steps that run and say what the cell says."""

import math

import numpy as np
import pytest

from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments import experiment
from workbench.params import make_params
from workbench.result_keys import NextToken
from workbench.tui.cell_steps import row_step
from workbench.views import Heatmap

OTHER = "The capital of Paris is"


def ran(name, edits=(), **params):
    report, lab = new_report(), tiny_lab("llama")
    execute(lab, name, params, parse_edits(list(edits), lab.info), 0, report)
    return report


def step_of(name, report, key, row, column, **params):
    made = experiment(name)
    view = report.views[key]
    assert isinstance(view, Heatmap)
    return made.cell(make_params(made.params, params), key, view, row, column)


def test_a_cell_of_the_lens_lists_the_top_tokens_there():
    asked = {"prompt": PROMPT}
    report = ran("logit-lens", **asked)
    grid = report.views["grid"]
    for row, column in ((0, 0), (2, 1), (3, 4)):
        step = step_of("logit-lens", report, "grid", row, column, **asked)
        there = ran(step.experiment, **step.params)
        table = there.views["top"]
        assert len(table.rows) == 20
        assert table.cells("token")[0] == grid.texts[row][column]
        assert table.cells("probability")[0] == pytest.approx(grid.values[row, column], rel=1e-4)
        assert table.cells("probability") == sorted(table.cells("probability"), reverse=True)
    with_set = {"prompts": [{"prompt": PROMPT}, {"prompt": OTHER}]}
    report = ran("logit-lens", **with_set)
    step = step_of("logit-lens", report, "grid", 1, 1, **with_set)
    assert step.params["prompt"] == OTHER
    there = ran(step.experiment, **step.params)
    assert there.views["top"].cells("token")[0] == report.views["grid"].texts[1][1]


def test_under_edits_both_are_listed():
    there = ran("logit-lens", ["L1.N2=3"], prompt=PROMPT, layer="L1", position=-1)
    grid = ran("logit-lens", ["L1.N2=3"], prompt=PROMPT).views["grid_edited"]
    table = there.views["top"]
    assert table.cells("probability_edited")[0] == pytest.approx(grid.values[2, -1], rel=1e-4)
    assert table.cells("probability")[0] != table.cells("probability_edited")[0]


@pytest.mark.parametrize(("layer", "position", "says"), [
    ("L99", -1, "there are embed and L0 to L2"), ("x", -1, "no layer"), ("L1", 5, "0 to 4"), ("L1", -6, "0 to 4"),
])  # fmt: skip
def test_a_place_that_there_is_not_is_named(layer, position, says):
    with pytest.raises(UserError, match=says):
        ran("logit-lens", prompt=PROMPT, layer=layer, position=position)


def test_a_cell_of_patching_is_that_patch_as_an_edit():
    asked = {"prompt": PROMPT, "corrupted": OTHER, "answer": " Paris", "foil": " and"}
    report = ran("patch", **asked)
    low, high = report.scalars["corrupted"], report.scalars["clean"]
    for key, row, column in (("resid_pre", 1, 3), ("mlp_out", 2, 4), ("heads", 1, 1)):
        step = step_of("patch", report, key, row, column, **asked)
        there = ran(step.experiment, step.edits, **step.params, top=1000)
        rows = {record[NextToken.TOKEN]: record for record in there.views[NextToken.VIEW].records()}
        logs = [math.log(rows[token][NextToken.PROBABILITY_EDITED]) for token in (" Paris", " and")]
        recovery = (logs[0] - logs[1] - low) / (high - low)
        assert recovery == pytest.approx(report.views[key].values[row, column], abs=2e-3)
    assert step_of("patch", report, "heads", 1, 1, **asked, chat=True) is None


def test_a_cell_of_attention_is_that_head_from_there():
    asked = {"prompt": PROMPT, "head": "L1.H1"}
    report = ran("attention", **asked)
    step = step_of("attention", report, "pattern", 2, 1, **asked)
    assert (step.params["head"], step.params["position"]) == ("L1.H1", 2)
    there = ran(step.experiment, **step.params)
    np.testing.assert_allclose(there.views["layer"].values[1], report.views["pattern"].values[2, :3], rtol=1e-5)
    other = step_of("attention", report, "layer", 0, 1, **asked)
    assert (other.params["head"], other.params["position"]) == ("L1.H0", -1)
    ran(other.experiment, **other.params)


def test_cells_of_direct_effects_and_of_the_stream():
    asked = {"prompt": PROMPT, "answer": " Paris"}
    step = step_of("dla", ran("dla", **asked), "heads", 2, 1, **asked)
    assert (step.experiment, step.params) == ("attention", {**asked, "head": "L2.H1"})
    for name in ("sweep", "why"):
        made = experiment(name)
        view = Heatmap(
            title="", values=np.zeros((3, 5)), row_labels=[], column_labels=[], row_axis="", column_axis="",
            low_label="", high_label="",
        )  # fmt: skip
        step = made.cell(make_params(made.params, asked), "where", view, 2, 4)
        assert (step.experiment, step.params, step.edits) == ("predict", asked, ["L2.resid_pre[4]=0"])


def test_cells_of_activations():
    asked = {"prompt": PROMPT, "units": "L0.N3, L1.N2"}
    report = ran("activations", **asked)
    step = step_of("activations", report, "all_clean", 1, 2, **asked)
    unit = report.views["all_clean"].row_labels[1]
    assert (step.experiment, step.params, step.edits) == ("predict", {"prompt": PROMPT}, [f"{unit}[2]=0"])
    ran(step.experiment, step.edits, **step.params)
    asked = {"prompt": PROMPT, "units": "@L1.N2.out"}
    step = step_of("activations", ran("activations", **asked), "@L1.N2.out_clean", 1, 0, **asked)
    assert (step.experiment, step.params) == ("logit-lens", {"prompt": PROMPT, "layer": "L1", "position": 0})
    ran(step.experiment, **step.params)
    asked = {"prompts": [{"prompt": PROMPT}, {"prompt": OTHER}], "units": "L0.N3"}
    step = step_of("activations", ran("activations", **asked), "prompts", 0, 1, **asked)
    assert (step.experiment, step.params) == ("activations", {"prompt": OTHER, "units": "L0.N3"})


@pytest.mark.parametrize(("name", "params", "step_params"), [
    ("dla", {"prompt": PROMPT, "answer": " Paris"}, {"prompt": PROMPT, "answer": " Paris", "head": "L1.H0"}),
    ("activations", {"prompt": PROMPT, "units": "L1.H0", "chat": True},
     {"prompt": PROMPT, "chat": True, "head": "L1.H0"}),
    ("activations", {"prompts": [{"prompt": PROMPT}], "units": "L1.H0"}, None),
])  # fmt: skip
def test_a_row_about_a_head_leads_to_its_attention(name, params, step_params):
    step = row_step(name, params, "L1.H0")
    assert (step and step.params) == step_params
    assert row_step(name, params, "L1.N0") is None
    assert row_step(name, params, "no unit") is None


def test_a_row_about_a_direction_leads_to_its_projections_on_the_same_text():
    asked = {"direction": "@mine", "prompt": PROMPT, "chat": True, "site": "L1.resid_post", "beside": "@a, @b"}
    step = row_step("project", asked, "@a")
    assert (step.experiment, step.params) == ("project", {"direction": "@a", "prompt": PROMPT, "chat": True})
    assert row_step("sweep", {"prompt": PROMPT}, "@a").params == {"direction": "@a"}
    view = ran("project", direction="@L1.N3.out", beside="@L1.N3.in, @L0.N2.out").views["directions"]
    column = next(column for column in view.columns if column.kind == "unit")
    assert {row[column.key] for row in view.records()} == {"@L1.N3.in", "@L0.N2.out"}
