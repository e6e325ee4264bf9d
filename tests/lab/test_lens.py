"""The logit lens through the model's own tail."""

import numpy as np
import pytest
import torch
import transformers

from tests.lab.changed import of_config, opened
from tests.lab.labs import EVERY, PROMPT, plain, tiny_lab
from tests.lab.test_supported import SHAPE
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


def test_a_head_of_several_layers_is_the_models_own(tmp_path):
    """ModernBERT's has a matrix, an activation function and a norm before the unembedding."""
    fields = {name: value for name, value in SHAPE.items() if name != "num_key_value_heads"}
    folder = of_config(tmp_path / "it", transformers.ModernBertDecoderConfig(**fields, local_attention=8))
    lab = opened(folder)
    lens = lens_of(lab, lab.prompt(PROMPT))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.from_numpy(lab.prompt(PROMPT).ids)[None]
    layers = list(model.model.layers)
    with torch.no_grad():
        for layer in range(len(layers)):
            stream = hooked(model, ids, layers[layer], lambda output: None)[0]
            expected = hooked(model, ids, layers[-1], lambda output, stream=stream: stream)[1]
            torch.testing.assert_close(lens.logits(layer + 1), expected, atol=1e-5, rtol=1e-5)


def hooked(model, ids, block, change):
    """What a block gives as the stream, and the logits where `change` of it is put in its place."""
    streams = []

    def hook(module, args, output):
        streams.append(output)
        return change(output)

    handle = block.register_forward_hook(hook)
    logits = model(input_ids=ids).logits
    handle.remove()
    return streams[0], logits
