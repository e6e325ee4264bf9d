"""Mean differences at every layer and position, class directions: against plain hooks, NumPy and scikit-learn."""

import numpy as np
import pytest
import torch

from tests.lab.labs import EVERY, new_report, plain, tiny_lab
from workbench.errors import Cancelled, UserError
from workbench.lab.directions import states as directions_states
from workbench.lab.directions.means import candidate, candidates
from workbench.lab.directions.states import end_states, tokens_after
from workbench.lab.directions.token_classes import class_direction, class_members
from workbench.lab.indexing.weights import vocabulary
from workbench.statistics import balanced_shuffles, prediction_band, stratified_folds

COUNTRIES = ("France", "Germany", "Italy", "Spain", "Japan", "England", "Rome", "Paris")
THINGS = ("river", "water", "sun", "moon", "dog", "fox", "help", "list")
POSITIVE = [
    *(f"The capital of {name} is" for name in COUNTRIES),
    "What is the capital of France?",
    "The city of London is in England. The capital of Japan is Tokyo",
    "Paris is a city",
    "Berlin is the capital of Germany",
]
NEGATIVE = [
    *(f"The {thing} is wide and the" for thing in THINGS),
    "I am sorry",
    "She said that he was happy, but he was not happy at all.",
    "one, two, three, four",
    "Mary and John went to the store",
]


def prompts(lab, chat=False):
    return [[lab.prompt(text, chat) for text in side] for side in (POSITIVE, NEGATIVE)]


def every_prompt(lab, chat=False):
    positive, negative = prompts(lab, chat)
    return [*positive, *negative]


def brute_auc(high, low):
    """Differences of rounding are ties."""
    wins = [0.5 if abs(a - b) < 1e-7 else float(a > b) for a in high for b in low]
    return np.mean(wins)


@pytest.mark.parametrize("arch", EVERY)
def test_states_are_those_of_plain_hooks_at_every_layer_and_position(arch):
    lab = tiny_lab(arch)
    every = every_prompt(lab)
    states = end_states(lab.model, every, 3, new_report())
    assert states.shape == (3, 3, 24, 32)
    for at, prompt in enumerate(every):
        for layer in range(3):
            expected = plain(arch).read(torch.from_numpy(prompt.ids)[None], layer, "resid_pre")[0, -3:]
            torch.testing.assert_close(states[layer, :, at], expected, rtol=1e-4, atol=1e-4)


def test_differences_and_separation_equal_brute_force():
    lab = tiny_lab("llama")
    positive, negative = prompts(lab)
    *_, measured = candidates(lab.model, positive, negative, 2, 6, 3, new_report())
    assert len(list(measured)) == 3 * 2
    label, fold = measured.labels[0], measured.fold
    assert [int((fold[label] == at).sum()) for at in range(5)] == [3, 3, 2, 2, 2]
    states = end_states(lab.model, [*positive, *negative], 2, new_report()).double().numpy()
    for each in measured:
        rows = states[each.layer, each.position]
        np.testing.assert_allclose(each.direction, rows[label].mean(0) - rows[~label].mean(0), rtol=1e-9, atol=1e-12)
        for labels, auc in zip(measured.labels, [each.auc, *each.shuffled_auc], strict=True):
            aucs, differences, spreads = [], [], []
            for at in range(5):
                train, test = fold != at, fold == at
                unit = rows[train & labels].mean(0) - rows[train & ~labels].mean(0)
                high, low = (rows[test & side] @ (unit / np.linalg.norm(unit)) for side in (labels, ~labels))
                aucs.append(brute_auc(high, low))
                differences.append(high.mean() - low.mean())
                spreads.append((high, low))
            assert auc == pytest.approx(np.mean(aucs), abs=1e-9)
            if labels is measured.labels[0]:
                variances = [
                    sum(((part - part.mean()) ** 2).sum() for part in side) / sum(len(part) - 1 for part in side)
                    for side in zip(*spreads, strict=True)
                ]
                assert each.d_prime == pytest.approx(np.mean(differences) / np.sqrt(np.mean(variances)))


