"""export-model: what is written, loaded by plain transformers, against plain hooks and NumPy on the checkpoint."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from tests.architectures.compare import make
from tests.architectures.configs import ARCHITECTURES
from tests.architectures.reference import Reference
from tests.lab.labs import PROMPT, new_report, source_of, tiny_folder, tiny_lab
from tests.lab.plain import Plain
from tests.tiny import tiny_model
from workbench.artifacts.direction import Direction, Origin
from workbench.edits import parse_edits
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiments.export_model import Params
from workbench.lab.exporting import folder as folders
from workbench.lab.exporting.verify import verify_prompts
from workbench.lab.model import Lab, load_lab
from workbench.params import read_params
from workbench.report import Report

VECTOR = np.random.default_rng(7).normal(size=32)
UNIT = torch.from_numpy(VECTOR / np.linalg.norm(VECTOR)).float()
OTHER = np.random.default_rng(8).normal(size=32)
MINE = Direction(
    name="mine",
    vector=VECTOR.astype("<f4").tobytes(),
    origin=Origin(method="mean difference", about="128 + 128 prompts", model="tiny", site="resid_pre", layer=1),
    made_by="step 3 of demo.db",
)
SHAPES = ("llama", "gpt2", "gpt_neox", "gemma", "qwen2")


def exported(lab: Lab, folder: Path, edits: str = "", direction: str = "@mine", *others: Direction) -> Report:
    report = new_report()
    named = {given.name: given for given in (MINE, *others)}
    values = {"direction": direction, "folder": str(folder)}
    execute(lab, "export-model", values, parse_edits([edits] if edits else []), 0, report, named)
    return report


def ids_of(lab: Lab) -> torch.Tensor:
    return torch.from_numpy(lab.prompt(PROMPT).ids)[None]


def ablated(x: torch.Tensor) -> torch.Tensor:
    return x - (x @ UNIT)[..., None] * UNIT


def hooked(source: Path, ids: torch.Tensor) -> torch.Tensor:
    """Logits under directional ablation by plain hooks on the Hugging Face model."""
    plain = Plain(source)
    sites = ("resid_pre", "attn_out", "mlp_out")
    return plain.logits(ids, [(layer, site, ablated) for layer in range(len(plain.layers)) for site in sites])


def largest_gap(logits: torch.Tensor, others: torch.Tensor) -> float:
    return float((logits - others).abs().max())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("arch", SHAPES)
def test_the_weights_do_what_plain_hooks_do(arch: str, tied: bool, tmp_path: Path) -> None:
    source = tiny_model(arch, tmp_path / "source", tie_word_embeddings=tied)
    lab = load_lab(source_of(source), device="cpu", dtype="float32")
    before = {name: tensor.clone() for name, tensor in lab.model.hf.state_dict().items()}
    report = exported(lab, tmp_path / "copy")
    ids = ids_of(lab)
    expected, copy = hooked(source, ids), Plain(tmp_path / "copy")
    assert largest_gap(copy.logits(ids), expected) < 1e-4
    assert largest_gap(Plain(source).logits(ids), expected) > 0.1
    assert report.scalars["difference_sd"] < 1e-4
    assert report.scalars["kl"] < 1e-9
    assert "equal to the edited model" in report.headline
    assert copy.model.config.tie_word_embeddings is False
    unembedding = Plain(source).model.get_output_embeddings().weight
    assert torch.equal(copy.model.get_output_embeddings().weight, unembedding)
    assert all(torch.equal(tensor, before[name]) for name, tensor in lab.model.hf.state_dict().items())


@pytest.mark.parametrize("name", ["opt", "falcon", "mpt", "granite", "gptj", "llama_biased", "gpt_neox_sequential"])
def test_so_do_those_of_other_architectures(name: str, tmp_path: Path) -> None:
    """Positions with an offset, one matrix for queries, keys and values, a factor, parallel blocks, biases."""
    make(name, tmp_path / "source")
    lab = load_lab(source_of(tmp_path / "source"), device="cpu", dtype="float32")
    exported(lab, tmp_path / "copy")
    source, copy = (Reference(tmp_path / folder, ARCHITECTURES[name]) for folder in ("source", "copy"))
    sites = ("resid_pre", "attn_out", "mlp_out")
    changes = [(layer, site, ablated) for layer in range(lab.info.n_layers) for site in sites]
    ids = ids_of(lab)
    expected = source.logits(ids, changes)
    assert largest_gap(copy.logits(ids), expected) < 1e-4
    assert largest_gap(source.logits(ids), expected) > 0.1


def test_behind_a_norm_the_direction_is_gone_and_the_difference_is_reported(tmp_path: Path) -> None:
    lab = tiny_lab("gemma2")
    report = exported(lab, tmp_path / "copy")
    ids, copy = ids_of(lab), Plain(tmp_path / "copy")
    for layer in range(3):
        stream = copy.read(ids, layer, "resid_post")
        assert float((stream @ UNIT).abs().max() / stream.norm(dim=-1).min()) < 1e-5
    expected = hooked(tiny_folder("gemma2"), ids)
    gap = float(((copy.logits(ids) - expected).abs().amax(-1) / expected.std(-1)).max())
    assert gap > 0.01
    assert report.scalars["difference_sd"] > 0.01
    assert report.scalars["left"] < 1e-5
    assert "not equal to the edited model, as a norm stands behind its attention and MLPs" in report.headline
    assert "standard deviations" in (tmp_path / "copy" / "README.md").read_text()


def test_the_reported_difference_is_that_of_the_logits(tmp_path: Path) -> None:
    lab = tiny_lab("gemma2")
    report = exported(lab, tmp_path / "copy")
    copy, gaps, kls = Plain(tmp_path / "copy"), [], []
    for prompt in verify_prompts(lab):
        ids = torch.from_numpy(prompt.ids)[None]
        expected, logits = hooked(tiny_folder("gemma2"), ids)[0].double(), copy.logits(ids)[0].double()
        gaps.append(float(((logits - expected).abs().amax(-1) / expected.std(-1)).max()))
        p, q = expected.log_softmax(-1), logits.log_softmax(-1)
        kls.append((p.exp() * (p - q)).sum(-1))
    assert report.scalars["difference_sd"] == pytest.approx(max(gaps), rel=1e-3)
    assert report.scalars["kl"] == pytest.approx(float(torch.cat(kls).max()), rel=1e-3)
    assert report.scalars["mean_kl"] == pytest.approx(float(torch.cat(kls).mean()), rel=1e-3)


def test_tensors_are_those_of_the_formula_and_all_others_are_as_they_were(tmp_path: Path) -> None:
    exported(tiny_lab("llama"), tmp_path / "copy")
    before, after = (load_file(f / "model.safetensors") for f in (tiny_folder("llama"), tmp_path / "copy"))
    r = (VECTOR / np.linalg.norm(VECTOR)).astype(np.float64)
    for name, tensor in after.items():
        if name == "lm_head.weight":
            np.testing.assert_array_equal(tensor, before["model.embed_tokens.weight"])
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            expected = before[name] - np.outer(r, r @ before[name])  # [out, in]
            np.testing.assert_allclose(tensor, expected, atol=1e-6)
        elif name == "model.embed_tokens.weight":
            expected = before[name] - np.outer(before[name] @ r, r)  # [token, d_model]
            np.testing.assert_allclose(tensor, expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(tensor, before[name])
    assert set(after) == {*before, "lm_head.weight"}


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_neurons_and_heads_are_rows_of_weights(arch: str, tmp_path: Path) -> None:
    lab = tiny_lab(arch)
    report = exported(lab, tmp_path / "copy", "L1.N2-9=0; L2.H1=0; L0.N5*=3; L1.H2*=.5", "")

    def neurons(a: torch.Tensor, at: slice, factor: float) -> torch.Tensor:
        a = a.clone()
        a[..., at] *= factor
        return a

    def head(z: torch.Tensor, index: int, factor: float) -> torch.Tensor:
        return neurons(z, slice(8 * index, 8 * (index + 1)), factor)

    changes = [
        (1, "mlp_post", lambda a: neurons(a, slice(2, 10), 0)),
        (2, "z", lambda z: head(z, 1, 0)),
        (0, "mlp_post", lambda a: neurons(a, slice(5, 6), 3)),
        (1, "z", lambda z: head(z, 2, 0.5)),
    ]
    ids = ids_of(lab)
    source, copy = Plain(tiny_folder(arch)), Plain(tmp_path / "copy")
    expected = source.logits(ids, changes)
    assert largest_gap(copy.logits(ids), expected) < 1e-4
    assert largest_gap(source.logits(ids), expected) > 0.01
    assert copy.model.config.tie_word_embeddings == source.model.config.tie_word_embeddings
    assert report.scalars["difference_sd"] < 1e-4


def test_two_orthogonal_directions_and_edits_are_written_together(tmp_path: Path) -> None:
    lab = tiny_lab("llama")
    across = OTHER - VECTOR * (OTHER @ VECTOR) / (VECTOR @ VECTOR)
    other = Direction(name="other", vector=across.astype("<f4").tobytes())
    report = exported(lab, tmp_path / "copy", "@other=0; L1.N2=0", "@mine", other)
    assert report.scalars["difference_sd"] < 1e-4
    assert "@other=0; L1.N2=0; @mine=0 as weights" in report.headline
    skew = Direction(name="other", vector=OTHER.astype("<f4").tobytes())
    with pytest.raises(UserError, match=r"@other and @mine have cosine .*orthogonal"):
        exported(lab, tmp_path / "no", "@other=0", "@mine", skew)
    assert not (tmp_path / "no").exists()


def test_plain_transformers_loads_it_in_a_process_of_its_own(tmp_path: Path) -> None:
    lab = tiny_lab("qwen2")
    exported(lab, tmp_path / "copy")
    program = """
