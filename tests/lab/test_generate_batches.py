"""Many rows at once, padded on the left: each says what it says alone."""

from functools import wraps
from itertools import islice

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, new_report, tiny_lab
from workbench.edits import Function, parse_edits
from workbench.errors import UserError
from workbench.lab import generate as generate_module
from workbench.lab.continuation import Continuation, Row
from workbench.lab.editing import PythonEdit
from workbench.lab.generate import continue_all, generate

SHORT = "The river is"
LONG = "When Mary and John went to the store, John gave a drink to Mary and the"
BEYOND = "the sun is red; in the evening the moon is white. " * 7
"""longer than Gemma's sliding window here"""
TOKENS = 10
EDITS = [
    "",
    "L1.N3=2; L0.H1*=2; L2.N4-9*=-1",
    "L1.N3-20[last]=9",
    "L1.N3-20[prompt]=-3; L0.H*[generated]=0",
    "L1.resid_pre[2-]*=1.5; L2.N5=mean; L1.H2=resample",
    f'L1.resid_pre[1-2]<"{LONG}"; L0.mlp_out[last]<"{PROMPT}"',
]


def alone(lab, prompt, edits, tokens=TOKENS, **how):
    said = Continuation()
    for one in islice(generate(lab, prompt, edits, **how), tokens):
        said.add(one)
    return said


def together(lab, pairs, tokens=TOKENS, size=0, **how):
    """Of (prompt, edits) pairs; and how many tokens came each time."""
    plans = {}
    rows = [
        Row(prompt, plans.setdefault(str(edits), lab.plan(edits)), number)
        for number, (prompt, edits) in enumerate(pairs)
    ]
    into = [Continuation() for _ in rows]
    counts = list(continue_all(lab, rows, into, tokens, size=size, **how))
    return into, counts


def assert_same(found, wanted):
    assert found.ids == wanted.ids
    assert found.text == wanted.text
    assert found.end == wanted.end
    np.testing.assert_allclose(found.surprise, wanted.surprise, atol=2e-4)


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("text", EDITS)
def test_a_padded_batch_equals_its_rows_alone(arch, text):
    lab = tiny_lab(arch)
    edits = parse_edits([text], lab.info)
    prompts = [lab.prompt(one) for one in (SHORT, PROMPT, LONG, BEYOND)]
    pairs = [(prompt, own) for prompt in prompts for own in ((), edits)]  # clean and edited share the batch
    found, counts = together(lab, pairs)
    assert sum(counts) == sum(len(one.ids) for one in found)
    for (prompt, own), said in zip(pairs, found, strict=True):
        assert_same(said, alone(lab, prompt, own))
    if text:
        pairs = zip(found[::2], found[1::2], strict=True)
        assert any(not np.allclose(clean.surprise[0:3], edited.surprise[0:3], atol=1e-3) for clean, edited in pairs)


def test_a_patch_of_another_length_is_said_in_a_batch_too():
    lab = tiny_lab("llama")
    edits = parse_edits([f'L1.N7<"{PROMPT}"'], lab.info)
    with pytest.raises(UserError, match="equal length"):
        together(lab, [(lab.prompt(PROMPT), edits), (lab.prompt(LONG), edits)])


