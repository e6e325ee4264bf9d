"""Activation stores: the numbers of plain hooks, whatever the pooling, the site and the batch; whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, source_of, tiny_folder, tiny_lab
from tests.lab.plain import Plain
from tests.lab.probing.made_examples import made_examples
from tests.tiny import tiny_model
from workbench import batch_memory
from workbench.artifacts import list_artifacts
from workbench.artifacts.activations import Store, stores_dir
from workbench.datasets.labelled.examples import Examples
from workbench.edits import Function, parse_edits
from workbench.errors import Cancelled, UserError
from workbench.lab.editing import PythonEdit
from workbench.lab.identify import identify
from workbench.lab.model import Lab, load_lab
from workbench.lab.probing import blocks as planning
from workbench.lab.probing import pooling, store
from workbench.lab.probing.blocks import blocks
from workbench.lab.probing.store import take
from workbench.report import Report

ALL = range(3)
POOLED = {
    "token": lambda values: values[0],
    "mean": lambda values: values.astype(np.float64).mean(0),
    "max": lambda values: values.max(0),
    "extreme": lambda values: values[np.abs(values).argmax(0), np.arange(values.shape[1])],
}


def expected(model: Plain, examples: Examples, layer: int, site: str) -> np.ndarray:
    """One window at a time, without padding."""
    windows = {
        number: model.read(torch.tensor([examples.windows[number]]), layer, site)[0].flatten(1).numpy()
        for number in set(examples.window.tolist())
    }
    rows = zip(examples.window.tolist(), examples.first.clip(1), examples.last, strict=True)
    return np.stack([POOLED[examples.pooling](windows[window][first : last + 1]) for window, first, last in rows])


def taken(lab: Lab, examples: Examples, site: str = "mlp_post", report: Report | None = None, **more: str) -> Store:
    return take(lab, examples, site, ALL, report or new_report(), **more)


def small_batches(monkeypatch: pytest.MonkeyPatch, tokens: int = 60) -> None:
    monkeypatch.setitem(batch_memory.TOKENS, "index", (tokens, tokens))


@pytest.mark.parametrize("pooled", POOLED)
@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_every_pooling_gives_what_plain_hooks_see(arch: str, pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    monkeypatch.setattr(pooling, "TOGETHER", 64)
    lab = tiny_lab(arch)
    examples = made_examples(lab, pooled)
    with taken(lab, examples) as kept:
        for layer in ALL:
            values = kept.layer(layer)
            assert (values.dtype, values.shape) == (np.float32, (40, 64))
            assert not values.flags.writeable
            np.testing.assert_allclose(values, expected(plain(arch), examples, layer, "mlp_post"), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("site", ["z", "resid_pre", "resid_post", "attn_out", "mlp_out"])
@pytest.mark.parametrize("arch", ["llama", "gpt2", "gpt_neox"])
def test_every_site_gives_what_plain_hooks_see(arch: str, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    lab = tiny_lab(arch)
    examples = made_examples(lab, "extreme")
    with take(lab, examples, site, (2, 0), new_report()) as kept:
        for layer in (0, 2):
            np.testing.assert_allclose(
                kept.layer(layer), expected(plain(arch), examples, layer, site), rtol=1e-4, atol=2e-5
            )
        with pytest.raises(UserError, match=r"layer 1 is not in .*: it has 0, 2"):
            kept.layer(1)


def test_position_0_and_padding_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab, "mean")
    whole = msgspec.structs.replace(examples, first=np.zeros_like(examples.first), content_hash="from 0")
    from_1 = msgspec.structs.replace(examples, first=np.ones_like(examples.first), content_hash="from 1")
    with taken(lab, whole) as first, taken(lab, from_1) as second:
        assert np.array_equal(first.layer(1), second.layer(1))
    alone = msgspec.structs.replace(examples, first=examples.first * 0, last=examples.last * 0, content_hash="0")
    with pytest.raises(UserError, match="example 1 of the data set reads the first token of its text alone"):
        taken(lab, alone)
    # What stands in the columns behind a short text can't be seen: the longest window changes nothing.
    shorter = msgspec.structs.replace(examples, windows=tuple(w[:30] for w in examples.windows), content_hash="short")
    short = int(np.argmin([len(examples.windows[w]) for w in examples.window]))
    only = {name: getattr(shorter, name)[[short]] for name in ("window", "first", "last", "label", "document", "split")}
    with taken(lab, examples) as together, taken(lab, msgspec.structs.replace(shorter, **only)) as single:
        np.testing.assert_allclose(together.layer(2)[short], single.layer(2)[0], rtol=1e-4, atol=1e-5)


def test_blocks_are_of_like_length_and_read_every_example_once() -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab, n=60)
    planned = list(blocks(examples, 64, 9, lab.model.rotations))
    assert sorted(np.concatenate([block.examples for block in planned])) == list(range(60))
    for block in planned:
        assert np.array_equal(block.windows[block.rows], examples.window[block.examples])
        lengths = [len(examples.windows[window]) for window in block.windows]
        assert len(block.windows) == 1 or (len(lengths) * max(lengths) <= 64 and len(block.examples) <= 9)
    heads = [len(examples.windows[block.windows[0]]) for block in planned]
    assert heads == sorted(heads, reverse=True)
    assert set(np.concatenate([block.windows for block in planned])) == set(examples.window)


def test_windows_that_are_rotated_differently_share_no_pass() -> None:
    class Rotations:
        def alike(self, lengths):
            return [[at for at, n in enumerate(lengths) if (n > 16) == long] for long in (True, False)]

    lab = tiny_lab("llama")
    examples = made_examples(lab)
    for block in planning.blocks(examples, 4096, 4096, Rotations()):
        assert len({len(examples.windows[window]) > 16 for window in block.windows}) == 1


def test_a_second_run_reads_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    report = new_report()
    with taken(lab, examples, report=report, data_set="months of the year") as first:
        assert report.notes[0].startswith(
            "activations: 30 KiB on disk, mlp_post of 3 layers at 40 examples, 64 numbers"
        )
        assert [(use.role, use.name) for use in report.artifacts] == [("made", first.head.name)]
    monkeypatch.setattr(store, "run_pass", None)
    again = new_report()
    with taken(lab, examples, report=again, data_set="renamed") as second:
        assert second.folder == first.folder
        assert np.array_equal(second.layer(0), first.layer(0))
    assert [use.role for use in again.artifacts] == ["used"]
    assert "taken before" in again.notes[0]


def test_another_set_model_type_or_edit_is_another_store() -> None:
    lab = tiny_lab("llama")
    half = load_lab(source_of(tiny_folder("llama")), "cpu", "bfloat16")
    examples = made_examples(lab)
    changed = made_examples(lab, content_hash="changed")
    resampled = parse_edits(["L1.N2=resample"])
    labs = [lab, half, lab.job(parse_edits(["L0.N3=0"])), lab.job(resampled, 1), lab.job(resampled, 2)]
    names = {taken(each, examples).head.name for each in labs} | {taken(lab, changed).head.name}
    assert len(names) == 6


def test_a_store_of_more_layers_serves_and_one_of_fewer_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    with take(lab, examples, "mlp_post", [1], new_report()) as one:
        alone = one.layer(1).copy()
    with taken(lab, examples) as every:
        assert every.head.layers == (0, 1, 2), "one layer does not serve for three"
    with take(lab, examples, "mlp_post", [1], new_report()) as again:
        assert again.head.name == one.head.name, "the store of just these layers comes first"
    built = []
    monkeypatch.setattr(store, "_build", lambda *args: built.append(args))
    report = new_report()
    with take(lab, examples, "mlp_post", [0, 2], report) as some:
        assert some.head.name == every.head.name
        assert np.array_equal(some.layer(2), every.layer(2))
        np.testing.assert_allclose(every.layer(1), alone, rtol=1e-5, atol=1e-6)
    assert not built
    assert [use.role for use in report.artifacts] == ["used"]
    assert any("taken before, which has 3 layers" in note for note in report.notes)
    (stores_dir() / every.head.name / "store.json").write_text("{")
    with pytest.raises(UserError):
        take(lab, examples, "mlp_post", [0, 2], new_report())
    assert built, "one that can't be read does not serve"


def test_edits_are_in_the_numbers_and_a_python_edit_is_refused() -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    with taken(lab, examples) as clean, taken(lab.job(parse_edits(["L1.N5=7"])), examples) as edited:
        assert np.array_equal(clean.layer(0), edited.layer(0))
        assert (edited.layer(1)[:, 5] == 7).all()
        assert np.array_equal(clean.layer(1)[:, 6], edited.layer(1)[:, 6])
        assert not np.allclose(clean.layer(2), edited.layer(2))
    python = PythonEdit(Function("L0.N1", "double"), lambda activation, context: 2 * activation)
    with pytest.raises(UserError, match="Python function"):
        taken(lab.job([python]), examples)


def test_bfloat16_is_stored_as_it_is() -> None:
    lab = load_lab(source_of(tiny_folder("llama")), "cpu", "bfloat16")
    with taken(lab, made_examples(lab)) as kept:
        values = torch.from_numpy(np.array(kept.layer(1)))
    assert torch.equal(values.bfloat16().float(), values)


def test_running_out_of_memory_halves_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    examples = made_examples(lab, "max")
    run_pass = store.run_pass

    def small(model, ids, *args, **more):
        if len(ids) > 5:
            raise torch.OutOfMemoryError("out of memory")
        return run_pass(model, ids, *args, **more)

    monkeypatch.setattr(store, "run_pass", small)
    report = new_report()
    with taken(lab, examples, report=report) as kept:
        np.testing.assert_allclose(
            kept.layer(2), expected(plain("llama"), examples, 2, "mlp_post"), rtol=1e-4, atol=2e-5
        )
    assert any("memory ran out" in note for note in report.notes)


def test_a_thread_beside_a_gpu_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    lab = tiny_lab("llama")
    aside = store.Aside
    with taken(lab, made_examples(lab)) as here:
        monkeypatch.setattr(store, "Aside", lambda threaded: aside(True))
        with taken(lab, made_examples(lab, content_hash="threaded")) as threaded:
            assert np.array_equal(here.layer(2), threaded.layer(2))


# --- bad input ----------------------------------------------------------------------------------------------


def test_bad_input_is_a_sentence() -> None:
    lab, report = tiny_lab("llama"), new_report()
    examples = made_examples(lab)
    for site, layers, says in (
        ("pattern", ALL, "'pattern' is no site with a vector for each token: there are mlp_post"),
        ("mlp_post", [0, 7], "layers are 0 to 2 in llama, not 7"),
        ("mlp_post", [], "layers are 0 to 2 in llama, not none"),
    ):
        with pytest.raises(UserError, match=says):
            take(lab, examples, site, layers, report)
    with pytest.raises(UserError, match="parallel"):
        take(tiny_lab("gpt_neox"), examples, "resid_mid", ALL, report)
    long = msgspec.structs.replace(examples, windows=(*examples.windows, (5,) * 300))
    with pytest.raises(UserError, match="text 25 of the data set has 300 tokens, and llama reads 256"):
        taken(lab, long)
    unknown = msgspec.structs.replace(examples, windows=((5, 99999), *examples.windows))
    with pytest.raises(UserError, match="number 99999"):
        taken(lab, unknown)
    assert list_artifacts() == []


def test_activations_that_are_no_numbers_are_a_sentence(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_model("llama", tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    row = tiny_lab("llama").prompt(" Paris").ids[0]
    weights["model.embed_tokens.weight"][row] = torch.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    lab = load_lab(source_of(folder), "cpu", "float32")
    examples = made_examples(lab, n=100)
    with pytest.raises(UserError, match=r"L0\.resid_pre|embed"):
        taken(lab, examples)
    assert list_artifacts() == []


# --- whole or not at all ------------------------------------------------------------------------------------

CHILD = """
import sys
from tests.lab.labs import new_report, source_of
from tests.lab.probing.made_examples import made_examples
from pathlib import Path
from workbench import batch_memory
from workbench.lab.model import load_lab
from workbench.lab.probing import maps, store
maps.PAUSE = -1.0
batch_memory.TOKENS["index"] = (60, 60)
lab = load_lab(source_of(Path(sys.argv[1])), "cpu", "float32")
write = store._write
def halting(open_maps, parts):
    if open_maps.progress.blocks == int(sys.argv[2]):
        for examples, values in parts:
            open_maps.write(examples[:1], [layer[:1] + 5 for layer in values])  # torn: half of a block, and wrong
        print("here", flush=True)
        sys.stdin.readline()
    write(open_maps, parts)
