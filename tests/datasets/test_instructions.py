"""Sets of instructions: ours, published JSON; how far words alone tell two sets apart."""

import json

import numpy as np
import pytest

from workbench.artifacts.prompt_set import read_set
from workbench.datasets.instructions import SHIPPED, shipped_set
from workbench.datasets.prompts import PromptRow, read_prompts
from workbench.datasets.words import logistic, word_products, words_auc
from workbench.errors import UserError


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_has_a_name_everywhere(name):
    rows = shipped_set(name)
    assert len({row.prompt for row in rows}) == len(rows) >= 32
    assert read_set(name) == rows


def test_published_sets_are_read(tmp_path):
    file = tmp_path / "harmful_train.json"
    file.write_text(json.dumps([{"instruction": "Do it", "category": None}, {"instruction": "[x] é", "category": "a"}]))
    assert read_prompts(file) == [PromptRow("Do it"), PromptRow("[x] é")]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"instruction": "Do it", "category": "theft"}\n{"prompt": "p", "answer": " a"}\n')
    assert read_prompts(lines) == [PromptRow("Do it"), PromptRow("p", " a")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "no prompt in .*: its list is empty"),
        ("{}", "is a list"),
        ("[3]", "is a list"),
        ("[" * 100_000, "is a list"),
        ('[{"instruction": ""}]', "entry 1: the prompt is empty"),
        ('[{"instruction": "a", "prompt": "b"}]', "entry 1: prompt and instruction are the same"),
        ('[{"text": "a"}]', "text"),
    ],
)
def test_other_json_is_a_sentence(tmp_path, text, sentence):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_prompts(file)


def test_an_unknown_name_is_told_what_ships():
    with pytest.raises(
        UserError, match="no prompt set @nothing .* @harmful, @harmless, @alarming, @refusing, @complying"
    ):
        read_set("nothing")


def test_the_regression_is_where_its_loss_is_least():
    random = np.random.default_rng(0)
    features, label = random.normal(size=(40, 6)), random.random(40) < 0.5
    alpha = logistic(features @ features.T, label, 0.5)
    weights = features.T @ alpha

    def loss(weights):
        return np.logaddexp(0, -(2 * label - 1) * (features @ weights)).sum() + 0.25 * weights @ weights

    for step in np.eye(6):
        slope = (loss(weights + 1e-5 * step) - loss(weights - 1e-5 * step)) / 2e-5
        assert abs(slope) < 1e-6
    assert np.abs(weights).max() > 0.1


def test_words_tell_apart_what_has_words_of_its_own():
    names = [f"name{number}" for number in range(30)]
    assert words_auc([f"steal {name}" for name in names], [f"paint {name}" for name in names], 0) == 1
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(names, 6)) for _ in range(200)]
    assert 0.3 < words_auc(texts[:100], texts[100:], 0) < 0.7
    assert word_products(["a b b", "B c"]).tolist() == [[3, 2], [2, 3]]
