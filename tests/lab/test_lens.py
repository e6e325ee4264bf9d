"""The logit lens through the model's own tail."""

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab
from workbench.edits import parse_edits
from workbench.lab.lens import lens as lens_of


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("text", ["", "L1.N3=2; L0.H1=0"])
def test_the_last_row_is_the_models_logits(arch, text):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    edits = parse_edits([text])
    lens = lens_of(lab, prompt, edits)
    assert len(lens) == lab.info.n_layers + 1
    wanted = lab.forward(prompt, edits)
    assert torch.equal(lens.logits(len(lens) - 1), wanted.logits)
    row = lens.row(len(lens) - 1, 7)
    assert row.kl == 0
    assert row.answer_rank == wanted.rank(np.asarray([7]))[0]


@pytest.mark.parametrize("arch", EVERY)
def test_rows_equal_the_tail_of_the_plain_model(arch):
    """Each row against the Hugging Face model's own norm, head and softcap on its own hidden states."""
    lab, model = tiny_lab(arch), plain(arch).model
    prompt = lab.prompt(PROMPT)
    lens = lens_of(lab, prompt)
    ids = torch.from_numpy(prompt.ids)[None]
    streams = [plain(arch).read(ids, 0, "resid_pre")]
    streams += [plain(arch).read(ids, layer, "resid_post") for layer in range(lab.info.n_layers)]
    base = model.base_model
    norm = next(getattr(base, name) for name in ("norm", "ln_f", "final_layer_norm") if hasattr(base, name))
    final = plain(arch).logits(ids)[0, -1]
    for index, stream in enumerate(streams):
        with torch.no_grad():
            logits = model.get_output_embeddings()(norm(stream))
        cap = getattr(model.config, "final_logit_softcapping", None)
        logits = logits if cap is None else torch.tanh(logits / cap) * cap
        torch.testing.assert_close(lens.logits(index), logits, atol=1e-5, rtol=1e-5)
        row = lens.row(index, 7)
        logp, logq = torch.log_softmax(final.double(), -1), torch.log_softmax(logits[0, -1].double(), -1)
        assert row.name == ("embed" if index == 0 else f"L{index - 1}")
        np.testing.assert_array_equal(row.top_ids, logits[0].argmax(-1).numpy())
        np.testing.assert_allclose(row.top_probability, logits[0].softmax(-1).max(-1).values.numpy(), atol=1e-5)
        assert row.answer_probability == pytest.approx(float(logq[7].exp()), abs=1e-6)
        assert row.answer_rank == 1 + int((logits[0, -1] > logits[0, -1, 7]).sum())
        assert row.kl == pytest.approx(float((logp.exp() * (logp - logq)).sum()), abs=1e-4)


def test_the_last_positions_are_the_last_ones():
    lab = tiny_lab("gemma2")
    prompt = lab.prompt(PROMPT)
    whole, part = lens_of(lab, prompt), lens_of(lab, prompt, positions=2)
    assert part.first_position == len(prompt) - 2
    for index in range(len(whole)):
        torch.testing.assert_close(part.logits(index), whole.logits(index)[:, -2:], atol=1e-5, rtol=1e-5)
        assert len(part.row(index, 3).top_ids) == 2
