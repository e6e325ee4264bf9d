"""sae-train: from a corpus to a registered SAE, cancelled and gone on with, and what can't be trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, plain, tiny_lab
from workbench.artifacts.sae import find_sae, list_saes, saes_dir, stored_config
from workbench.datasets.corpora import open_corpus
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.lab.probing import store as stores
from workbench.lab.sae import read_sae
from workbench.lab.sae.documents import split_documents
from workbench.lab.sae.running import CHECKPOINT, Run
from workbench.report import Report

SMALL = {"site": "L1.resid_post", "width": 64, "tokens": 600, "context": 32, "k": 4, "batch": 64, "held_out": 128,
         "passes": 3}  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    words = ["paris", "is", "the", "capital", "of", "france", "and", "rome", "of", "italy", "."]
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(words, 30)) for _ in range(60)]
    file.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return file


def ran(text: Path, report: Report | None = None, **params: Any) -> Report:
    report = report or new_report()
    execute(tiny_lab("llama"), "sae-train", {**SMALL, "corpus": str(text), **params}, [], 0, report)
    return report


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_a_trained_sae_is_registered_and_measured(own_folders: Path, corpus: Path, kind: str) -> None:
    report = ran(corpus, kind=kind, name="small", passes=10)
    artifact = find_sae("small")
    assert report.artifacts[-1].content.spec["hash"] == artifact.hash
    assert artifact.fingerprint == tiny_lab("llama").info.fingerprint
    assert "held-out tokens" in report.headline and report.headline.startswith("small: explains")
    assert list(report.views)[:3] == ["explained", "dead", "l0"]
    assert {"quality", "losses", "firing", "settings"} <= set(report.views)
    folder = Path(artifact.path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "artifact.json", "cfg.json", "lock", "sae_weights.safetensors",
    ]  # fmt: skip
    config, _ = stored_config(folder)
    assert (config.kind, config.d_sae, config.k, config.site) == (kind, 64, 4, "L1.resid_post")
    facts = json.loads((folder / "cfg.json").read_text())["metadata"]["workbench_training"]
    assert facts["corpus_hash"] == open_corpus(str(corpus)).info.hash and facts["activation_factor"] > 0
    sae = read_sae(folder).sae
    assert sae.has_unit_decoder
    assert report.scalars["explained_variance"] is not None and report.scalars["explained_variance"] > 0.3
    assert "undertrained" in report.headline or report.scalars["dead"] <= 0.1


def test_documents_are_split_and_position_0_is_out(corpus: Path) -> None:
    lab = tiny_lab("llama").job(seed=3)
    documents = split_documents(lab, open_corpus(str(corpus)), 500, 128, 16)
    examples = documents.examples
    assert len(examples) == 500
    assert examples.first.min() == 1 and (examples.first == examples.last).all()
    trained = {tuple(window[:14]) for window in examples.windows}
    assert not trained & {tuple(prompt.ids[:14].tolist()) for prompt in documents.held_out}
    held_out = sum(len(prompt) - 1 for prompt in documents.held_out)
    assert 128 <= held_out < 128 + 16
    # As `sae-check` draws its own.
    from workbench.experiments._corpus import corpus_prompts

    checked = corpus_prompts(lab, str(corpus), 128, 16, new_report())
    assert [prompt.ids.tolist() for prompt in checked] == [prompt.ids.tolist() for prompt in documents.held_out]


def test_what_it_is_trained_on_is_what_the_model_computes(own_folders: Path, corpus: Path) -> None:
    """Against plain hooks; and no block behind the site runs."""
    lab = tiny_lab("llama")
    documents = split_documents(lab, open_corpus(str(corpus)), 300, 128, 16)
    later: list[int] = []
    handle = lab.model.bridge.blocks[2].register_forward_hook(lambda *_: later.append(1))
    try:
        with stores.take(lab, documents.examples, "resid_post", [1], new_report()) as store:
            taken = store.layer(1).copy()
    finally:
        handle.remove()
    assert not later and not lab.hooks_installed()
    for number in (0, len(documents.examples.windows) - 1):
        window = torch.tensor([documents.examples.windows[number]])
        expected = plain("llama").read(window, 1, "resid_post")[0, 1:].numpy()
        assert np.allclose(taken[documents.examples.window == number], expected, atol=1e-5)


def test_a_cancelled_training_goes_on_to_the_same_bits(
    own_folders: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(corpus, name="whole")
    whole = read_sae(Path(find_sae("whole").path)).sae.tensors
    calls = 0

    def cancel() -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise Cancelled

    report = new_report(cancel)
    with pytest.raises(Cancelled):
        ran(corpus, report, name="parts")
    assert "explains" in report.headline and len(report.views["explained"].x) > 0  # type: ignore[union-attr]
    assert (saes_dir() / ".parts.building" / CHECKPOINT).exists()
    assert [artifact.name for artifact in list_saes()] == ["whole"]
    taken: list[int] = []
    monkeypatch.setattr(stores, "run_pass", lambda *args, **kwargs: taken.append(1))
    again = ran(corpus, name="parts")
    assert not taken
    assert any("goes on after" in note for note in again.notes)
    parts = read_sae(Path(find_sae("parts").path)).sae.tensors
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    # The curves are whole too.
    assert again.views["explained"].x[0] == 64  # type: ignore[union-attr]


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Killed between two checkpoints: steps after the last one come again. Other settings begin anew."""
    from tests.lab.sae.test_training import planted, settings

    x = planted(700, 40, 3)[0].numpy()
    chosen = settings(steps=30)

    def run(key: str = "key") -> Run:
        return Run(x, chosen, tmp_path, key, "cpu")

    whole = run()
    whole.run(new_report(), lambda changed: None)
    expected = whole.finish()
    first = run()
    for step in range(7):
        first.training.train(first._batch(step))
    first.save()
    first.training.train(first._batch(7))
    second = run()
    assert second.training.step == 7
    second.run(new_report(), lambda changed: None)
    another = run("another")
    assert another.training.step == 0
    assert another.left == "other activations: of another corpus, model or site"
    assert Run(x, settings(steps=40, k=5), tmp_path, "key", "cpu").left == "k 4, not 5; steps 30, not 40"
    assert second.left == ""
    assert all(torch.equal(tensor, expected[name]) for name, tensor in second.finish().items())
    assert not list(tmp_path.iterdir())


