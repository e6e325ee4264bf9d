"""project: its numbers against NumPy on the checkpoint's tensors, and against plain hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.lab.labs import PROMPT, new_report, plain, tiny_folder, tiny_lab
from tests.lab.test_weights import cosine, from_checkpoint
from workbench.artifacts.direction import Direction, Origin
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments._effect import token_class
from workbench.lab.directions.projections import along_neurons, along_rows, along_stream, bundle
from workbench.lab.effective import unembedding
from workbench.lab.strength import sample_prompts
from workbench.report import Report
from workbench.units import Site

SHAPES = ("llama", "gpt2", "gemma2")
VECTOR = np.random.default_rng(5).normal(size=32)
UNIT = VECTOR / np.linalg.norm(VECTOR)
WRITES = {"writes": "w_out", "reads": "w_in", "gates": "w_gate"}


def named(name: str = "mine", vector: np.ndarray = VECTOR, **origin: Any) -> Direction:
    return Direction(name=name, vector=vector.astype("<f4").tobytes(), origin=Origin(**origin))


def ran(arch: str = "llama", *directions: Direction, **params: Any) -> Report:
    """Of the first direction, @mine where none is given, with the others beside it."""
    directions = directions or (named(layer=1, site="resid_pre"),)
    beside = ", ".join(f"@{other.name}" for other in directions[1:])
    values = {"direction": f"@{directions[0].name}", "beside": beside, **params}
    report = new_report()
    execute(tiny_lab(arch), "project", values, [], 0, report, {direction.name: direction for direction in directions})
    return report


def cells(report: Report, view: str, key: str) -> list[Any]:
    return report.views[view].cells(key)


def stream_of(arch: str, ids: np.ndarray, layer: int, site: str) -> np.ndarray:
    """float64 [position, d_model], without ours"""
    return plain(arch).read(torch.from_numpy(ids)[None], layer, site)[0].double().numpy()


@pytest.mark.parametrize("arch", SHAPES)
def test_what_it_promotes_and_lies_along_is_that_of_the_tensors(arch: str) -> None:
    report, lab = ran(arch, top=5), tiny_lab(arch)
    U = from_checkpoint(tiny_folder(arch), arch, 0)["unembed"]
    logits = U @ UNIT
    order = np.argsort(-logits)
    np.testing.assert_allclose(cells(report, "promotes", "promotes_logits"), logits[order[:5]], atol=1e-5)
    np.testing.assert_allclose(cells(report, "promotes", "suppresses_logits"), logits[order[::-1][:5]], atol=1e-5)
    named_rows = [token for token in order[:5] if token < len(lab.model.tokens.tokenizer)]
    assert set(map(lab.token, named_rows)) <= set(cells(report, "promotes", "promotes"))
    file = load_file(tiny_folder(arch) / "model.safetensors")
    E = next(tensor for name, tensor in file.items() if name.endswith(("embed_tokens.weight", "wte.weight")))
    along = np.sort(E.astype(np.float64) @ UNIT / np.linalg.norm(E.astype(np.float64), axis=1))
    np.testing.assert_allclose(cells(report, "embedding", "along_cosine"), along[::-1][:5], atol=1e-5)
    np.testing.assert_allclose(cells(report, "embedding", "against_cosine"), along[:5], atol=1e-5)
    cosines = cosine(U, UNIT)
    away = cosines - cosines.mean()
    moments = [cosines.mean(), cosines.var(), (away**3).mean() / away.std() ** 3, (away**4).mean() / cosines.var() ** 2]
    np.testing.assert_allclose(cells(report, "moments", "value"), moments, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("arch", SHAPES)
def test_neurons_that_write_and_read_it_are_those_of_the_tensors(arch: str) -> None:
    report, lab = ran(arch, top=4), tiny_lab(arch)
    layers = [from_checkpoint(tiny_folder(arch), arch, layer) for layer in range(lab.info.n_layers)]
    rows = report.views["neurons"].records()
    sides = {row["relation"] for row in rows}
    assert sides == {verb for verb, name in WRITES.items() if name in layers[0]}
    for verb in sides:
        cosines = np.stack([cosine(weights[WRITES[verb]], UNIT) for weights in layers])
        order = np.argsort(-np.abs(cosines), axis=None)[:4]
        expected = [divmod(int(at), lab.info.d_mlp) for at in order]
        shown = [row for row in rows if row["relation"] == verb]
        assert [row["unit"] for row in shown] == [f"L{layer}.N{neuron}" for layer, neuron in expected]
        np.testing.assert_allclose([row["cosine"] for row in shown], [cosines[at] for at in expected], atol=1e-5)


@pytest.mark.parametrize("arch", SHAPES)
def test_the_best_of_many_stands_beside_the_best_of_as_many(arch: str) -> None:
    lab, report = tiny_lab(arch), new_report()
    directions = bundle(lab, VECTOR.astype(np.float32), Site(1, "resid_pre"), 32, report)
    vectors = directions.vectors.double().numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    weights = from_checkpoint(tiny_folder(arch), arch, 2)
    logits = weights["unembed"] @ vectors.T
    along = along_rows(unembedding(lab.model), directions, report, "", cosines=False)
    np.testing.assert_allclose(along.highest.stream, logits.max(0)[1:33], atol=1e-5)
    np.testing.assert_allclose(along.lowest.isotropic, logits.min(0)[33:], atol=1e-5)
    layers = [from_checkpoint(tiny_folder(arch), arch, layer)["w_out"] for layer in range(lab.info.n_layers)]
    w_out = np.concatenate(layers)
    best = np.abs(w_out @ vectors.T / np.linalg.norm(w_out, axis=1)[:, None]).max(0)
    largest = along_neurons(lab, directions, report)["w_out"].largest
    np.testing.assert_allclose([largest.value, *largest.stream, *largest.isotropic], best, atol=1e-5)


def test_a_neuron_that_writes_it_stands_out_and_the_own_one_counts_as_none() -> None:
    lab = tiny_lab("llama")
    copied = lab.weights.direction("L2.N7.out") + 0.02 * VECTOR.astype(np.float32)
    report = ran("llama", named(vector=copied))
    first = report.views["neurons"].records()[0]
    assert (first["unit"], first["relation"], first["beyond"]) == ("L2.N7", "writes", "yes")
    assert report.scalars["neurons_writes"] == 1
    assert "L2.N7 writes it most, cosine .9" in report.headline
    assert report.headline.endswith("larger than all 32")
    own = new_report()
    execute(lab, "project", {"direction": "@L2.N7.out", "beside": ""}, [], 0, own, {})
    first = own.views["neurons"].records()[0]
    assert (first["unit"], first["cosine"], first["beyond"]) == ("L2.N7", pytest.approx(1), "its own weights")
    assert own.scalars["neurons_writes"] == 0
    assert "L2.N7 writes" not in own.headline


def test_a_neuron_that_stands_where_it_can_neither_write_nor_read_is_marked() -> None:
    rows = ran("llama", top=20).views["neurons"].records()
    marks = {(row["relation"] == "writes", row["unit"][:2], row["place"]) for row in rows}
    behind, before = "behind L1.resid_pre", "before L1.resid_pre"
    assert marks == {
        (True, "L0", ""), (True, "L1", behind), (True, "L2", behind),
        (False, "L0", before), (False, "L1", ""), (False, "L2", ""),
    }  # fmt: skip


@pytest.mark.parametrize("arch", SHAPES)
def test_a_text_token_by_token_where_the_direction_was_made(arch: str) -> None:
    report, lab = ran(arch, prompt=PROMPT), tiny_lab(arch)
    stream = stream_of(arch, lab.prompt(PROMPT).ids, 1, "resid_pre")
    text, cosines = (report.views[key].rows[0].values for key in ("text", "text_cosine"))
    assert np.isnan([text[0], cosines[0]]).all()
    np.testing.assert_allclose(text[1:], (stream @ UNIT / np.linalg.norm(VECTOR))[1:], atol=1e-4)
    np.testing.assert_allclose(cosines[1:], cosine(stream, UNIT)[1:], atol=1e-5)
    elsewhere = ran(arch, prompt=PROMPT, site="L2.resid_post").views["text_cosine"]
    other = stream_of(arch, lab.prompt(PROMPT).ids, 2, "resid_post")
    np.testing.assert_allclose(elsewhere.rows[0].values[1:], cosine(other, UNIT)[1:], atol=1e-5)
    assert "L2.resid_post" in elsewhere.title


@pytest.mark.parametrize(
    ("name", "origin", "site"),
    [
        ("mine", {}, "L1.resid_post (the middle layer: where it was made is not known)"),
        ("mine", {"layer": 2, "site": "resid_pre"}, "L2.resid_pre (where it was made)"),
        ("mine", {"site": "W_E"}, "L0.resid_pre (next to the embedding, which it is of)"),
        ("mine", {"site": "W_U"}, "L2.resid_post (next to the unembedding, which it is of)"),
        ("L1.N3.in", None, "L1.resid_mid (which it reads)"),
        ("L1.N3.out", None, "L1.resid_post (where it was made)"),
    ],
)
def test_it_says_where_it_takes_the_direction(name: str, origin: dict[str, Any] | None, site: str) -> None:
    directions = {} if origin is None else {name: named(name, **origin)}
    report = new_report()
    execute(tiny_lab("llama"), "project", {"direction": f"@{name}", "beside": ""}, [], 0, report, directions)
    assert any(f"@{name} is taken at {site}" in note for note in report.notes)


@pytest.mark.parametrize("arch", SHAPES)
def test_the_streams_length_and_share_by_layer(arch: str) -> None:
    lab, report = tiny_lab(arch), new_report()
    directions = bundle(lab, VECTOR.astype(np.float32), Site(1, "resid_pre"), 32, report)
    by_layer = along_stream(lab, directions, report)
    assert by_layer.names == ["embed", "L0", "L1", "L2"]
    for point, (layer, site) in {0: (0, "resid_pre"), 2: (1, "resid_post")}.items():
        stream = np.concatenate([stream_of(arch, prompt.ids, layer, site)[1:] for prompt in sample_prompts(lab.model)])
        assert by_layer.tokens == len(stream)
        lengths = np.linalg.norm(stream, axis=1)
        np.testing.assert_allclose(by_layer.norm[:, point], np.quantile(lengths, (0.05, 0.5, 0.95)), rtol=1e-4)
        assert by_layer.projection[point].value == pytest.approx(np.abs(stream @ UNIT).mean(), rel=1e-4)
        shares = (stream @ directions.vectors.double().numpy().T).var(0) / stream.var(0).sum()
        assert by_layer.share[point].value == pytest.approx(shares[0], rel=1e-3)
        np.testing.assert_allclose(by_layer.share[point].isotropic, shares[33:], rtol=1e-3)


def test_a_corpus_by_kind_of_token_with_errors_by_document(tmp_path: Path) -> None:
    texts = ["The capital of France is Paris, 1789.", "A list: one, two, three", "Numbers 12 and 34 and 5.", "Berlin?"]
    for at, text in enumerate(texts):
        (tmp_path / f"{at}.txt").write_text(text)
    report, lab = ran(corpus=str(tmp_path)), tiny_lab("llama")
    of_kind: dict[str, list[np.ndarray]] = {}
    everything = []
    for text in texts:
        prompt = lab.prompt(text)
        projection = (stream_of("llama", prompt.ids, 1, "resid_pre") @ UNIT)[1:]
        everything.append(projection)
        kinds = np.asarray([token_class(token) for token in prompt.tokens[1:]])
        for kind in set(kinds):
            of_kind.setdefault(kind, []).append(projection[kinds == kind])
    rows = {row["token_class"]: row for row in report.views["classes"].records()}
    assert set(rows) == set(of_kind)
    together = np.concatenate(everything)
    for kind, parts in of_kind.items():
        values = np.concatenate(parts)
        mean, d = values.mean(), len(parts)
        assert rows[kind]["projection"] == pytest.approx(mean, abs=1e-4)
        assert (rows[kind]["tokens"], rows[kind]["documents"]) == (len(values), d)
        assert rows[kind]["away"] == pytest.approx((mean - together.mean()) / together.std(), abs=1e-3)
        if d > 1:
            squares = sum((part.sum() - len(part) * mean) ** 2 for part in parts)
            assert rows[kind]["se"] == pytest.approx(np.sqrt(d / (d - 1) * squares) / len(values), rel=1e-3)
        else:
            assert rows[kind]["se"] is None


def test_other_directions_largest_first_and_those_of_another_width_left_out() -> None:
    near, far = named("near", VECTOR + 0.1, method="arithmetic", about="@mine + .1"), named("far", -VECTOR[::-1])
    wide, zero = named("wide", np.ones(33)), named("zero", np.zeros(32))
    report = ran("llama", named(layer=1), far, near, wide, zero)
    rows = report.views["directions"].records()
    expected = {other.name: float(cosine(VECTOR, other.numbers.astype(np.float64))) for other in (near, far)}
    assert [row["direction"] for row in rows] == ["@near", "@far"]
    for row in rows:
        assert row["cosine"] == pytest.approx(expected[row["direction"][1:]], abs=1e-5)
    assert rows[0]["about"] == "@mine + .1"
    for name in ("wide", "zero"):
        assert any(f"@{name} is left out: " in note for note in report.notes)


def test_the_norm_is_that_of_the_direction_and_length_changes_nothing_else() -> None:
    short, long = ran("llama", named(layer=1)), ran("llama", named(vector=100 * VECTOR, layer=1))
    assert short.scalars["norm"] == pytest.approx(np.linalg.norm(VECTOR), rel=1e-5)
    assert long.scalars["norm"] == pytest.approx(100 * np.linalg.norm(VECTOR), rel=1e-5)
    assert long.headline == short.headline
    assert long.views["norms"].levels[0].y == pytest.approx(100 * np.linalg.norm(VECTOR), rel=1e-5)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"direction": ""}, "no direction named: give --direction, for example @L12.N345.out"),
        ({"direction": "@nowhere"}, "there is no direction @nowhere here"),
        ({"direction": "L1.N2"}, "one direction is wanted here"),
        ({"direction": "@wide"}, "33 numbers"),
        ({"direction": "@zero"}, "@zero points nowhere"),
        ({"direction": "@L1.N64.out"}, "there is no neuron 64"),
        ({"site": "L1.mlp_post"}, "L1.mlp_post holds no stream"),
        ({"site": "L9.resid_post"}, "there is no layer 9"),
        ({"corpus": "/no/such/folder"}, "/no/such/folder"),
        ({"draws": 3}, "draws: expected `int` >= 32"),
    ],
)
def test_what_can_not_be_projected_is_a_sentence(params: dict[str, Any], says: str) -> None:
    directions = [named(layer=1), named("wide", np.ones(33)), named("zero", np.zeros(32))]
    with pytest.raises(UserError, match=says):
        ran("llama", *directions, **params)
