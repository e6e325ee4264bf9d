"""neuron-probe and sparse-probe over an SAE's features: a planted one, held against scikit-learn on plain hooks."""

from __future__ import annotations

import shutil
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from tests.experiments.test_battery import earlier_of
from tests.experiments.test_neuron_probe import made
from tests.experiments.test_sparse_probe import labelled
from tests.lab.labs import new_report, plain, tiny_lab
from tests.lab.sae.made import STREAM, keep
from tests.lab.sae.test_features import D_SAE, encode, random_sae
from workbench.artifacts.sae import find_sae, saes_dir
from workbench.datasets.labelled.aligning import examples_of
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab import memory
from workbench.lab.probing.control_tasks import haar
from workbench.lab.sae import make_sae
from workbench.lab.sae.sae import SAE
from workbench.result_keys import Battery, NeuronProbe, ProbeAblate, ProbeApply, SparseProbe
from workbench.units import Site

PLANTED = 7
"""the feature that fires at places alone"""


def stream_of(data: Any, pooling: Any = None) -> tuple[torch.Tensor, Any]:
    """STREAM where examples read, by plain hooks: [example, number]; `pooling` is of those that read several tokens."""
    lab = tiny_lab("llama")
    examples, _ = examples_of(data, lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    rows = []
    for window, last in zip(examples.window.tolist(), examples.last.tolist(), strict=True):
        x = plain("llama").read(torch.tensor([examples.windows[window]]), STREAM.layer, STREAM.name)[0]
        rows.append(x[last] if pooling is None else pooling(x[1 : last + 1]))
    return torch.stack(rows), examples


@cache
def planted_sae() -> SAE:
    """One feature's encoder row is the least-squares rule for places at STREAM; the others are anything."""
    sae = random_sae()
    x, examples = stream_of(labelled())
    with_one = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    target = torch.from_numpy(np.where(examples.label > 0.5, 6.0, -6.0))
    rule = torch.linalg.lstsq(with_one, target[:, None]).solution[:, 0]
    tensors = {name: tensor.clone() for name, tensor in sae.tensors.items()}
    tensors["W_enc"][:, PLANTED] = rule[:-1].float()
    tensors["b_enc"][PLANTED] = (rule[-1] + tensors["b_dec"].double() @ rule[:-1]).float()
    return make_sae(sae.config, tensors)


def step(experiment: str, **params: Any) -> Any:
    report = new_report()
    execute(tiny_lab("llama"), experiment, {"data": labelled(), **params}, [], 0, report)
    return report


def ran(experiment: str = "neuron-probe", **params: Any) -> Any:
    ks = {"ks": [1, 2, 4]} if experiment == "sparse-probe" else {}
    return step(experiment, **{"sae": "planted", "permutations": 20, **ks, **params})


def test_every_feature_is_ranked_by_scikit_learns_auc_and_the_planted_one_is_first() -> None:
    keep(planted_sae(), "planted")
    report = ran(n=D_SAE)
    x, examples = stream_of(labelled())
    features = encode(planted_sae(), x).double().numpy()
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    rows = report.views[NeuronProbe.NEURONS].records()
    assert rows[0]["unit"] == f"L1.F{PLANTED}/planted"
    assert {row["unit"] for row in rows} == {f"L1.F{index}/planted" for index in range(D_SAE)}
    for row in rows:
        index = int(row["unit"].removeprefix("L1.F").removesuffix("/planted"))
        assert row["train_auc"] == pytest.approx(roc_auc_score(label[train], features[train, index]), abs=2e-5)
    name, probe = made(report)
    assert (name, probe.units) == (f"places-L1.F{PLANTED}-planted", [f"L1.F{PLANTED}/planted"])
    assert (probe.reading.sae, probe.reading.sae_hash) == ("planted", find_sae("planted").hash)
    one = features[:, [PLANTED]]
    z = (one - one[train].mean()) / one[train].std()
    theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10).fit(z[train], label[train])
    logits = theirs.decision_function(z[test])
    np.testing.assert_allclose(probe.scores(features)[test], logits, atol=5e-3)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], logits > 0), abs=1e-6)
    assert report.scalars["null_p"] == pytest.approx(1 / 21)
    assert report.headline.startswith(f"L1.F{PLANTED}/planted tells 'place' (higher) from 'other'")
    assert "best of 40 in 20 permutations" in report.headline
    assert ("planted", "SAE") in [(use.name, use.content.kind) for use in report.artifacts]
    assert report.next_steps[0].experiment == "feature"


