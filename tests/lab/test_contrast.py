"""A direction that knows its prompts stands beside the same prompts with shuffled labels."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.lab.labs import new_report, plain, tiny_lab, with_directions
from workbench import paths
from workbench.artifacts.direction import directions_dir, keep_direction
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.contrast import Contrast, compared_states, mean_difference
from workbench.lab.controls import further_controls
from workbench.lab.rounding import DRAWS
from workbench.session.directions import resolve_directions
from workbench.units import Site

POSITIVE = ["The capital of France is", "The capital of Spain is", "The capital of Japan is", "The city of Rome"]
NEGATIVE = ["The river is wide and", "I am sorry", "She said that he was", "one, two, three"]
SITE = Site(1, "resid_post")


@pytest.fixture
def lab():
    return tiny_lab("llama")


def difference(lab):
    found = compared_states(lab.model, Contrast(tuple(POSITIVE), tuple(NEGATIVE), SITE))
    return mean_difference(found, np.arange(8) < 4).float().numpy()


def write(folder, vector, **metadata):
    folder.mkdir(parents=True, exist_ok=True)
    said = {"positive": json.dumps(POSITIVE), "negative": json.dumps(NEGATIVE), "site": str(SITE), **metadata}
    file = folder / "capital.safetensors"
    save_file({"direction": vector}, file, metadata={key: value for key, value in said.items() if value is not None})
    return file


def test_the_states_are_those_at_each_prompts_last_token(lab):
    for position in (-1, -2):
        found = compared_states(lab.model, Contrast(tuple(POSITIVE), tuple(NEGATIVE), SITE, position))
        for row, text in zip(found, [*POSITIVE, *NEGATIVE], strict=True):
            ids = torch.from_numpy(lab.prompt(text).ids)[None]
            wanted = plain("llama").read(ids, 1, "resid_post")[0, position]
            np.testing.assert_allclose(row.numpy(), wanted.numpy(), atol=1e-5)


def test_each_kind_of_control_is_drawn_and_has_the_directions_length(lab):
    vector = difference(lab)
    keep_direction("capital", write(paths.data_dir() / "elsewhere", vector))
    lab = with_directions(lab, "capital")
    for text in ("@capital=0", "L1.resid_post+=3*@capital"):
        shuffled, isotropic = further_controls(lab, parse_edits([text]), 12)
        assert shuffled.kind == "mean differences of the same prompts, labels shuffled"
        assert isotropic.kind == "random directions, isotropic"
        assert not shuffled.problem
        for controls in (shuffled, isotropic):
            assert len(controls.plans) == 12
            changes = [plan.changes[SITE if "+" in text else Site(1, "attn_out")][0] for plan in controls.plans]
            vectors = torch.stack([one.values if "+" in text else one.part.unit for one in changes])
            wanted = 3 * np.linalg.norm(vector) if "+" in text else 1
            np.testing.assert_allclose(vectors.norm(dim=1).numpy(), wanted, rtol=1e-5)
            assert len({tuple(one.tolist()) for one in vectors}) > 8
    # Shuffled differences lie where the prompts' states do, isotropic ones anywhere.
    found = compared_states(lab.model, Contrast(tuple(POSITIVE), tuple(NEGATIVE), SITE))
    span = torch.linalg.qr((found - found.mean(0)).T)[0][:, :7].float()
    for controls, inside in ((shuffled, True), (isotropic, False)):
        vector = controls.plans[0].changes[SITE][0].values
        part = (span.T @ vector).norm() / vector.norm()
        assert (float(part) > 0.999) is inside


def test_an_effect_shows_a_band_for_each_kind(lab):
    write(directions_dir(), difference(lab))
    report = new_report()
    params = {"prompt": POSITIVE[0], "controls": 5, "generate": 0}
    execute(lab, "effect", params, parse_edits(["@capital=0"]), 0, report, resolve_directions(["capital"], ""))
    rows = report.views["kinds"].rows
    assert [row[1] for row in rows] == [None, 5, 5, 5, DRAWS]
    assert rows[-1][4] < 1e-9
    assert [row[0] for row in rows[1:]] == [
        "random directions of the covariance of the edited sites",
        "mean differences of the same prompts, labels shuffled",
        "random directions, isotropic",
        "rounding alone",
    ]
    assert all(row[0] in report.headline for row in rows[1:-1])
    unknown, draws = report.notes
    assert unknown == "the model that @capital was made on is not known"
    assert draws.startswith("random directions: of the covariance at the 9 edited sites")


def test_prompts_that_do_not_give_the_direction_are_said_and_not_used(lab):
    random = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    write(directions_dir(), random)
    (isotropic,) = further_controls(with_directions(lab, "capital"), parse_edits(["@capital=0"]), 3)
    assert "along another direction" in isotropic.problem


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"negative": None}, "only in part"),
        ({"site": "L1.mlp_post"}, "no site of the stream"),
        ({"site": "L99.resid_pre"}, "no layer 99"),
        ({"positive": "[]"}, "two or more"),
        ({"positive": "not json"}, "only in part"),
        ({"position": "3"}, "position from the end"),
        ({"position": "-50"}, "no token -50"),
    ],
)
def test_a_file_that_says_half_is_a_sentence(lab, metadata, said):
    write(directions_dir(), difference(lab), **metadata)
    (isotropic,) = further_controls(with_directions(lab, "capital"), parse_edits(["@capital=0"]), 3)
    assert said in isotropic.problem


def test_a_plain_direction_and_a_stack_with_units_have_no_shuffled_labels(lab):
    directions_dir().mkdir(parents=True)
    np.save(directions_dir() / "plain.npy", np.ones(32, dtype=np.float32))
    lab = with_directions(lab, "plain")
    (isotropic,) = further_controls(lab, parse_edits(["@plain=0"]), 3)
    assert isotropic.kind == "random directions, isotropic"
    assert further_controls(lab, parse_edits(["@plain=0; L1.N3=0"]), 3) == []
    assert further_controls(lab, parse_edits(["L1.N3=0"]), 3) == []


def test_a_kept_file_keeps_what_it_says(lab):
    file = write(paths.data_dir() / "elsewhere", difference(lab))
    kept = keep_direction("capital", file)
    assert kept.read_bytes() == file.read_bytes()
    assert keep_direction("capital", file) == kept
    with pytest.raises(UserError, match="another direction already"):
        keep_direction("capital", write(paths.data_dir() / "third", -difference(lab)))
