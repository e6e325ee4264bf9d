"""features: activations, contributions, shares and frequencies against NumPy on what a plain hook reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, tiny_lab
from tests.lab.sae.made import STREAM, keep, made_sae
from workbench.artifacts.sae import register
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments._corpus import corpus_prompts
from workbench.lab.sae import make_sae
from workbench.lab.sae.reading import write_sae
from workbench.report import Report
from workbench.result_keys import Features
from workbench.units import Site
from workbench.views import Lines, Table, Tokens

PROMPT = "The capital of France is Paris, and that of Italy is Rome."
CORPUS = {"tokens": 256, "context": 32}


def ran(edits: str = "", **params: Any) -> Report:
    report = new_report()
    execute(
        tiny_lab("llama"),
        "features",
        {"prompt": PROMPT, **CORPUS, **params},
        parse_edits([edits] if edits else []),
        0,
        report,
    )
    return report


def uneven_sae(site: Site = STREAM) -> Any:
    """Decoder rows of many lengths, so that contributions and activations are ordered unlike each other."""
    sae = made_sae(tiny_lab("llama"), site)
    scale = torch.linspace(0.2, 3, sae.config.d_sae)[:, None].flip(0)
    return make_sae(sae.config, {**sae.tensors, "W_dec": sae.W_dec * scale, "W_enc": sae.W_enc / scale.T})


def encoded(sae: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations [token, feature] and reconstruction [token, width], in NumPy."""
    W = {name: tensor.double().numpy() for name, tensor in sae.tensors.items()}
    activations = np.maximum((x - W["b_dec"]) @ W["W_enc"] + W["b_enc"], 0)
    return activations, activations @ W["W_dec"] + W["b_dec"]


def read_by_hook(ids: np.ndarray, site: Site = STREAM) -> np.ndarray:
    """Position 0 left out, float64 [token, width]."""
    read = plain("llama").read(torch.from_numpy(ids)[None], site.layer, site.name)[0, 1:]
    return np.asarray(read.double().numpy())


def table(report: Report, key: str) -> Table:
    view = report.views[key]
    assert isinstance(view, Table)
    return view