def test_random_bases_are_of_what_the_sae_encodes() -> None:
    """The five of seed 0, each read by its best number alone: scikit-learn's scores."""
    keep(planted_sae(), "planted")
    baselines = {row["what"]: row for row in ran().views[NeuronProbe.BASELINES].records()}
    x, examples = stream_of(labelled())
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    generator, wanted = torch.Generator().manual_seed(0), []
    for _ in range(5):
        turned = (x @ haar(x.shape[1], generator)).double().numpy()
        aucs = [roc_auc_score(label[train], column) for column in turned[train].T]
        best = int(np.abs(np.round(aucs, 6) - 0.5).argmax())
        z = (turned[:, [best]] - turned[train, best].mean()) / turned[train, best].std()
        theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10).fit(z[train], label[train])
        wanted.append(matthews_corrcoef(label[test], theirs.decision_function(z[test]) > 0))
    row = baselines["the best in a rotated basis of what is encoded"]
    assert row["mcc"] == pytest.approx(np.mean(wanted), abs=1e-6)


def test_a_sparse_probe_of_features_is_scikit_learns() -> None:
    keep(planted_sae(), "planted")
    report = ran("sparse-probe", adaptive=False, layers=[1])
    name, probe = made(report)
    k = int(report.scalars["k"])
    x, examples = stream_of(labelled())
    features = encode(planted_sae(), x).double().numpy()
    label, train, test = examples.label > 0.5, examples.split == 0, examples.split == 2
    sd = features[train].std(0)
    z = (features - features[train].mean(0)) / np.where(sd > 1e-6, sd, np.inf)
    difference = np.abs(z[train & label].mean(0) - z[train & ~label].mean(0))
    order = np.argsort(-difference, kind="stable")[:k]
    assert PLANTED in order
    assert list(probe.reading.indices) == order.tolist()
    theirs = LogisticRegression(C=1, class_weight="balanced", tol=1e-10).fit(z[train][:, order], label[train])
    logits = theirs.decision_function(z[test][:, order])
    np.testing.assert_allclose(probe.scores(features)[test], logits, atol=5e-3)
    assert report.scalars["mcc"] == pytest.approx(matthews_corrcoef(label[test], logits > 0), abs=1e-6)
    assert (report.scalars["layer"], name) == (1, f"places-L1-k{k}")
    units = [row["unit"] for row in report.views[SparseProbe.NEURONS].records()]
    assert set(units) == set(probe.units) == {f"L1.F{index}/planted" for index in order}
    assert "random features" in report.headline
    steps = {step.experiment: step for step in report.next_steps}
    assert steps["feature"].params["unit"] in units
    assert steps["probe-ablate"].params["units"] in units
    assert steps["effect"].edits[0].startswith("L1.F")


def test_the_best_feature_is_ablated_from_the_same_store() -> None:
    keep(planted_sae(), "planted")
    best = ran()
    unit = best.views[NeuronProbe.NEURONS].records()[0]["unit"]
    report = step("probe-ablate", units=unit, controls=2, directions=1)
    assert any("read from the store" in note for note in report.notes)
    ours, theirs = report.views[ProbeAblate.BY_CLASS], best.views[NeuronProbe.BY_CLASS]
    for one, other in zip(ours.series, theirs.series, strict=True):
        np.testing.assert_array_equal(one.y, other.y)


def test_a_kept_probe_of_features_reads_texts_and_sets_as_it_was_fitted() -> None:
    keep(planted_sae(), "planted")
    name, probe = made(ran("sparse-probe", adaptive=False))
    lab, text = tiny_lab("llama"), labelled().texts[0].text
    stored = probe.stored(name)
    report = step("probe-apply", text=text, probe=stored)
    x = plain("llama").read(torch.from_numpy(lab.prompt(text).ids)[None], STREAM.layer, STREAM.name)[0]
    wanted = probe.scores(encode(planted_sae(), x).double().numpy())
    np.testing.assert_allclose(report.views[ProbeApply.TEXT].rows[0].values[1:], wanted[1:], atol=1e-3)
    assert report.scalars["mcc"] == pytest.approx(probe.reading.test["mcc"][0], abs=1e-6)
    assert ("planted", "SAE") in [(use.name, use.content.kind) for use in report.artifacts]
    changed = {name: tensor.clone() for name, tensor in planted_sae().tensors.items()}
    changed["b_dec"] += 1
    keep(make_sae(planted_sae().config, changed), "other")
    other = msgspec.structs.replace(stored, spec={**stored.spec, "sae": "other"})
    with pytest.raises(UserError, match="features of the SAE other with the hash .*: fit the probe again"):
        step("probe-apply", probe=other)


def test_features_of_several_tokens_are_encoded_before_they_are_pooled() -> None:
    keep(planted_sae(), "planted")
    data = labelled(read="mean")
    report = ran(data=data, n=D_SAE)
    features, examples = stream_of(data, lambda x: encode(planted_sae(), x).mean(0))
    label, train = examples.label > 0.5, examples.split == 0
    for row in report.views[NeuronProbe.NEURONS].records():
        index = int(row["unit"].removeprefix("L1.F").removesuffix("/planted"))
        wanted = roc_auc_score(label[train], features[train].numpy()[:, index])
        assert row["train_auc"] == pytest.approx(wanted, abs=2e-3), "means differ by rounding, which orders near ties"