def test_a_planted_direction_is_found_in_noise():
    random = np.random.default_rng(0)
    planted = random.standard_normal(64)
    planted /= np.linalg.norm(planted)
    rows = random.standard_normal((128, 64)) * 0.3
    label = np.arange(128) < 64
    rows[label] += 5 * planted
    fold = stratified_folds(label, random)
    labels = np.concatenate([label[None], balanced_shuffles(label, fold, 16, random)])
    made = candidate(0, -1, torch.from_numpy(rows), labels, fold)
    assert made.direction @ planted / made.norm > 0.99
    assert made.auc == 1
    assert made.d_prime == pytest.approx(5 / 0.3, rel=0.15)
    assert made.shuffled_auc.max() < 0.8  # shuffles do not carry the direction itself


def test_a_state_that_is_the_same_everywhere_has_no_direction():
    label = np.arange(20) < 10
    fold = stratified_folds(label, np.random.default_rng(0))
    rows = torch.full((20, 4), 0.1)
    made = candidate(0, -1, rows, np.stack([label, label]), fold)
    assert (made.norm, made.auc, made.d_prime) == (0, 0.5, 0)
    assert made.rank < candidate(0, -1, torch.randn(20, 4), np.stack([label, label]), fold).rank


def test_a_shuffle_has_each_class_in_equal_shares_on_both_sides():
    random = np.random.default_rng(0)
    for n_positive in (40, 20, 17):
        label = np.arange(80) < n_positive
        fold = stratified_folds(label, random)
        shuffled = balanced_shuffles(label, fold, 200, random)
        share = n_positive / 80
        for side in (label, ~label):
            drawn = shuffled[:, side].sum(axis=1) / side.sum()
            assert abs(drawn.mean() - share) < 0.02
            assert abs(drawn - share).max() < 5.01 / side.sum()
        if n_positive == 40:
            assert set(shuffled.sum(axis=1)) == {40}
        assert len({row.tobytes() for row in shuffled}) == 200


def noise(n, random):
    """Prompts without any difference between them, with random labels."""
    rows = random.standard_normal((n, 32)) * np.linspace(0.1, 2, 32)
    label = np.arange(n) < n // 2
    fold = stratified_folds(label, random)
    labels = np.concatenate([label[None], balanced_shuffles(label, fold, 16, random)])
    return candidate(0, -1, torch.from_numpy(rows), labels, fold)


def test_noise_has_a_mean_auc_of_a_half_and_lies_in_its_band_as_often_as_that_says():
    random = np.random.default_rng(1)
    outside, aucs = 0, []
    for _ in range(200):
        made = noise(64, random)
        low, high = prediction_band(made.shuffled_auc)
        outside += not low <= made.auc <= high
        aucs.append(made.auc)
        aucs += list(made.shuffled_auc)
    assert 0.02 <= outside / 200 <= 0.08
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.01)


def test_the_bands_reach_is_students():
    # Quantiles of t, from a table.
    for n, quantile in ((6, 2.5706), (8, 2.3646), (16, 2.1314), (33, 2.0369)):
        draws = np.random.default_rng(n).standard_normal((n, 3))
        low, high = prediction_band(draws)
        expected = quantile * draws.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
        np.testing.assert_allclose((high - low) / 2, expected, rtol=3e-3)


def test_template_tokens_after_the_text_are_counted():
    lab = tiny_lab("llama")
    every = every_prompt(lab, chat=True)
    n = tokens_after(every)
    tokens = {tuple(prompt.tokens[-n:]) for prompt in every}
    assert len(tokens) == 1
    assert tokens.pop()[0] == "<|im_end|>"


def test_a_prompt_that_is_too_short_is_named():
    lab = tiny_lab("llama")
    short = min(every_prompt(lab), key=len)
    with pytest.raises(UserError, match=f"{short.text!r} has {len(short)} tokens, fewer than the {len(short) + 1}"):
        end_states(lab.model, every_prompt(lab), len(short) + 1, new_report())