@pytest.mark.parametrize("arch", EVERY)
def test_rows_that_end_leave_and_the_others_go_on_as_before(arch):
    lab = tiny_lab(arch)
    full = lab.prompt("the " * ((lab.info.n_ctx - 8) // 2))
    prompts = [lab.prompt(SHORT), full, lab.prompt(LONG)]
    room = lab.info.n_ctx - len(full)
    tokens = room + 5
    found, counts = together(lab, [(prompt, ()) for prompt in prompts], tokens)
    for prompt, said in zip(prompts, found, strict=True):
        assert_same(said, alone(lab, prompt, (), tokens))
    assert found[1].end
    assert len(found[1].ids) <= room
    assert counts[-1] < counts[0] == 3


def test_the_end_of_the_text_ends_a_row_only():
    lab = tiny_lab("llama")
    end = next(iter(lab.model.stop_ids))
    unembed = lab.model.bridge.W_U[:, end]
    stop = [PythonEdit(Function("L2.resid_post", ""), lambda stream, context: unembed.expand_as(stream) * 50)]
    found, _ = together(lab, [(lab.prompt(SHORT), stop), (lab.prompt(PROMPT), ()), (lab.prompt(LONG), stop)])
    assert [one.end for one in found] == ["the model ended", "", "the model ended"]
    assert [len(one.ids) for one in found] == [1, TOKENS, 1]
    assert_same(found[1], alone(lab, lab.prompt(PROMPT), ()))


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_a_python_function_sees_no_padding(arch):
    lab = tiny_lab(arch)
    seen = []

    def by_position(activation, context):
        """What it does depends on the position, so padding would show."""
        seen.append((context.start, activation.shape[1]))
        positions = torch.arange(context.start, context.start + activation.shape[1])
        return activation * (1 + 0.3 * torch.sin(positions.float()))[None, :, None]

    edits = [PythonEdit(Function("L1.resid_pre", ""), by_position)]
    prompts = [lab.prompt(one) for one in (SHORT, LONG)]
    found, _ = together(lab, [(prompt, edits) for prompt in prompts])
    assert set(seen[:2]) == {(0, len(prompt)) for prompt in prompts}
    for prompt, said in zip(prompts, found, strict=True):
        assert_same(said, alone(lab, prompt, edits))


def test_a_python_function_on_patterns_sees_neither_padded_queries_nor_keys():
    lab = tiny_lab("llama")

    def first_key(pattern, context):
        """Everyone attends to the first token only: with padding that would be none."""
        assert pattern.shape[-1] == context.start + pattern.shape[-2]
        made = pattern.clone() * 0
        made[..., 0] = 1
        return made

    edits = [PythonEdit(Function("L1.pattern", ""), first_key)]
    prompts = [lab.prompt(one) for one in (SHORT, LONG)]
    found, _ = together(lab, [(prompt, edits) for prompt in prompts])
    for prompt, said in zip(prompts, found, strict=True):
        assert_same(said, alone(lab, prompt, edits))


def test_what_is_drawn_does_not_depend_on_the_batch():
    lab = tiny_lab("llama").job(seed=3)
    pairs = [(lab.prompt(one), ()) for one in (SHORT, PROMPT, LONG, PROMPT)]
    how = {"temperature": 1.0, "top_k": 50}
    whole, _ = together(lab, pairs, **how)
    for size in (1, 2, 3):
        again, _ = together(lab, pairs, size=size, **how)
        assert [one.ids for one in again] == [one.ids for one in whole]
    assert whole[0].ids == alone(lab, lab.prompt(SHORT), (), **how).ids  # row 0 draws by the seed itself
    assert whole[1].ids != whole[3].ids  # the same prompt twice is two draws
    assert together(lab.job(seed=4), pairs, **how)[0][0].ids != whole[0].ids


def test_clean_and_edited_draw_alike():
    lab = tiny_lab("llama").job(seed=3)
    plans = [lab.plan(()), lab.plan(parse_edits(["L1.N3*=1"], lab.info))]
    into = [Continuation() for _ in plans]
    list(continue_all(lab, [Row(lab.prompt(PROMPT), plan, 5) for plan in plans], into, TOKENS, temperature=1.0))
    assert into[0].ids == into[1].ids


def test_rows_that_are_compared_stay_in_one_batch(monkeypatch):
    lab = tiny_lab("llama")
    sizes = []
    run = generate_module.run_generation

    def seen(model, rows, choice, tokens):
        sizes.append(len(rows))
        return run(model, rows, choice, tokens)

    monkeypatch.setattr(generate_module, "run_generation", seen)
    pairs = [(lab.prompt(one), edits) for one in (SHORT, PROMPT, LONG) for edits in ((), (), ())]
    for size, batches in ((4, [3, 3, 3]), (2, [3, 3, 3]), (7, [6, 3])):
        sizes.clear()
        together(lab, pairs, size=size, group=3)
        assert sizes == batches


def test_out_of_memory_halves_the_batch_and_nothing_is_said_twice(monkeypatch):
    report = new_report()
    lab = tiny_lab("llama").job(report=report)
    prompts = [lab.prompt(one) for one in (SHORT, PROMPT, LONG, SHORT)]
    wanted = [alone(lab, prompt, ()) for prompt in prompts]
    whole = lab.model.hf.forward
    sizes = []

    @wraps(whole)
    def small_memory(input_ids, **rest):
        sizes.append(len(input_ids))
        if len(input_ids) > 2 and len(sizes) > 4:  # in the middle of the batch
            raise torch.OutOfMemoryError("out of memory")
        return whole(input_ids=input_ids, **rest)

    monkeypatch.setattr(lab.model.hf, "forward", small_memory)
    found, _ = together(lab, [(prompt, ()) for prompt in prompts])
    for said, one in zip(found, wanted, strict=True):
        assert_same(said, one)
    assert sizes[0] == 4 and max(sizes[5:]) == 2
    assert report.notes == ["memory ran out: went on with batches of 2"]
    assert report.progress.done == len(prompts) * TOKENS
    assert lab.hooks_installed() == 0
