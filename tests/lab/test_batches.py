"""Batches that halve when the memory ends."""

import pytest
import torch

from tests.lab.labs import PROMPT, new_report, tiny_lab
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.batches import batches, is_out_of_memory
from workbench.lab.editing import CLEAN
from workbench.params import make_params


def full():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_every_row_comes_once_and_in_order():
    report = new_report()
    seen = []
    for batch in report.track(batches(list(range(10)), 4, report), "rows", total=10):
        with batch:
            assert batch.start == len(seen)
            seen += batch.rows
    assert seen == list(range(10))
    assert report.progress.done == 10
    assert report.notes == []


def test_a_batch_that_does_not_fit_comes_again_in_halves_and_later_ones_are_smaller():
    report = new_report()
    seen, sizes = [], []
    for batch in report.track(batches(list(range(20)), 8, report), "rows", total=20):
        with batch:
            sizes.append(len(batch.rows))
            if len(batch.rows) > 2:
                full()
            seen += batch.rows
    assert seen == list(range(20))
    assert sizes == [8, 4, *[2] * 10]
    assert report.progress.done == 20
    assert report.notes == [f"memory ran out: went on with batches of {size}" for size in (4, 2)]


def test_one_row_that_does_not_fit_is_a_sentence():
    with pytest.raises(UserError, match="out of memory with a single prompt"):
        for batch in batches([1, 2], 2):
            with batch:
                full()


def test_other_errors_go_through():
    with pytest.raises(RuntimeError, match="shape"):
        for batch in batches([1], 1):
            with batch:
                raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: not enough memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_is_out_of_memory(error, is_memory):
    assert is_out_of_memory(error) is is_memory


def test_predict_goes_on_with_smaller_batches_and_finds_the_same(monkeypatch):
    lab = tiny_lab("llama")
    texts = [PROMPT, "The capital of Japan is", "The capital of Spain is", "The river is wide and the"]
    params = {"prompts": [{"prompt": text} for text in texts], "controls": 0}
    edits = parse_edits(["L1.N3=0"])
    whole = new_report()
    execute(lab, "predict", params, edits, 0, whole)
    from workbench.lab import model

    run, forward = model.run_forward, []

    def small(model, prompts, plans=(CLEAN,), **how):
        forward.append(len(prompts))
        if len(prompts) > 2:
            full()
        return run(model, prompts, plans, **how)

    monkeypatch.setattr(model, "run_forward", small)
    lab.model.clean.clear()
    halved = new_report()
    execute(lab, "predict", params, edits, 0, halved)
    assert max(forward) == 4
    assert halved.notes == ["memory ran out: went on with batches of 2"]
    assert len(halved.views["prompts"].rows) == 4
    assert halved.scalars["kl"] == pytest.approx(whole.scalars["kl"], abs=1e-6)
    assert lab.hooks_installed() == 0


def test_a_single_prompt_that_does_not_fit_is_a_sentence(monkeypatch):
    from workbench.lab import model

    monkeypatch.setattr(model, "run_forward", lambda *_, **__: full())
    with pytest.raises(UserError, match="out of memory on cpu: take a shorter prompt"):
        execute(tiny_lab("llama"), "predict", {"prompt": "a prompt of its own"}, [], 0, new_report())


def test_parameters_are_checked_before_anything_runs():
    from workbench.experiments import experiment

    with pytest.raises(UserError, match="top"):
        make_params(experiment("predict").params, {"prompt": "x", "top": 0})
