"""What an experiment needs of memory beside its model: said by name before it begins, and refused where it can't be."""

from __future__ import annotations

import msgspec
import pytest

from tests.lab.labs import PROMPT, Sink, tiny_lab
from workbench import execute as executing
from workbench import room
from workbench.artifacts.activations import site_width
from workbench.batch_memory import batch_bytes
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments import experiment, experiments
from workbench.model_info import ModelInfo
from workbench.params import make_params
from workbench.report import Report

LONG = " ".join([PROMPT] * 10)


@pytest.fixture
def info() -> ModelInfo:
    return tiny_lab("llama").info


def tokens(text: str) -> int:
    return len(tiny_lab("llama").prompt(text))


def refusal(name: str, params: dict, info: ModelInfo, free: int, on_cpu: int = 0, edited: bool = True) -> str:
    """The sentence; empty where it fits."""
    definition = experiment(name)
    values = make_params(definition.params, params)
    try:
        room.check_room(definition, values, edited, info, free, on_cpu, lambda text, chat, earlier: tokens(text))
    except UserError as error:
        return str(error)
    return ""


def test_what_fits_the_model_but_not_an_experiment_is_said_by_name(info: ModelInfo) -> None:
    n = tokens(LONG)
    needed = batch_bytes(info, 1, n, "gradients")
    assert refusal("why", {"prompt": LONG}, info, needed) == ""
    sentence = refusal("why", {"prompt": LONG}, info, needed - 1)
    assert sentence.startswith(f"{info.name} fits, but why on it does not: for gradients of {n} tokens it needs ")
    assert "are free. You can take a prompt of at most " in sentence
    # A prompt of the length that it names fits, one that is longer does not.
    named = int(sentence.partition("at most ")[2].partition(" ")[0])
    assert named == n - 1
    assert batch_bytes(info, 1, named, "gradients") <= needed - 1 < batch_bytes(info, 1, named + 1, "gradients")
    assert refusal("predict", {"prompt": LONG}, info, needed - 1) == ""


def test_it_names_what_would_make_it_fit(info: ModelInfo) -> None:
    needed = batch_bytes(info, 1, tokens(LONG), "gradients")
    assert "use --dtype bfloat16, in which it is" in refusal("why", {"prompt": LONG}, info, needed - 1)
    small = msgspec.structs.replace(info, n_parameters=0)
    assert "bfloat16" not in refusal("why", {"prompt": LONG}, small, needed // 3)
    on_gpu = msgspec.structs.replace(info, device="cuda:0")
    assert refusal("why", {"prompt": LONG}, on_gpu, needed // 2, 10 * needed + 4 * info.n_parameters).endswith(
        "use --device cpu, or free memory of cuda:0"
    )
    assert "--device" not in refusal("why", {"prompt": LONG}, on_gpu, needed // 2, needed)
    corpus = {"sae": "made", "corpus": "stdlib", "context": 128}
    assert "You can take --context of at most " in refusal("sae-errors", corpus, info, 100_000)


def test_the_longest_text_counts_and_where_nothing_is_edited_one_pass(info: ModelInfo) -> None:
    prompts = {"prompts": [{"prompt": PROMPT}, {"prompt": LONG}, {"prompt": PROMPT}]}
    clean, compared = (batch_bytes(info, 1, tokens(LONG), work) for work in ("clean", "forward"))
    assert clean < compared
    assert refusal("predict", prompts, info, clean, edited=False) == ""
    assert "a clean and an edited pass over" in refusal("predict", prompts, info, clean)
    assert "a pass over" in refusal("predict", prompts, info, clean - 1, edited=False)


def test_what_is_held_beside_batches_counts(info: ModelInfo) -> None:
    training = {"site": "L1.resid_post", "width": 4096, "k": 4}
    width = site_width(info, "resid_post")
    assert "for training 4,096 features of" in refusal("sae-train", training, info, 4 * 4096 * width)
    assert "take a smaller --width" in refusal("sae-train", training, info, 4 * 4096 * width)
    known = msgspec.structs.replace(info, fingerprint="0" * 64)
    assert "for what follows from the weights alone it needs" in refusal("index", {"tokens": 0}, known, 1000)
    unknown = msgspec.structs.replace(info, fingerprint="")
    assert refusal("index", {"tokens": 0}, unknown, 1000) == ""  # whether it is there can't be known yet
    assert f"for the statistics of {info.n_neurons} neurons it needs" in refusal("index", {}, info, 1_000_000)


@pytest.mark.parametrize("name", ["why", "sweep", "patch", "effect", "predict", "generate", "logit-lens", "unusual"])
def test_every_run_asks_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    monkeypatch.setattr(executing, "free_memory", lambda device: 10_000)
    passes: list[object] = []
    monkeypatch.setattr(type(lab), "forward", lambda *args, **kwargs: passes.append(args))
    params = {"prompt": LONG} | ({"corrupted": LONG} if name == "patch" else {})
    with pytest.raises(UserError, match=rf"fits, but {name} on it does not: for .* it needs .* are free. You can"):
        execute(lab, name, params, [], 0, Report(Sink()))
    assert not passes


def test_cached_passes_are_given_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = tiny_lab("llama")
    lab.forward(lab.prompt(PROMPT))
    assert lab.model.clean.bytes
    monkeypatch.setattr(executing, "free_memory", lambda device: 0 if lab.model.clean.bytes else 1 << 30)
    execute(lab, "predict", {"prompt": PROMPT}, [], 0, Report(Sink()))


def test_every_experiment_says_what_goes_through_the_model() -> None:
    no_passes = {"tokens", "labels", "index"}
    for name, definition in experiments().items():
        params = make_params(definition.params, {})
        assert bool(definition.works(params, True)) == (name not in no_passes), name