def test_where_memory_ends_batches_halve_and_nothing_changes(monkeypatch):
    lab = tiny_lab("llama")
    expected = end_states(lab.model, every_prompt(lab), 2, new_report())
    run_forward, sizes = directions_states.run_forward, []

    def small(model, prompts, **more):
        sizes.append(len(prompts))
        if len(prompts) > 7:
            raise torch.OutOfMemoryError("out of memory")
        return run_forward(model, prompts, **more)

    monkeypatch.setattr(directions_states, "run_forward", small)
    report = new_report()
    torch.testing.assert_close(end_states(lab.model, every_prompt(lab), 2, report), expected, rtol=1e-4, atol=1e-4)
    assert max(sizes) > 7
    assert any("memory ran out" in note for note in report.notes)


def test_it_can_be_cancelled_between_batches_and_in_a_pass():
    lab = tiny_lab("llama")

    def stop():
        raise Cancelled()

    with pytest.raises(Cancelled):
        list(candidates(lab.model, *prompts(lab), 1, 5, 0, new_report(stop)))
    lab.model.cancel_check = stop
    try:
        with pytest.raises(Cancelled):
            end_states(lab.model, every_prompt(lab), 1, new_report())
    finally:
        lab.model.cancel_check = None


# --- classes of tokens ---------------------------------------------------------------------------------


def test_classes_are_what_their_names_say():
    texts = [
        " Paris",
        "Paris",
        " PARIS",
        " paris",
        "paris",
        " ",
        "",
        "7",
        " 42",
        "a1",
        "\n",
        " Мир",
        "мир",
        "Ärger",
        "  A",
    ]

    def members(name):
        return {text for text, inside in zip(texts, class_members(name, texts), strict=True) if inside}

    assert members("uppercase") == {" Paris", "Paris", " PARIS", " Мир", "Ärger"}
    assert members("lowercase") == {" paris", "paris", "a1", "мир"}
    assert members("digit") == {"7", " 42"}
    assert members("leading-space") == {text for text in texts if text.startswith(" ") and len(text) > 1}
    assert members("cyrillic") == {" Мир", "мир"}
    assert members("paris") == {" Paris", "Paris", " PARIS", " paris", "paris"}
    assert members("/[0-9]/") == {"7", " 42", "a1"}
    assert members("is_all_caps") == {" PARIS"}
    for wrong in ("prev_comma", "/(/", "nothing_of_this"):
        with pytest.raises(UserError):
            members(wrong)


@pytest.mark.parametrize("arch", EVERY)
@pytest.mark.parametrize("matrix", ["W_E", "W_U"])
def test_a_class_direction_is_that_of_the_checkpoints_rows(arch, matrix):
    lab = tiny_lab(arch)
    texts = vocabulary(lab.model)
    tokens = np.asarray([at for at, text in enumerate(texts) if text])
    members = class_members("uppercase", texts)[tokens]
    made = class_direction(lab.model, matrix, tokens, members, 5, 0, new_report())
    reference = plain(arch).model
    with torch.no_grad():
        if matrix == "W_E":
            rows = reference.get_input_embeddings().weight[tokens].double().numpy()
        else:
            final = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm"}.get(arch, "model.norm")
            gain = reference.get_submodule(final).weight.double().numpy() + (1 if arch == "gemma2" else 0)
            rows = reference.get_output_embeddings().weight[tokens].double().numpy() * gain
            if arch in ("gpt2", "gpt_neox"):
                rows = rows - rows.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(made.direction, rows[members].mean(0) - rows[~members].mean(0), rtol=1e-4, atol=1e-5)
    random = np.random.default_rng(0)
    fold = stratified_folds(members, random)
    aucs = []
    for at in range(5):
        train, test = fold != at, fold == at
        unit = rows[train & members].mean(0) - rows[train & ~members].mean(0)
        aucs.append(brute_auc(rows[test & members] @ unit, rows[test & ~members] @ unit))
    assert made.auc == pytest.approx(np.mean(aucs), abs=2e-3)
    assert abs(made.shuffled_auc - 0.5).max() < 0.2
