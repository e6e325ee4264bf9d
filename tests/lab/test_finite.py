"""Numbers that are none never look like an answer: where they begin, whether the weights hold them, what helps."""

import re

import numpy as np
import pytest
import torch

from tests.lab.changed import opened, with_weights
from tests.lab.labs import EVERY, PROMPT, new_report, tiny_lab
from workbench.datasets.corpora import Corpus, CorpusInfo
from workbench.edits import parse_edits
from workbench.errors import UserError
from workbench.execute import execute
from workbench.lab import metrics
from workbench.lab.continuation import Continuation, Row
from workbench.lab.finite import NotFinite, all_valid, first_invalid
from workbench.lab.generate import continue_all, generate
from workbench.lab.indexing import heldout
from workbench.lab.indexing.build import IndexBuild, default_settings
from workbench.lab.indexing.token_features import TokenFeatures
from workbench.lab.indexing.weights_index import build_weights
from workbench.lab.lens import lens as lens_of
from workbench.lab.metric import Metric
from workbench.lab.study import study as new_study
from workbench.units import Neuron, Site

DAMAGED = (
    r"the model's numbers are not finite from L2\.mlp_out on \(NaN or infinite, in float32\); the weights themselves "
    r"hold such numbers \(model\.layers\.2\.mlp\.down_proj\.weight\): the checkpoint is damaged, download or copy it"
)


def poisoned(name, value=float("nan"), times=1.0):
    def change(weights):
        tensor = weights[name] * times
        tensor.view(-1)[0] = value
        return weights | {name: tensor}

    return change


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it")
    return opened(with_weights(folder, poisoned("model.layers.2.mlp.down_proj.weight")))


def test_a_damaged_model_says_so_when_it_is_loaded(damaged):
    (remark,) = damaged.remarks
    assert re.search(f"at load {DAMAGED}", remark)


@pytest.mark.parametrize(
    ("name", "params", "edits"),
    [
        ("predict", {"prompt": PROMPT}, ""),
        ("generate", {"prompt": PROMPT}, ""),
        ("generate", {"prompt": PROMPT}, "L0.N3=2"),
        ("logit-lens", {"prompt": PROMPT}, ""),
        ("effect", {"prompt": PROMPT}, "L0.N3=2"),
        ("activations", {"prompt": PROMPT, "units": "L2.resid_post"}, ""),
        ("why", {"prompt": PROMPT}, ""),
        ("sweep", {"prompt": PROMPT}, ""),
        ("dla", {"prompt": PROMPT}, ""),
        ("patch", {"prompt": PROMPT, "corrupted": "The capital of Spain is"}, ""),
    ],
)
def test_every_experiment_stops_with_where_it_began(damaged, name, params, edits):
    with pytest.raises(UserError, match=DAMAGED):
        execute(damaged, name, params, parse_edits([edits]), 0, new_report())
    assert damaged.hooks_installed() == 0


def test_what_lies_before_it_can_still_be_read(damaged):
    found = damaged.forward(damaged.prompt(PROMPT), sites=[Site(1, "resid_post"), Site(2, "z")], logits=None)
    assert np.isfinite(found.site(Site(2, "z"))).all()
    with pytest.raises(NotFinite, match=DAMAGED):
        damaged.forward(damaged.prompt(PROMPT), sites=[Site(2, "z"), Site(2, "mlp_out")], logits=None)


@pytest.mark.parametrize("keep", ["all", "last"])
def test_a_batch_with_one_such_prompt_stops(tmp_path, keep):
    """Only the tokens of one prompt: the embedding of ' Paris' is none."""
    id_of = tiny_lab("llama").answer_token(" Paris").id

    def change(weights):
        weights["model.embed_tokens.weight"][id_of, 3] = torch.inf
        return weights

    lab = opened(with_weights(tmp_path / "it", change, tie_word_embeddings=False))
    assert lab.remarks == []
    fine, other = lab.prompt(PROMPT), lab.prompt("Paris Paris Paris is")
    assert id_of in other.ids
    assert id_of not in fine.ids
    assert np.isfinite(lab.forward([fine, fine], logits=keep).entropy()).all()
    sentence = r"not finite from L0\.resid_pre on .*\(model\.embed_tokens\.weight\)"
    with pytest.raises(NotFinite, match=sentence):
        lab.forward([fine, other], logits=keep)
    with pytest.raises(NotFinite, match=sentence):
        new_study(lab, other)
    assert not lab.model.clean.get(((other.ids.tobytes(),), (), keep))


