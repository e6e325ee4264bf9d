"""A probe on a text, and a probe in a session."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, new_report, plain, tiny_lab
from tests.lab.probing.made_examples import made_examples
from tests.session.conftest import INFO
from workbench.artifacts import Artifact, Use, kinds
from workbench.artifacts.probe import NAME, Probe, Reading, from_content
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.lab.probing.store import take
from workbench.lab.probing.text import read_text
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter


def made_probe(width: int, **changes: object) -> Probe:
    random = np.random.default_rng(0)
    reading = Reading(
        site="mlp_post",
        layer=1,
        intercept=0.25,
        threshold=0.5,
        pooling="token",
        classes=("other", "capital"),
        data_set="capitals",
        set_hash="a" * 64,
        method="logistic, C 1",
        model="llama",
        fingerprint="f" * 64,
    )
    weights, mean = random.standard_normal((2, width))
    return Probe(
        reading=msgspec.structs.replace(reading, **changes), weights=weights, mean=mean, sd=np.exp(weights) + 0.1
    )


@pytest.mark.parametrize(
    ("site", "indices", "width"),
    [("mlp_post", (5, 60, 2), 3), ("mlp_post", (), 64), ("z", (), 32), ("resid_post", (), 32)],
)
@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_scores_are_those_of_plain_hooks(arch: str, site: str, indices: tuple[int, ...], width: int) -> None:
    lab = tiny_lab(arch)
    probe = made_probe(width, site=site, indices=indices, fingerprint=lab.info.fingerprint)
    prompt = lab.prompt(PROMPT)
    scores = read_text(lab, probe, prompt)
    values = plain(arch).read(torch.from_numpy(prompt.ids)[None], 1, site)[0].flatten(1).double().numpy()
    if indices:
        values = values[:, indices]
    expected = [
        0.25 + sum(w * (x - m) / s for w, x, m, s in zip(probe.weights, row, probe.mean, probe.sd, strict=True))
        for row in values
    ]
    assert (scores.dtype, scores.shape) == (np.float64, (len(prompt),))
    assert np.isnan(scores[0])
    np.testing.assert_allclose(scores[1:], expected[1:], rtol=1e-4, atol=1e-4)


def test_a_probe_scores_a_store_as_it_scores_text_and_sees_edits() -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    with take(lab, examples, "mlp_post", [1], new_report()) as store:
        probe = made_probe(2, indices=(3, 7), fingerprint=lab.info.fingerprint)
        scores = probe.scores(store.layer(1))
    ids = np.array(examples.windows[examples.window[0]])
    values = plain("llama").read(torch.from_numpy(ids)[None], 1, "mlp_post")[0, examples.first[0], [3, 7]].numpy()
    assert scores[0] == pytest.approx(0.25 + ((values - probe.mean) / probe.sd) @ probe.weights, rel=1e-4)
    text = lab.prompt(PROMPT)
    edited = read_text(lab.job(parse_edits(["L1.N3=9", "L1.N7=0"])), probe, text)
    constant = 0.25 + ((np.array([9, 0]) - probe.mean) / probe.sd) @ probe.weights
    np.testing.assert_allclose(edited[1:], constant, rtol=1e-6)


def test_a_probe_of_another_model_is_a_sentence() -> None:
    lab = tiny_lab("llama")
    own = lab.info.fingerprint
    for probe, says in (
        (made_probe(64, layer=9), "the probe was fitted on llama \\(ffffffff\\), and this is llama"),
        (made_probe(65, fingerprint=own), "reads L1.mlp_post, and a layer has 64 numbers there"),
        (made_probe(1, indices=(64,), fingerprint=own), "reads L1.N64, and a layer has 64 numbers there"),
    ):
        with pytest.raises(UserError, match=says):
            read_text(lab, probe, lab.prompt(PROMPT))


def test_a_session_keeps_a_probe_by_its_hash(tmp_path: Path) -> None:
    probe = made_probe(3, indices=(5, 60, 2))
    with SessionWriter(tmp_path / "a.db") as writer:
        step = writer.add_step("predict", {}, uses=[Use(content=probe.content, name="capital", role="made")])
        writer.start(step, INFO)
        writer.finish(step, "done")
    with SessionReader(tmp_path / "a.db") as reader:
        (row,) = reader.artifacts()
        content = reader.content(row.hash)
    assert (row.kind, row.name, row.hash) == (NAME, "capital", probe.content.hash)
    again = from_content("capital", content)
    assert again.reading == probe.reading
    for name in ("weights", "mean", "sd"):
        np.testing.assert_array_equal(getattr(again, name), getattr(probe, name))
    artifact = Artifact(kind=NAME, name="capital", hash=row.hash)
    facts = dict(kinds()[NAME].facts(artifact, content))
    assert facts["what"] == "capital against other, logistic, C 1"
    assert facts["read at"] == "L1.N5, L1.N60, L1.N2"
    whole = made_probe(64, site="resid_post")
    assert dict(kinds()[NAME].facts(artifact, whole.content))["read at"] == "L1.resid_post"


@pytest.mark.parametrize(
    "changes",
    [
        {"array": None},
        {"array": np.zeros((2, 3))},
        {"array": np.full((3, 3), np.nan)},
        {"array": np.zeros((3, 3))},
        {"array": np.ones((3, 4))},
        {"spec": {"site": 5}},
    ],
)
def test_a_damaged_probe_is_a_sentence(changes: dict[str, object]) -> None:
    content = msgspec.structs.replace(made_probe(3, indices=(5, 60, 2)).content, **changes)
    with pytest.raises(UserError, match="the probe capital is damaged in the session"):
        from_content("capital", content)