store._write = halting
store.take(lab, made_examples(lab, "mean"), "mlp_post", range(3), new_report())
"""


@pytest.mark.slow
def test_kill_9_resumes_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    folder = tiny_folder("llama")
    lab = load_lab(source_of(folder), "cpu", "float32")
    examples = made_examples(lab, "mean")
    n = len(list(blocks(examples, 60, 1 << 20, lab.model.rotations)))
    assert n > 6
    for stop in (2, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), str(stop)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        )
        assert child.stdout
        assert child.stdin
        assert child.stdout.readline().strip() == "here"
        with pytest.raises(UserError, match="is being built now"):
            taken(lab, examples)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stdin.close()
        assert list_artifacts() == []
    report = new_report()
    # With more memory other batches would be planned: those of the first run count.
    small_batches(monkeypatch, 200)
    resumed = taken(lab, examples, report=report)
    assert f"activations: goes on after 4 of {n} passes that were done" in report.notes
    small_batches(monkeypatch)
    whole = taken(lab, msgspec.structs.replace(examples, content_hash="in one go"))
    for layer in ALL:
        assert resumed.layer(layer).tobytes() == whole.layer(layer).tobytes()
    assert sorted(path.name for path in resumed.folder.iterdir()) == sorted(
        ["artifact.json", "layer-0.npy", "layer-1.npy", "layer-2.npy", "lock", "store.json"]
    )


def test_a_cancel_keeps_finished_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    lab = tiny_lab("llama")
    examples = made_examples(lab)
    turns = []

    def cancel() -> None:
        turns.append(1)
        if len(turns) == 4:
            raise Cancelled

    identify(lab, new_report())  # which has turns of its own
    with pytest.raises(Cancelled):
        taken(lab, examples, report=new_report(cancel))
    report = new_report()
    taken(lab, examples, report=report)
    assert any("goes on after 3 of" in note for note in report.notes)