def test_padding_is_no_failure(tmp_path):
    """Shorter prompts are padded with token 0: what stands there counts only where it reaches other tokens."""

    def change(weights):
        weights["model.embed_tokens.weight"][0] = torch.nan
        return weights

    lab = opened(with_weights(tmp_path / "it", change, tie_word_embeddings=False))
    short, long = lab.prompt(PROMPT), lab.prompt("The city of London is in England.")
    assert len(short) < len(long)
    site = Site(0, "resid_pre")
    found = lab.forward([short, long], sites=[site], logits=None)
    assert np.isnan(found.site(site)[0, len(short) :]).all()
    assert np.isfinite(found.site(site)[0, : len(short)]).all()
    with pytest.raises(NotFinite, match="not finite in this batch, though alone they are"):
        lab.forward([short, long])  # attention multiplies what it masks with 0, and NaN stays NaN


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("text", ["L1.N*=3e38", "L1.mlp_out[last]*=3e38", "L0.resid_post*=1e38"])
def test_under_edits_the_edits_are_too_large(arch, text):
    lab = tiny_lab(arch)
    edits = parse_edits([text], lab.info)
    sentence = r"under these edits the model's numbers are not finite from L[012]\.\w+ on .*: take smaller edits$"
    if arch in ("gpt2", "gpt_neox") and text.startswith("L0.resid"):
        pytest.skip("LayerNorm of such numbers is finite there")
    prompt = lab.prompt(PROMPT)
    with pytest.raises(NotFinite, match=sentence):
        lab.forward(prompt, edits)
    with pytest.raises(NotFinite, match=sentence):
        next(generate(lab, prompt, edits))
    with pytest.raises(NotFinite, match=sentence):
        new_study(lab, prompt, edits)
    study = new_study(lab, prompt)
    for run in (
        lambda: list(study.run([lab.plan(edits)])),
        lambda: study.attribute_under([lab.plan(edits)], Metric("log-prob", 7)),
        lambda: study.activations([Site(0, "z")], lab.plan(edits)),
    ):
        with pytest.raises(NotFinite, match=sentence):
            run()
    assert lab.hooks_installed() == 0


def test_a_later_token_of_a_batch_that_is_generated():
    """Edits of generated positions: the prompt's own pass is fine, the second step is not."""
    lab = tiny_lab("llama")
    wrong = lab.plan(parse_edits(["L1.N*[generated]=3e38"], lab.info))
    fine = lab.plan([])
    rows = [Row(lab.prompt("The river is wide"), fine, 0), Row(lab.prompt(PROMPT), wrong, 1)]
    said = [Continuation(), Continuation()]
    with pytest.raises(NotFinite, match=r"under these edits .* not finite from L1\.mlp_out on"):
        list(continue_all(lab, rows, said, 4))
    assert [len(one.ids) for one in said] == [1, 1]
    assert lab.hooks_installed() == 0


def test_half_precisions_are_told_of_wider_ones(tmp_path):
    name = "model.layers.1.mlp.down_proj.weight"
    folder = with_weights(tmp_path / "it", lambda weights: weights | {name: 3e4 * weights[name]})
    assert opened(folder).remarks == []
    lab = opened(folder, "float16")
    sentence = r"from L1\.mlp_out on \(NaN or infinite, in float16\): its range ends at 65,504, take --dtype bfloat16"
    assert re.search(sentence, lab.remarks[-1])
    with pytest.raises(NotFinite, match=sentence):
        lab.forward(lab.prompt(PROMPT))
    other = opened(folder, "bfloat16")
    assert np.isfinite(other.forward(other.prompt(PROMPT)).entropy()).all()


