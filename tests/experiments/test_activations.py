"""activations: units over a prompt and over a set."""

import numpy as np
import pytest

from tests.lab.labs import EVERY, PROMPT, new_report, tiny_lab
from workbench import paths
from workbench.artifacts.direction import direction_names
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments import experiment
from workbench.params import fields
from workbench.session.directions import resolve_directions
from workbench.units import Site


def ran(arch="llama", edits="", **params):
    report = new_report()
    lab = tiny_lab(arch)
    stack = parse_edits([edits], lab.info)
    directions = resolve_directions(direction_names(stack, [params["units"]]), "")
    execute(lab, "activations", params, stack, 0, report, directions)
    return report


@pytest.mark.parametrize("arch", EVERY)
def test_neurons_strongest_first_with_their_parts(arch):
    lab = tiny_lab(arch)
    report = ran(arch, prompt=PROMPT, units="L1.N3-6")
    prompt = lab.prompt(PROMPT)
    wanted = lab.forward(prompt, sites=[Site(1, "mlp_post")]).site(Site(1, "mlp_post"))[0, :, 3:7]
    order = np.argsort(-np.abs(wanted).max(0))
    table = report.views["units"]
    assert [row[0] for row in table.rows] == [f"L1.N{3 + at}" for at in order]
    at = np.abs(wanted[:, order[0]]).argmax()
    assert table.rows[0][1] == pytest.approx(wanted[at, order[0]])
    assert table.rows[0][2] == prompt.tokens[at]
    assert table.rows[0][3] == pytest.approx(wanted[1:, order[0]].mean(), rel=1e-5)
    np.testing.assert_allclose(report.views["all_clean"].values, wanted.T)
    parts = report.views["parts"]
    names = [column.key for column in parts.columns][2:]
    assert names == (["gate", "linear", "activation"] if lab.info.gated_mlp else ["before", "activation"])
    assert parts.rows[0][-1] == pytest.approx(wanted[0, 0])
    assert f"L1.N{3 + order[0]} is at its strongest" in report.headline
    assert report.next_steps[0].edits == [f"L1.N{3 + order[0]}=0"]


def test_under_edits_clean_stands_beside_edited():
    report = ran(prompt=PROMPT, units="L1.N3, L2.N4", edits="L1.N3=5")
    assert [row.name for row in report.views["tokens"].rows] == [
        "L1.N3 clean",
        "L1.N3 edited",
        "L2.N4 clean",
        "L2.N4 edited",
    ]
    assert (report.views["tokens"].rows[1].values == 5).all()
    assert (report.views["all_edited"].values[0] == 5).all()
    assert report.next_steps[0].edits == ["L1.N3=5", "L2.N4=0"]  # not the one that is edited already
    again = ran(prompt=PROMPT, units="L1.N3", edits="L1.N3=5")
    assert [step.experiment for step in again.next_steps] == ["predict", "logit-lens"]


@pytest.mark.parametrize("arch", ["gemma2", "llama"])
def test_where_a_norm_follows_attention_heads_say_that_they_are_measured_before_it(arch):
    one = ran(arch, prompt=PROMPT, units="L1.H2").views["tokens"].note
    several = ran(arch, prompts=[{"prompt": PROMPT}], units="L1.H2").views["units"].note
    for note in (one, several):
        assert ("before the norm that follows attention" in note) is (arch == "gemma2")
    assert "before the norm" not in ran(arch, prompt=PROMPT, units="L1.N2").views["tokens"].note


def test_the_example_works():
    example = next(field.example for field in fields(experiment("activations").params) if field.name == "units")
    scaled = example.replace("L12", "L2").replace("L5", "L1").replace("N345", "N45")
    assert ran(prompt=PROMPT, units=scaled).headline


def test_many_units_show_the_strongest_and_keep_all():
    report = ran(prompt=PROMPT, units="L1.N*")
    assert len(report.views["tokens"].rows) == 12
    assert report.views["all_clean"].values.shape == (64, 5)
    assert len(report.views["units"].rows) == 64
    assert "the 12 largest of 64 units" in report.views["tokens"].note


def test_mixed_units_and_a_direction():
    folder = paths.data_dir() / "directions"
    folder.mkdir()
    np.save(folder / "mine.npy", np.arange(1, 33, dtype=np.float32))
    report = ran(prompt=PROMPT, units="L1.H2, L2.resid_post, @mine")
    assert report.views["@mine_clean"].values.shape == (3, 5)
    assert {row[0] for row in report.views["units"].rows} == {"L1.H2", "L2.resid_post"}
    alone = ran(prompt=PROMPT, units="@mine")
    assert "along @mine" in alone.headline


def test_a_set_is_means_with_errors_by_prompt():
    lab = tiny_lab("llama")
    texts = [PROMPT, "The river is", "When Mary and John went to the store"]
    report = ran(prompts=[{"prompt": text} for text in texts], units="L1.N3, L1.N4")
    site = Site(1, "mlp_post")
    values = [lab.forward(lab.prompt(text), sites=[site]).site(site)[0, :, 3].astype(np.float64) for text in texts]
    sums, n = np.array([one[1:].sum() for one in values]), np.array([len(one) - 1 for one in values])
    mu = sums.sum() / n.sum()
    se = np.sqrt(3 / 2 * ((sums - n * mu) ** 2).sum()) / n.sum()
    row = next(row for row in report.views["units"].rows if row[0] == "L1.N3")
    assert row[1:3] == [pytest.approx(mu, rel=1e-4), pytest.approx(se, rel=1e-4)]
    peak = max((one[np.abs(one).argmax()] for one in values), key=abs)
    assert row[3] == pytest.approx(peak, rel=1e-5)
    assert report.views["prompts"].values.shape == (2, 3)


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ("", "no unit named"),
        ("L1.N64", "there is no neuron 64"),
        ("L9.N1", "there is no layer 9"),
        ("L1.pattern", "matrix of attention"),
        ("@nowhere", "no direction @nowhere"),
        ("neuron", "a unit starts with L"),
    ],
)
def test_bad_units_are_sentences(units, said):
    with pytest.raises(UserError, match=said):
        ran(prompt=PROMPT, units=units)
