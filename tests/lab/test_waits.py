"""How often the host waits for a GPU: twice a layer of an index's block, once a generated token."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lab.labs import PROMPT, plain, tiny_lab
from tests.lab.test_indexing import open_model, ragged, small
from tests.lab.test_indexing_together import as_on_a_gpu  # noqa: F401  a fixture
from tests.lab.waits import Waits
from workbench.edits import parse_edits
from workbench.lab.continuation import Continuation, Row
from workbench.lab.generate import Choice, continue_all, generate, run_generation
from workbench.lab.indexing.build import IndexBuild

PER_BLOCK = 9
"""what is sent and fetched once a block, whatever its layers: its tokens, windows, features' counts, sums of rows"""


def test_the_counter_counts():
    values = torch.arange(4.0)
    with Waits() as waits:
        values.tolist()
    assert waits.total == 0  # not ours
    lab = tiny_lab("llama")
    with Waits() as waits:
        lab.forward(lab.prompt("The moon and the fox gave Rome to Mary"))  # other tests' prompts may be remembered
    assert 1 <= waits.total <= 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize(("arch", "lists"), [("llama", 2), ("gpt2", 1)])
@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_block_waits_twice_a_layer(arch, lists, folder):
    """Once for each kind of list, for how many entries are new."""
    model = open_model(folder, arch)
    with IndexBuild(model, ragged(9, n=40), small(model, block_tokens=256), 1 << 60) as build:
        for block in build.blocks():
            with Waits() as waits:
                build.add(block)
            assert waits.lines.pop(next(line for line in waits.lines if "toplists" in line)) == lists * 3
            assert waits.total <= PER_BLOCK, waits.lines


@pytest.mark.parametrize("temperature", [0, 1.0])
@pytest.mark.parametrize("edit", ["", "L1.N5=3", "L1.N2*=2;L1.H1=0"])
def test_a_generated_token_waits_once(temperature, edit):
    lab = tiny_lab("llama")
    plan = lab.plan(parse_edits(edit.split(";") if edit else [], lab.info))
    rows = [Row(lab.prompt(text), plan, number) for number, text in enumerate((PROMPT, "When Mary and John went"))]
    steps = run_generation(lab.model, rows, Choice(temperature, 5 if temperature else 0, 1), 8)
    next(steps)  # the prompts are sent
    for _ in range(3):
        with Waits() as waits:
            assert all(next(steps))
        assert waits.total == 1, waits.lines


@pytest.mark.parametrize("top_k", [0, 7])
def test_tokens_are_those_that_torch_draws(top_k):
    """Beside torch.multinomial on the bare model's logits, with the same seed."""
    lab = tiny_lab("llama").job(seed=5)
    prompt = lab.prompt(PROMPT)
    ids, random = prompt.ids.tolist(), torch.Generator().manual_seed(5)
    for token in islice(generate(lab, prompt, temperature=0.8, top_k=top_k), 6):
        logits = plain("llama").logits(torch.tensor([ids]))[0, -1].log_softmax(-1) / 0.8
        if top_k:
            logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
        expected = int(torch.multinomial(logits.softmax(-1), 1, generator=random))
        assert token.id == expected
        ids.append(expected)


def test_rows_that_end_leave_the_others_their_numbers():
    """Padding and positions of the rows that stay, once one has gone."""
    lab = tiny_lab("llama")
    texts = (PROMPT, "When Mary and John went to the store", "May June")
    plan = lab.plan([])
    together = [Continuation() for _ in texts]
    for _ in continue_all(lab, [Row(lab.prompt(text), plan) for text in texts], together, 24):
        pass
    for text, grown in zip(texts, together, strict=True):
        alone = Continuation()
        for _ in continue_all(lab, [Row(lab.prompt(text), plan)], [alone], 24):
            pass
        assert alone.ids == grown.ids
        np.testing.assert_allclose(alone.surprise, grown.surprise, rtol=1e-4, atol=1e-4)