def test_finite_weights_that_overflow_in_float32(tmp_path):
    name = "model.layers.1.mlp.down_proj.weight"
    lab = opened(with_weights(tmp_path / "it", lambda weights: weights | {name: 3e38 * weights[name].sign()}))
    sentence = r"from L1\.mlp_out on \(NaN or infinite, in float32\): the checkpoint or its config.json is at fault"
    with pytest.raises(NotFinite, match=sentence):
        lab.forward(lab.prompt(PROMPT))
    # It is not the edit's doing.
    with pytest.raises(NotFinite, match=f"^the model's numbers .*{sentence}"):
        lab.forward(lab.prompt(PROMPT), parse_edits(["L0.N1=2"]))


def test_the_unembedding_alone(tmp_path):
    lab = opened(with_weights(tmp_path / "it", poisoned("lm_head.weight"), tie_word_embeddings=False))
    with pytest.raises(NotFinite, match=r"not finite in the final norm or the unembedding .*\(lm_head\.weight\)"):
        lab.forward(lab.prompt(PROMPT))


def test_what_is_an_answer():
    fine = torch.tensor([[1.0, -torch.inf, 2.0], [0.0, 0.0, -torch.inf]])
    assert all_valid(fine)
    for wrong in (torch.nan, torch.inf):
        assert not all_valid(torch.tensor([[1.0, 2.0], [wrong, 2.0]]))
        assert first_invalid(torch.tensor([[1.0, 2.0], [wrong, 2.0]])) == 1
    assert not all_valid(torch.full((1, 3), -torch.inf))


def test_tokens_that_are_ruled_out_count_nothing():
    """−∞ on purpose: the numbers are those of the others alone."""
    generator = torch.Generator().manual_seed(0)
    p, q = torch.randn(2, 5, 40, generator=generator).unbind()
    ruled = torch.full((5, 3), -torch.inf)
    alone = metrics.entropy(metrics.log_probs(p))
    assert torch.allclose(metrics.entropy(metrics.log_probs(torch.cat([p, ruled], 1))), alone)
    assert torch.allclose(metrics.kl(torch.cat([p, ruled], 1), torch.cat([q, ruled], 1)), metrics.kl(p, q))
    assert torch.isinf(metrics.kl(torch.cat([p, p[:, :3]], 1), torch.cat([q, ruled], 1))).all()


def test_a_model_that_rules_tokens_out_works(tmp_path):
    from tests.tiny import tiny_model

    lab = opened(tiny_model("llama", tmp_path / "it", tie_word_embeddings=False))
    head = lab.model.hf.get_output_embeddings()
    plain = lab.forward(lab.prompt(PROMPT)).top(1)
    handle = head.register_forward_hook(lambda module, args, out: out.index_fill(-1, torch.tensor([5, 6]), -torch.inf))
    lab.model.clean.clear()
    try:
        for name in ("predict", "generate", "logit-lens", "why", "sweep"):
            report = new_report()
            execute(lab, name, {"prompt": PROMPT}, [], 0, report)
            assert report.headline
        found = lab.forward(lab.prompt(PROMPT))
        assert np.isfinite(found.entropy()).all()
        assert found.top(1)[0] == plain[0]
    finally:
        handle.remove()


def test_the_check_is_one_pass_where_all_is_well():
    lab = tiny_lab("llama")
    calls = []
    handle = lab.model.hf.register_forward_pre_hook(lambda module, args: calls.append(1))
    try:
        lab.forward([lab.prompt(PROMPT)] * 3, parse_edits(["L0.N1=2"]))
    finally:
        handle.remove()
    assert len(calls) == 1