def test_a_cancel_while_it_is_measured_leaves_the_sae_and_says_what_is_left(own_folders: Path, corpus: Path) -> None:
    def cancel() -> None:
        if report.progress.unit == "documents" and find_made():
            raise Cancelled

    def find_made() -> bool:
        return any(use.role == "made" for use in report.artifacts)

    report = new_report(cancel)
    with pytest.raises(Cancelled):
        ran(corpus, report, name="small")
    assert find_sae("small").hash
    assert report.headline == "small is trained, on 1,792 tokens, and not measured yet"
    assert [(step.experiment, step.params) for step in report.next_steps] == [("sae-check", {"sae": "small"})]


def test_other_settings_under_the_same_name_begin_anew_and_say_so(own_folders: Path, corpus: Path) -> None:
    calls = 0

    def cancel() -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise Cancelled

    with pytest.raises(Cancelled):
        ran(corpus, new_report(cancel), name="parts")
    report = ran(corpus, name="parts", k=5)
    assert any("begins anew" in note and "k 4, not 5" in note for note in report.notes)
    assert not any("goes on after" in note for note in report.notes)


CHILD = """
import sys
from pathlib import Path
from tests.experiments.test_sae_train import ran
from tests.lab.labs import new_report
from workbench.lab.sae import running
running.PAUSE = 0.0
train = running.Training.train
def stops(self, batch):
    if self.step == 9:
        print("step", self.step, flush=True)
        sys.stdin.readline()
    return train(self, batch)
running.Training.train = stops
ran(Path(sys.argv[1]), name="killed")
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_goes_on_to_the_same_bits(own_folders: Path, corpus: Path) -> None:
    ran(corpus, name="whole")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(corpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert child.stdout and child.stdin
    assert child.stdout.readline() == "step 9\n"
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    child.stdin.close()
    assert (saes_dir() / ".killed.building" / CHECKPOINT).exists()
    report = ran(corpus, name="killed")
    assert any("goes on after 576 tokens" in note for note in report.notes)
    whole, killed = (read_sae(Path(find_sae(name).path)).sae.tensors for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_every_token_is_seen_once_a_pass(tmp_path: Path) -> None:
    from tests.lab.sae.test_training import settings

    x = np.arange(100, dtype=np.float32)[:, None].repeat(24, 1)
    run = Run(x, settings(batch=30, steps=10), tmp_path, "", "cpu")
    seen = torch.cat([run._batch(step)[:, 0] for step in range(10)]).int()
    assert torch.bincount(seen).tolist() == [3] * 100
    assert seen[:100].tolist() != seen[100:200].tolist() != list(range(100))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"site": "L9.resid_post"}, "there is no layer 9"),
        ({"site": "L1.N3"}, "one vector a token"),
        ({"site": "L1.pattern"}, "one vector a token"),
        ({"width": 3}, "can't fire on a token"),
        ({"width": 1 << 20, "site": "L1.mlp_post"}, "smaller --width"),
        ({"name": "a/b"}, "no name for an SAE"),
        ({"corpus": "nowhere"}, "there is no corpus"),
        ({"kind": "gated"}, "kind: "),
        ({"batch": 4096}, "batch: "),
        ({"rate": 0}, "rate: "),
    ],
)
def test_mistakes_are_sentences(
    own_folders: Path, corpus: Path, changed: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench import execute as executing

    monkeypatch.setattr(executing, "free_memory", lambda device: 1 << 28)
    with pytest.raises(UserError, match=sentence):
        ran(corpus, **changed)
    assert not list_saes()


def test_a_name_that_is_taken_and_a_corpus_too_small(own_folders: Path, corpus: Path, tmp_path: Path) -> None:
    ran(corpus, name="first", passes=1)
    with pytest.raises(UserError, match="already"):
        ran(corpus, name="first")
    single = tmp_path / "single.txt"
    single.write_text("the capital of france is paris")
    with pytest.raises(UserError, match="too few to hold any out"):
        ran(single)
