"""Planted truth: a neuron wired to one token raises that token and no other; edits act where and as they say."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.lab.labs import EVERY, PROMPT, new_report, plain, source_of, tiny_lab
from tests.tiny import SHAPE, tiny_model, tiny_tokenizer
from workbench.edits import Function, parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab.editing import PythonEdit
from workbench.lab.model import load_lab
from workbench.units import Site

EMBEDDINGS = ("embed_tokens", "wte", "wpe", "embed_in", "embed_out")
WRITERS = ("o_proj", "down_proj", "dense", "dense_4h_to_h", "c_proj")


@pytest.fixture(scope="module", params=EVERY)
def wired(request, tmp_path_factory):
    """A direction of the stream that the last layer's neuron 9 alone writes and ` Paris` alone reads.

    It is dimension 0 minus dimension 1: without a mean, so that LayerNorm passes it on.
    """
    arch = request.param
    folder = tiny_model(arch, tmp_path_factory.mktemp(arch))
    token = tiny_tokenizer().encode(" Paris", add_special_tokens=False)[0]
    file = folder / "model.safetensors"
    weights = load_file(file)
    last = SHAPE["n_layers"] - 1
    reads = 20.0 if arch == "gemma2" else 6.0  # Gemma's embedding is large in its own stream
    for name, tensor in weights.items():
        owner, _, part = name.rpartition(".")
        kind = owner.rpartition(".")[2]
        stream = tensor.T if tensor.ndim == 2 and kind in (*EMBEDDINGS, "c_proj") else tensor
        norm = "norm" in kind or kind.startswith("ln_")
        if part == "weight" and norm:
            tensor[:2] = 0 if arch == "gemma2" else 1
        elif kind in (*EMBEDDINGS, *WRITERS) or norm:
            stream[:2] = 0
        if kind in ("embed_tokens", "wte", "embed_out"):
            stream[:2, token] = torch.tensor([reads, -reads])
        if f".{last}.mlp." in name and part == "weight" and kind in WRITERS:
            stream[:, 9] = 0
            stream[:2, 9] = torch.tensor([3.0, -3.0])
    save_file(weights, file, metadata={"format": "pt"})
    return load_lab(source_of(folder), "cpu", "float32"), token


def test_a_neuron_wired_to_a_token_raises_exactly_that_token(wired):
    lab, token = wired
    prompt = lab.prompt(PROMPT)
    layer = lab.info.n_layers - 1
    clean = lab.forward(prompt)
    raised = lab.forward(prompt, parse_edits([f"L{layer}.N9=6"]))
    assert clean.top(1)[0][0, 0] != token
    assert raised.top(1)[0][0, 0] == token
    gain = raised.last[0] - clean.last[0]
    assert int(gain.argmax()) == token
    # Set the other way, it is the token that falls most.
    lowered = lab.forward(prompt, parse_edits([f"L{layer}.N9=-6"]))
    assert int((lowered.last[0] - clean.last[0]).argmin()) == token


def test_predict_finds_the_planted_neuron_beyond_all_its_controls(wired):
    lab, _ = wired
    report = new_report()
    layer = lab.info.n_layers - 1
    params = {"prompt": PROMPT, "answer": " Paris", "controls": 5}
    execute(lab, "predict", params, parse_edits([f"L{layer}.N9=6"]), 0, report)
    assert report.headline.startswith("' Paris' ")
    assert "larger than all 5" in report.headline
    assert report.scalars["answer_rank_edited"] == 1 < report.scalars["answer_rank"]
    assert report.scalars["kl_percentile"] == pytest.approx((5 + 0.5) / 6)


@pytest.mark.parametrize("arch", EVERY)
def test_a_stack_acts_in_its_order(arch):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)

    def last(text):
        return lab.forward(prompt, parse_edits([text])).last[0]

    torch.testing.assert_close(last("L1.N3=2; L1.N3*=3"), last("L1.N3=6"))
    torch.testing.assert_close(last("L1.N3*=3; L1.N3=2"), last("L1.N3=2"))
    assert not torch.allclose(last("L1.N3=2; L1.N3*=3"), last("L1.N3=2"))


@pytest.mark.parametrize("arch", EVERY)
def test_all_units_at_once_are_each_of_them(arch):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)
    every = lab.forward(prompt, parse_edits(["L1.N*=0; L0.H*=0"], lab.info)).logits[0]
    ids = torch.from_numpy(prompt.ids)[None]
    wanted = plain(arch).logits(ids, [(1, "mlp_post", torch.zeros_like), (0, "z", torch.zeros_like)])[0]
    torch.testing.assert_close(every, wanted, atol=1e-5, rtol=1e-5)


def test_an_edit_leaves_shared_activations_as_they_are():
    """What is captured before the edited site is what the clean model has there."""
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    sites = [Site(1, "mlp_pre"), Site(1, "mlp_pre_linear")]
    clean = lab.forward(prompt, sites=sites)
    edited = lab.forward(prompt, parse_edits(["L1.N*=7; L1.N3*=2"], lab.info), sites)
    for site in sites:
        np.testing.assert_array_equal(clean.site(site), edited.site(site))


def test_captures_see_what_edits_left():
    lab = tiny_lab("gpt2")
    found = lab.forward(lab.prompt(PROMPT), parse_edits(["L1.N3=7"]), [Site(1, "mlp_post")])
    assert (found.site(Site(1, "mlp_post"))[0, :, 3] == 7).all()


def test_position_0_can_be_left_alone():
    lab = tiny_lab("qwen2")
    prompt = lab.prompt(PROMPT)
    site = Site(1, "mlp_post")
    clean = lab.forward(prompt, sites=[site]).site(site)[0, :, 3]
    found = lab.forward(prompt, lab.plan(parse_edits(["L1.N3=7"]), skip_first=True), [site]).site(site)[0, :, 3]
    assert found[0] == clean[0]
    assert (found[1:] == 7).all()


# --- Python functions -------------------------------------------------------------------------------


def python(units, call):
    return [PythonEdit(Function(units, ""), call)]


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("site", ["resid_pre", "resid_post", "attn_out", "mlp_out"])
def test_a_python_function_at_a_site_equals_a_plain_hook(arch, site):
    lab = tiny_lab(arch)
    prompt = lab.prompt(PROMPT)

    def change(activation, context=None):
        activation = activation * 0.5
        activation[..., 3] += 1
        return activation

    found = lab.forward(prompt, python(f"L1.{site}", change)).logits[0]
    wanted = plain(arch).logits(torch.from_numpy(prompt.ids)[None], [(1, site, change)])[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_python_function_of_a_component_has_one_number_a_position():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    shapes = []

    def twice(component, context):
        shapes.append(tuple(component.shape))
        return 2 * component

    called = lab.forward(prompt, python("L1.resid_post@L0.N3.out", twice)).logits
    scaled = lab.forward(prompt, parse_edits(["L1.resid_post@L0.N3.out*=2"])).logits
    torch.testing.assert_close(called, scaled)
    assert shapes == [(1, len(prompt))]


@pytest.mark.parametrize("arch", EVERY)
def test_a_middle_of_the_stream_set_to_0_is_0_and_the_rest_keeps_its_bits(arch):
    lab = tiny_lab(arch)
    site = Site(1, "resid_mid")
    if site not in lab.model.sites:
        return
    prompt = lab.prompt(PROMPT)
    clean = lab.forward(prompt, sites=[site]).site(site)[0]
    edited = lab.forward(prompt, parse_edits(["L1.resid_mid[last]=0"]), [site]).site(site)[0]
    assert not edited[-1].any()
    np.testing.assert_array_equal(edited[:-1], clean[:-1])


def test_an_edit_of_resid_mid_reaches_the_stream():
    lab = tiny_lab("llama")
    prompt = lab.prompt(PROMPT)
    sites = [Site(1, "resid_pre"), Site(1, "attn_out"), Site(1, "resid_mid"), Site(1, "mlp_out"), Site(1, "resid_post")]
    found = lab.forward(prompt, python("L1.resid_mid", lambda stream, context: stream + 1), sites)
    clean = lab.forward(prompt, sites=sites)
    middle = clean.site(Site(1, "resid_mid")) + 1
    np.testing.assert_allclose(found.site(Site(1, "resid_mid")), middle, atol=1e-5)
    np.testing.assert_allclose(found.site(Site(1, "resid_post")), middle + found.site(Site(1, "mlp_out")), atol=1e-5)


def test_a_python_function_gets_a_copy_and_is_told_where_it_is():
    lab = tiny_lab("gemma2")
    prompt = lab.prompt(PROMPT)
    told = []

    def scribble(activation, context):
        told.append((context.layer, context.site, context.start, tuple(activation.shape)))
        kept = activation.clone()
        activation.zero_()
        return kept.numpy()

    edits = python("L1.N3-4, L2.H1", scribble)
    found = lab.forward(prompt, edits)
    n = len(prompt)
    assert told == [(1, "mlp_post", 0, (1, n, 2)), (2, "z", 0, (1, n, 1, lab.info.d_head))]
    assert torch.equal(found.logits, lab.forward(prompt).logits)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda activation, context: None, "it gave NoneType"),
        (lambda activation, context: activation[:, 1:], "it gave shape (1, 4, 32)"),
        (lambda activation, context: 1 / 0, "ZeroDivisionError"),
        (lambda activation: activation, "TypeError"),
    ],
)
def test_a_python_function_that_goes_wrong_is_a_sentence(call, said):
    lab = tiny_lab("llama")
    with pytest.raises(UserError, match="the Python function at L1.resid_post") as caught:
        lab.forward(lab.prompt(PROMPT), python("L1.resid_post", call))
    assert said in str(caught.value)
    assert lab.hooks_installed() == 0


def test_a_function_from_a_log_is_not_run():
    lab = tiny_lab("llama")
    with pytest.raises(UserError, match="only be run again from Python|only be run from Python"):
        lab.job([Function("L1.resid_post", "def f(): …")])