@pytest.mark.parametrize("site", ["z", "mlp_in"])
def test_saes_of_other_places_are_probed_where_they_read(site: str) -> None:
    """Attention's heads in one vector; a transcoder in front of the norm's weight."""
    if site == "z":
        sae = random_sae(Site(1, "z"))
    else:
        hooks = {"hook": "blocks.1.ln2.hook_normalized", "hook_out": "blocks.1.hook_mlp_out"}
        sae = random_sae(Site(1, "resid_pre"), subtracts_b_dec=False, d_out=32, **hooks)
    keep(sae, "elsewhere")
    report = ran(sae="elsewhere", permutations=2, n=5)
    lab, model = tiny_lab("llama"), plain("llama")
    examples, _ = examples_of(labelled(), lab.model.tokens.tokenizer, lab.info.n_ctx, 0)
    rows = []
    for window, last in zip(examples.window.tolist(), examples.last.tolist(), strict=True):
        ids = torch.tensor([examples.windows[window]])
        if site == "z":
            x = model.read(ids, 1, "z").reshape(1, len(ids[0]), -1)
        else:
            norm = model.layers[1].post_attention_layernorm
            with torch.no_grad():
                x = norm(model.read(ids, 1, "resid_pre") + model.read(ids, 1, "attn_out")) / norm.weight
        rows.append(encode(sae, x)[0, last])
    features = torch.stack(rows).double().numpy()
    label, train = examples.label > 0.5, examples.split == 0
    aucs = np.array([roc_auc_score(label[train], column) for column in features[train].T])
    shown = report.views[NeuronProbe.NEURONS].records()
    assert [abs(row["train_auc"] - 0.5) for row in shown] == pytest.approx(sorted(np.abs(aucs - 0.5))[:-6:-1], abs=1e-4)
    for row in shown:
        index = int(row["unit"].removeprefix("L1.F").removesuffix("/elsewhere"))
        assert row["train_auc"] == pytest.approx(aucs[index], abs=1e-4)
    assert "rotated_basis" in report.views[NeuronProbe.BASELINES].row_keys


def test_a_battery_of_features_goes_on_with_the_same_sae_alone() -> None:
    keep(planted_sae(), "planted")
    few = {"sae": "planted", "ks": [1, 2], "permutations": 4, "controls": 2, "text_tokens": 1000}

    def battery(earlier: Any = None) -> Any:
        report = new_report()
        report.earlier = [earlier] if earlier else []
        execute(tiny_lab("llama"), "battery", {"data": [labelled()], **few}, [], 0, report)
        return report

    first = battery()
    (row,) = first.views[Battery.SETS].records()
    assert (row["unit"], row["layer"]) == (f"L1.F{PLANTED}/planted", "L1")
    assert row["sae"] == f"planted {find_sae('planted').hash[:12]}"
    assert (row["problem"], row["random_neurons"] < row["mcc_k"]) == ("", True)
    assert first.views[Battery.ONE].column_labels == ["L1"]
    assert "one feature has MCC ≥ .9 on test in" in first.headline
    assert first.next_steps[0].experiment == "feature"
    earlier = earlier_of(first, {"data": [labelled()], **few})
    earlier = msgspec.structs.replace(earlier, fingerprint=tiny_lab("llama").info.fingerprint)
    assert any(note.startswith("places: as in step 7") for note in battery(earlier).notes)
    shutil.rmtree(saes_dir() / "planted")
    changed = {name: tensor.clone() for name, tensor in planted_sae().tensors.items()}
    changed["W_dec"] *= 2
    keep(make_sae(planted_sae().config, changed), "planted")
    assert not any("as in step" in note for note in battery(earlier).notes), "another SAE of the same name"


def test_what_cannot_be_probed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no SAE is registered yet: workbench sae add"):
        ran()
    keep(planted_sae(), "planted")
    with pytest.raises(UserError, match="there is no SAE 'none': there are planted"):
        ran(sae="none")
    with pytest.raises(UserError, match="planted are of layer 1, and --layers names 0, 2: leave --layers out"):
        ran(layers=[2, 0])
    wide = random_sae(Site(1, "mlp_post"), hook="blocks.1.hook_resid_post")
    keep(wide, "wide")
    with pytest.raises(UserError, match="this SAE reads .* numbers, and L1.resid_post of .* has 32"):
        ran("sparse-probe", sae="wide")
    monkeypatch.setattr(memory, "free_memory", lambda device: 16 * D_SAE * 150)
    with pytest.raises(UserError, match="40 features at 240 examples need about .*, for example --examples 100"):
        ran()