def test_sweeps_of_many_name_the_first_site():
    lab = tiny_lab("llama")
    study = new_study(lab, lab.prompt(PROMPT))
    plans = [study.off([Neuron(1, n)]) for n in range(8)] + [lab.plan(parse_edits(["L2.N*=3e38"], lab.info))]
    with pytest.raises(NotFinite, match=r"from L2\.mlp_out on"):
        list(study.run(plans))


def test_a_row_of_the_lens_alone():
    """Logits of a middle layer can overflow where the last layer's do not."""
    lab = tiny_lab("llama")
    lens = lens_of(lab, lab.prompt(PROMPT))
    assert lens.row(1, 7).answer_rank > 0
    lens._stream[1] = torch.full_like(lens._stream[1], torch.nan)
    with pytest.raises(UserError, match=r"the lens' row L0 is NaN or infinite, though .*: take --dtype float32"):
        lens.row(1, 7)


def test_gradients_alone(monkeypatch):
    lab = tiny_lab("llama")
    study = new_study(lab, lab.prompt(PROMPT))
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args: [one * torch.inf for one in grad(*args)])
    with pytest.raises(UserError, match=r"the gradients are NaN or infinite in float32, though .*: take --dtype"):
        study.attribute([Metric("log-prob", 7)])


@pytest.fixture(scope="module")
def unindexable(tmp_path_factory):
    """A damaged model whose neurons are no numbers from layer 1 on."""
    folder = tmp_path_factory.mktemp("it")
    lab = opened(with_weights(folder, poisoned("model.layers.1.mlp.up_proj.weight")))
    lab.set_fingerprint("0" * 64)
    return lab.model


TEXTS = [PROMPT, "The city of London is in England.", "The river is wide and the water is cold."]
CORPUS = Corpus(CorpusInfo(name="three", spec="three", hash="0" * 64, documents=3), TEXTS)
WRONG = r"the model's numbers are not finite from L1\.mlp_\w+ on .*\(model\.layers\.1\.mlp\.up_proj\.weight\)"


def test_an_index_stops_with_the_neuron_and_the_reason(unindexable, tmp_path):
    with pytest.raises(UserError, match=WRONG.replace(" on ", " ")):
        list(build_weights(unindexable))
    # What is not finite on this corpus may be so on a short text, of which the weights part is made.
    finite = opened(with_weights(tmp_path, lambda weights: weights))
    finite.set_fingerprint(unindexable.info.fingerprint)
    list(build_weights(finite.model))
    made = IndexBuild(unindexable, CORPUS, default_settings(unindexable.info, 32, 3, False), 1 << 60)
    with pytest.raises(UserError, match=rf"^L1\.N\d+ is not a number on document \d of the corpus: {WRONG}"), made:
        for block in made.blocks():
            made.add(block)


def test_a_rule_is_not_tried_on_numbers_that_are_none(unindexable):
    settings = default_settings(unindexable.info, 32, 3, False)
    rule = heldout.Rule("the", tokens=frozenset(unindexable.tokens.prompt(" the").ids.tolist()))

    def tried(model, layer):
        features = TokenFeatures([model.tokens.token(n) for n in range(len(model.tokens.tokenizer))])
        return heldout.try_rule(
            model,
            CORPUS,
            frozenset(),
            settings,
            rule,
            features,
            [(Neuron(layer, 0), 1)],
            tokens=20,
            n_random=8,
            seed=0,
            report=new_report(),
        )

    assert tried(unindexable, 0).scores
    with pytest.raises(UserError, match=rf"^on document \d of the corpus: {WRONG}"):
        tried(unindexable, 1)


def test_an_input_of_zeros_has_parts_of_zero():
    """Weights that are all zero, or an edit that sets the last stream to 0: no part adds anything, and none is NaN."""
    from workbench.lab.dla import FrozenNorm

    model = tiny_lab("llama").model
    norm = FrozenNorm(model.bridge.ln_final, torch.zeros(model.info.d_model), torch.device("cpu"))
    assert torch.isfinite(norm.gain).all()
    assert not norm(torch.zeros(model.info.d_model)).any()