import sys, numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
assert "User" not in tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
with torch.no_grad():
    np.save(out, model(**tokenizer(text, return_tensors="pt")).logits.float().numpy())
assert not [name for name in sys.modules if name.startswith(("workbench", "transformer_lens"))]
"""
    out = tmp_path / "logits.npy"
    command = [sys.executable, "-c", program, str(tmp_path / "copy"), PROMPT, str(out)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert largest_gap(torch.from_numpy(np.load(out)), hooked(tiny_folder("qwen2"), ids_of(lab))) < 1e-4


def test_the_workbench_opens_it_and_the_direction_has_no_effect_there(tmp_path: Path) -> None:
    exported(tiny_lab("llama"), tmp_path / "copy")
    copy = load_lab(source_of(tmp_path / "copy"), device="cpu", dtype="float32")
    prompt = copy.prompt(PROMPT)
    job = copy.job(parse_edits(["@mine=0"]), directions={"mine": MINE})
    assert float(job.forward(prompt, job.edits).kl_from(job.forward(prompt))[0].max()) < 1e-9
    assert (tmp_path / "copy" / "chat_template.jinja").read_text() == (
        tiny_folder("llama") / "chat_template.jinja"
    ).read_text()


def test_the_card_says_what_was_done_and_how_it_compares(tmp_path: Path) -> None:
    report = exported(tiny_lab("llama"), tmp_path / "copy", "L1.N2=0")
    card = (tmp_path / "copy" / "README.md").read_text()
    for words in (
        "A copy of **llama** (LlamaForCausalLM",
        tiny_lab("llama").model.identity.read().result(),
        "- edit `@mine=0`",
        "- edit `L1.N2=0`",
        "`@mine`: mean difference of 128 + 128 prompts, at L1.resid_pre, made on tiny, step 3 of demo.db, hash ",
        "MLP outputs: 3 tensors",
        "The unembedding was one tensor with the token embedding",
        "Warning",
        "largest difference of a logit: ",
        "workbench run export-model --direction @mine --folder",
    ):
        assert words in card
    assert report.views["card"].text == card
    files = {row["file"]: row["sha256"] for row in report.views["files"].records()}
    for name in ("model.safetensors", "README.md"):
        assert files[name] == hashlib.sha256((tmp_path / "copy" / name).read_bytes()).hexdigest()
    assert set(files) == set(os.listdir(tmp_path / "copy"))
    assert "lock" not in files
    (use,) = [use for use in report.artifacts if use.role == "made"]
    assert (use.content.kind, use.name, use.content.spec["folder"]) == ("model", "copy", str(tmp_path / "copy"))
    assert json.loads((tmp_path / "copy" / "artifact.json").read_text())["hash"] == use.content.spec["hash"]


def test_a_direction_of_another_model_needs_transfer_and_the_card_says_so(tmp_path: Path) -> None:
    origin = Origin(model="base", fingerprint="f" * 64)
    foreign = Direction(name="mine", vector=MINE.vector, origin=origin)
    with pytest.raises(UserError, match="--transfer"):
        exported(tiny_lab("llama"), tmp_path / "copy", "", "@mine", foreign)
    report = exported(
        tiny_lab("llama"), tmp_path / "copy", "", "@mine", msgspec.structs.replace(foreign, transfer=True)
    )
    card = (tmp_path / "copy" / "README.md").read_text()
    assert "made on base" in card
    assert "--transfer" in card
    assert any("was made on base and is used on llama" in note for note in report.notes)


def test_large_models_are_written_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SHARD", 50_000)
    lab = tiny_lab("llama")
    exported(lab, tmp_path / "copy")
    index = json.loads((tmp_path / "copy" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    for name, file in index["weight_map"].items():
        assert name in load_file(tmp_path / "copy" / file)
    ids = ids_of(lab)
    assert largest_gap(Plain(tmp_path / "copy").logits(ids), hooked(tiny_folder("llama"), ids)) < 1e-4


def test_it_is_written_in_the_type_in_which_the_model_is_open(tmp_path: Path) -> None:
    lab = load_lab(source_of(tiny_folder("llama")), device="cpu", dtype="bfloat16")
    report = exported(lab, tmp_path / "copy")
    copy = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "copy", dtype="auto")
    assert {parameter.dtype for parameter in copy.parameters()} == {torch.bfloat16}
    assert "equal to the edited model" in report.headline
    assert report.scalars["kl"] < 0.1 * report.scalars["effect_kl"]


@pytest.mark.parametrize(
    ("edits", "direction", "sentence"),
    [
        ("", "", "nothing to export: give --direction"),
        ("L1.resid_post+=2*@mine", "@mine", r"L1.resid_post\+=2\*@mine can't be written as weights: what can is"),
        ("L1.N2=1; L1.N3=0; L0.H1[last]=0", "", r"^L1.N2=1; L0.H1\[last\]=0 can't be written"),
        ("L1.N2=mean", "", "L1.N2=mean can't be written"),
        ("L1.resid_pre@mine=0", "", "L1.resid_pre@mine=0 can't be written"),
    ],
)
def test_what_weights_cannot_say_is_refused_by_name(edits: str, direction: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        exported(tiny_lab("llama"), tmp_path / "copy", edits, direction)
    assert os.listdir(tmp_path) == []


def test_a_model_with_another_writer_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    make("bloom", tmp_path / "source")  # a norm with a bias stands behind its embedding
    lab = load_lab(source_of(tmp_path / "source"), device="cpu", dtype="float32")
    with pytest.raises(UserError, match="still writes .* along @mine: BloomForCausalLM has a part"):
        exported(lab, tmp_path / "copy")
    assert os.listdir(tmp_path) == ["source"]


def test_a_folder_that_exists_or_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    for folder, sentence in ((tmp_path / "copy", "is there already"), (tmp_path / ".copy", "begins with a dot")):
        with pytest.raises(UserError, match=sentence):
            exported(tiny_lab("llama"), folder)
    with pytest.raises(UserError, match="--folder takes the path"):
        execute(tiny_lab("llama"), "export-model", {"direction": "@mine"}, [], 0, new_report(), {"mine": MINE})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        exported(tiny_lab("llama"), tmp_path / "file" / "copy")


def test_a_full_disk_is_said_before_and_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = namedtuple("disk", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: disk(1, 1, 1000))
        with pytest.raises(UserError, match="the copy takes .* left: make room"):
            exported(tiny_lab("llama"), tmp_path / "copy")
    import safetensors.torch

    def full(*given: Any, **named: Any) -> None:
        Path(given[1]).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_in_rust(*given: Any, **named: Any) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    for failing in (full, full_in_rust):
        monkeypatch.setattr(safetensors.torch, "save_file", failing)
        with pytest.raises(UserError, match="No space left on device"):
            exported(tiny_lab("llama"), tmp_path / "copy")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("batches", [1, 8, 40])
def test_a_cancel_leaves_nothing(batches: int, tmp_path: Path) -> None:
    turns = 0

    def between() -> None:
        nonlocal turns
        turns += 1
        if turns > batches:
            raise Cancelled

    report = new_report(between)
    values = {"direction": "@mine", "folder": str(tmp_path / "copy")}
    with pytest.raises(Cancelled):
        execute(tiny_lab("llama"), "export-model", values, [], 0, report, {"mine": MINE})
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".copy.building"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    exported(tiny_lab("llama"), tmp_path / "copy")
    assert os.listdir(tmp_path) == ["copy"]
    load_lab(source_of(tmp_path / "copy"), device="cpu", dtype="float32")


def test_the_folder_is_meant_from_where_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_params(Params, {"folder": "copies/one"}).folder == str(tmp_path / "copies" / "one")
    assert read_params(Params, {"folder": "~/one"}).folder == os.path.expanduser("~/one")
    assert read_params(Params, {"folder": ""}).folder == ""
