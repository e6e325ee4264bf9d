"""Whose a feature is: written out where a run is submitted or a unit pinned, and recorded by the SAE's hash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, tiny_lab
from tests.lab.sae.made import keep
from tests.lab.sae.test_features import firing, random_sae
from workbench.artifacts import sae_names, with_sae_names
from workbench.artifacts.sae import KIND, find_sae
from workbench.directions.names import model_direction
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.sae.features import feature_sae
from workbench.session.reader import SessionReader
from workbench.session.submission import make_submission
from workbench.session.writer import SessionWriter
from workbench.units import Feature, format_units, parse_unit, parse_units


def test_addresses_read_back() -> None:
    units = [Feature(1, 3), Feature(1, 4), Feature(1, 5, "a.b-c"), Feature(1, 6, "a.b-c"), Feature(1, 7, "a.b-c", True)]
    text = format_units(units)
    assert text == "L1.F3-4, L1.F5-6/a.b-c, L1.F7/a.b-c~"
    assert parse_units(text) == units
    assert str(parse_unit("l2.f7/x~")) == "L2.F7/x~"
    assert [str(edit) for edit in parse_edits(["L1.F3/x~*=2; L1.F3-9/x-=1; L1.F3~[last]=0"])] == [
        "L1.F3/x~*=2",
        "L1.F3-9/x-=1",
        "L1.F3~[last]=0",
    ]
    for wrong, sentence in [("L1.F*", "a range like F0-99"), ("L1.F3/", "name of an SAE"), ("L1.F3/a+", "comma")]:
        with pytest.raises(UserError, match=sentence):
            parse_units(wrong)


def test_names_are_written_out_where_a_layer_has_one() -> None:
    keep(random_sae(), "res-1")
    text = "L1.F3, L1.F4-9~, L1.N3, L1.F2/other, @L1.F3.dec, @L1.F3.enc.other"
    named = with_sae_names(text, tiny_lab("llama").info)
    assert named == "L1.F3/res-1, L1.F4-9/res-1~, L1.N3, L1.F2/other, @L1.F3.dec.res-1, @L1.F3.enc.other"
    assert sae_names([named]) == ["res-1", "other"]
    with pytest.raises(UserError, match="no SAE of layer 0"):
        with_sae_names("L0.F1")


def test_steps_and_pins_record_the_hash_and_say_where_it_changed(tmp_path: Path) -> None:
    keep(random_sae(), "res-1")
    lab = tiny_lab("llama")
    session = tmp_path / "s.db"
    old = find_sae("res-1")

    def submit(again: int | None = None):
        return make_submission(
            "predict",
            {"prompt": "The capital of France is"},
            parse_edits(["L1.F3*=2"]),
            session=str(session),
            info=lab.info,
            again=again,
        )

    submission = submit()
    assert str(submission.edits[0]) == "L1.F3/res-1*=2"
    assert not submission.remarks
    report = new_report()
    execute(lab, "predict", submission.params, submission.edits, 0, report)
    (use,) = [use for use in report.artifacts if use.content.kind == KIND.name]
    assert (use.name, use.content.spec["hash"]) == ("res-1", old.hash)
    assert any("the SAE's error stays" in note for note in report.notes)
    with SessionWriter(session) as writer:
        writer.pin("L1.F5")
        with pytest.raises(UserError, match="there is no feature 99999: the SAE res-1 has"):
            writer.pin("L1.F99999")
    with SessionReader(session) as reader:
        assert [pin.unit for pin in reader.pins()] == ["L1.F5/res-1"]
        digest = reader.artifact_named(KIND.name, "res-1")
        assert digest and reader.content(digest).spec["hash"] == old.hash
    assert not submit().remarks
    KIND.remove(old)
    other = random_sae()
    other.tensors["b_dec"] = other.tensors["b_dec"] + 1
    keep(type(other)(other.config, other.tensors), "res-1")
    (remark,) = submit().remarks
    assert (
        f"the SAE res-1 has changed since this session recorded it: its features are others now ({old.hash[:12]}"
        in (remark)
    )
    keep(random_sae(), "kept")
    with pytest.raises(UserError, match="layer 1 has 2 SAEs: say whose feature it is, L1.F…/kept, L1.F…/res-1"):
        submit()


def test_directions_are_rows_and_columns() -> None:
    sae = random_sae()
    keep(sae, "res-1")
    lab = tiny_lab("llama")
    index = firing(sae)[0]
    np.testing.assert_allclose(lab.weights.direction(f"L1.F{index}.dec"), sae.W_dec[index])
    np.testing.assert_allclose(lab.weights.direction(f"L1.F{index}.enc.res-1"), sae.W_enc[:, index])
    origin = lab.weights.origin(f"L1.F{index}.dec")
    assert (origin.method, origin.layer, origin.site) == ("feature", 1, "resid_post")
    assert model_direction("L1.F3.dec.a.b").unit == "L1.F3/a.b"
    prompt = lab.prompt("The capital of France is")
    job = lab.job(parse_edits([f"L1.resid_post+=2*@L1.F{index}.dec"]))
    site = parse_unit("L1.resid_post")
    before = lab.forward(prompt, (), [site], logits=None).captured[site]
    after = job.forward(prompt, job.edits, [site], logits=None).captured[site]
    torch.testing.assert_close(after - before, (2 * sae.W_dec[index]).expand_as(before), rtol=1e-4, atol=1e-4)


def test_effect_shows_equal_distance_beside_the_controls() -> None:
    sae = random_sae()
    keep(sae, "res-1")
    report = new_report()
    edits = parse_edits([f"L1.F{firing(sae)[0]}/res-1=3"])
    execute(tiny_lab("llama"), "effect", {"prompt": "The capital of France is", "controls": 4}, edits, 0, report)
    assert "matched random features" in report.headline
    assert "random directions, same norm" in report.headline


def test_the_same_content_under_two_names_keeps_both() -> None:
    lab = tiny_lab("llama")
    keep(random_sae(), "first")
    feature_sae(lab.model, Feature(1, 3, "first"))
    keep(random_sae(), "second")
    assert feature_sae(lab.model, Feature(1, 3, "second")).artifact.name == "second"