@pytest.mark.parametrize("by", ["sum", "max"])
def test_every_number_equals_numpy_on_a_plain_hook(own_folders: object, by: str) -> None:
    lab, sae = tiny_lab("llama"), uneven_sae()
    keep(sae, "res-1")
    report = ran(by=by, rows=1000, top=100)
    prompt = lab.prompt(PROMPT)
    x = read_by_hook(prompt.ids)
    activations, s = encoded(sae, x)
    contributions = activations * np.linalg.norm(sae.W_dec.double().numpy(), axis=1)
    texts = corpus_prompts(lab, "stdlib", CORPUS["tokens"], CORPUS["context"], new_report())
    sample = np.concatenate([encoded(sae, read_by_hook(each.ids))[0] for each in texts])
    often = (sample > 0).mean(0)
    here = (activations > 0).mean(0)

    rows = table(report, Features.FEATURES).records()
    of_text = contributions.sum(0) if by == "sum" else contributions.max(0)
    order = [int(at) for at in np.argsort(-of_text, kind="stable") if of_text[at] > 0]
    assert [row["feature"] for row in rows] == [f"L1.F{at}/res-1" for at in order]
    for row, at in zip(rows, order, strict=True):
        peak = contributions[:, at].argmax()
        assert row["position"] == peak + 1 and row["token"] == prompt.tokens[peak + 1]
        assert row["activation"] == pytest.approx(activations[peak, at], rel=1e-4, abs=1e-5)
        assert row["contribution"] == pytest.approx(of_text[at], rel=1e-4, abs=1e-5)
        assert row["here"] == pytest.approx(here[at])
        assert row["sample"] == pytest.approx(often[at], abs=2 / len(sample))
        assert row["ratio"] is None or row["ratio"] == pytest.approx(here[at] / row["sample"])
        assert row["common"] == ("everywhere" if row["sample"] > 0.1 else "")
    assert {row["common"] for row in rows} >= {"everywhere"}

    tokens = table(report, Features.BY_TOKEN).records()
    for position in range(1, len(prompt)):
        listed = [row for row in tokens if row["position"] == position]
        values = contributions[position - 1]
        best = [int(at) for at in np.argsort(-values, kind="stable") if values[at] > 0]
        assert [row["feature"] for row in listed] == [f"L1.F{at}/res-1" for at in best]
        assert [row["contribution"] for row in listed] == pytest.approx(values[best].tolist(), rel=1e-4, abs=1e-5)

    explained, l0 = report.views[Features.EXPLAINED], report.views[Features.L0]
    assert isinstance(explained, Lines) and isinstance(l0, Lines)
    share = 1 - ((x - s) ** 2).sum(1) / (x**2).sum(1)
    np.testing.assert_allclose(explained.series[0].y, share, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(l0.series[0].y, (activations > 0).sum(1))
    assert report.scalars["explained"] == pytest.approx(share.mean(), rel=1e-4)

    strip = report.views[Features.TOKENS]
    assert isinstance(strip, Tokens)
    assert [row.name for row in strip.rows] == [f"L1.F{at}" for at in order[:8]]
    for coloured, at in zip(strip.rows, order, strict=False):
        assert np.isnan(coloured.values[0])
        np.testing.assert_allclose(coloured.values[1:], contributions[:, at], rtol=1e-4, atol=1e-5)
    assert f"{len(sample):,} tokens of" in report.headline and "of the squared norm" in report.headline


def test_under_edits_clean_stands_beside_edited(own_folders: object) -> None:
    sae = uneven_sae()
    keep(sae, "res-1")
    clean = ran(rows=1000)
    both = ran("L0.N3=5", rows=1000)
    known = {row["feature"]: row["contribution"] for row in table(clean, Features.FEATURES).records()}
    rows = table(both, Features.FEATURES).records()
    for row in rows:
        assert row["contribution"] == pytest.approx(known.get(row["feature"], 0), rel=1e-5, abs=1e-6)
    assert any(abs(row["contribution_edited"] - row["contribution"]) > 1e-3 for row in rows)
    strip = both.views[Features.TOKENS]
    assert isinstance(strip, Tokens) and strip.rows[0].name.endswith("clean") and strip.rows[1].name.endswith("edited")
    assert both.scalars["explained_clean"] == pytest.approx(clean.scalars["explained"])
    # The frequencies are those without the edits.
    often = {row["feature"]: row["sample"] for row in table(clean, Features.FEATURES).records()}
    assert all(row["sample"] == often.get(row["feature"], row["sample"]) for row in rows)


def test_several_saes_are_read_in_one_run_and_what_does_not_fit_is_said(own_folders: object) -> None:
    lab = tiny_lab("llama")
    keep(uneven_sae(), "res-1")
    keep(made_sae(lab, Site(0, "mlp_out")), "mlp-0")
    keep(made_sae(lab, hook="blocks.9.hook_resid_post"), "other")
    report = ran(rows=200)
    names = {row["feature"].partition("/")[2] for row in table(report, Features.FEATURES).records()}
    assert names == {"res-1", "mlp-0"}
    assert any("left out: other" in note for note in report.notes)
    explained = report.views[Features.EXPLAINED]
    assert isinstance(explained, Lines) and [each.name for each in explained.series] == ["mlp-0", "res-1"]
    assert {"res-1_explained", "mlp-0_explained"} <= set(report.scalars)
    with pytest.raises(UserError, match="for layer 9"):
        ran(sae="other")


def test_a_wrong_sae_explains_nothing(own_folders: object) -> None:
    sae = made_sae(tiny_lab("llama"))
    keep(make_sae(sae.config, {**sae.tensors, "W_dec": -3 * sae.W_dec}), "wrong")
    explained = ran().scalars["explained"]
    assert explained is not None and explained < 0


@pytest.mark.parametrize(("params", "problem"), [({"prompt": ""}, "empty"), ({"sae": "no-such"}, "no SAE")])
def test_bad_input_is_a_sentence(own_folders: object, params: dict[str, str], problem: str) -> None:
    keep(made_sae(tiny_lab("llama")), "res-1")
    with pytest.raises(UserError, match=problem):
        ran(**params)


@pytest.mark.parametrize("there", [True, False])
def test_the_sample_is_of_what_the_sae_was_trained_on_where_that_is_recorded(
    own_folders: object, tmp_path: Path, there: bool
) -> None:
    lab, sae = tiny_lab("llama"), uneven_sae()
    text = tmp_path / "own.txt"
    text.write_text("We met in June and parted in May. " * 40)

    def write(folder: Path) -> None:
        write_sae(sae, folder, training={"corpus": str(text)})

    register("own", sae.config, write)
    if not there:
        text.unlink()
    report = new_report()
    execute(lab, "features", {"prompt": PROMPT, "sae": "own", "tokens": 64, "context": 16}, [], 0, report)
    assert report.headline.endswith(f"of {text}" if there else "documents of stdlib")
    note = "on which the SAE was trained" if there else "can't be read"
    assert any(note in each for each in report.notes)
    named = new_report()
    execute(lab, "features", {"prompt": PROMPT, "sae": "own", "tokens": 64, "corpus": "stdlib"}, [], 0, named)
    assert named.headline.endswith("documents of stdlib") and not any(note in each for each in named.notes)
