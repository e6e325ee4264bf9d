"""The `index` experiment: what it says, what a cancel keeps, what it refuses; and the card it leads to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_model
from workbench.artifacts.sae import find_sae
from workbench.errors import Cancelled, GrammarError, UserError
from workbench.execute import execute
from workbench.experiments import experiment
from workbench.index.features import FeatureIndex, open_any
from workbench.index.reader import NeuronIndex
from workbench.index.store import best_index, indexes_dir, list_indexes, verify
from workbench.lab.finding import identity
from workbench.lab.finding.fingerprint import fingerprint
from workbench.lab.finding.source import ModelSource, resolve
from workbench.lab.model import Lab, load_lab
from workbench.lab.progress import StageListener
from workbench.report import Report

WORDS = "The capital of France is Paris . May list ( one , two ) 3 self When Mary and John"


class Sink:
    """Cancels after some batches; keeps how the progress went."""

    def __init__(self, cancel_after: int = 1 << 30) -> None:
        self.left = cancel_after
        self.stages: list[str] = []
        self.done: list[float] = []

    def changed(self, report: Report) -> None:
        pass

    streamed = changed

    def between_batches(self, report: Report) -> None:
        if report.progress.stage not in self.stages:
            self.stages.append(report.progress.stage)
        if report.progress.unit == "tokens":
            self.done.append(report.progress.done)
            self.left -= 1
            if self.left < 0:
                raise Cancelled


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("model") / "llama"
    tiny_model("llama", folder)
    lab = load_lab(resolve(str(folder)))
    lab.set_fingerprint("c" * 64)
    return lab


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    drawn = random.Random(1)
    words = WORDS.split()
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.txt").write_text(" ".join(drawn.choice(words) for _ in range(drawn.randrange(50, 200))))
    return str(folder)


def run(lab: Lab, name: str, sink: Sink | None = None, **params: Any) -> Report:
    report = Report(sink or Sink())
    execute(lab, name, params, [], 0, report)
    return report


def test_it_builds_both_parts_and_says_what_it_costs(lab: Lab, corpus: str) -> None:
    sink = Sink()
    report = run(lab, "index", sink, corpus=corpus, tokens=2000, explain=True)
    assert sink.stages[0] == "what follows from the weights alone"
    assert sink.done == sorted(sink.done)
    assert sink.done[-1] >= 2000
    assert "192 neurons on" in report.headline
    assert any("of memory and" in note and "tokens/s" in note for note in report.notes)
    index = NeuronIndex.open(best_index(lab.info))
    assert any(index.corpus.hash in note for note in report.notes)
    assert verify(index.folder) == []
    assert report.scalars["tokens"] == index.n_tokens >= 2000
    again = run(lab, "index", corpus=corpus, tokens=2000, explain=True)
    assert "all of it was there already" in again.headline
    more = run(lab, "index", corpus=corpus, tokens=1 << 40, explain=True)
    assert "the corpus has no more" in more.headline
    assert NeuronIndex.open(index.folder).n_tokens > index.n_tokens


def test_cancel_keeps_what_is_done_and_the_same_command_goes_on(lab: Lab, corpus: str) -> None:
    sink = Sink(cancel_after=2)
    with pytest.raises(Cancelled):
        run(lab, "index", sink, corpus=corpus, tokens=4000)
    kept = NeuronIndex.open(best_index(lab.info))
    assert 0 < kept.n_tokens < 4000
    assert not kept.complete
    assert kept.card(0, 0).high
    assert verify(kept.folder) == []
    report = run(lab, "index", corpus=corpus, tokens=4000)
    assert any("goes on after" in note for note in report.notes)
    assert NeuronIndex.open(kept.folder).complete


def test_weights_alone(lab: Lab) -> None:
    report = run(lab, "index", tokens=0)
    assert "can be browsed by their weights" in report.headline
    assert [path.name for path in indexes_dir().iterdir()] == ["weights-" + "c" * 12]
    card = run(lab, "neuron", unit="L1.N3")
    assert "promotes" in card.headline
    assert "examples" not in card.views
    with pytest.raises(UserError, match="there is only the weights part"):
        run(lab, "unusual", prompt="The capital of France")


def test_a_corpus_that_is_none_is_said_before_anything_is_made(lab: Lab) -> None:
    with pytest.raises(UserError, match="no corpus 'nowhere'"):
        run(lab, "index", corpus="nowhere")
    assert not indexes_dir().exists()


@pytest.fixture
def unhashed(tmp_path: Path) -> Lab:
    """A model whose weights have not been read for their fingerprint."""
    lab = load_lab(resolve(str(tiny_model("llama", tmp_path / "m"))))
    assert not lab.info.fingerprint
    return lab


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The reading of weights begins when this is set."""
    event = threading.Event()

    def waits(source: ModelSource, progress: StageListener) -> str:
        event.wait(20)
        return fingerprint(source, progress)

    monkeypatch.setattr(identity, "fingerprint", waits)
    yield event
    event.set()


class Waiting(Sink):
    """Does something between two looks at whether the fingerprint is known."""

    def __init__(self, do: Callable[[Report], None]) -> None:
        super().__init__()
        self.do = do

    def between_batches(self, report: Report) -> None:
        super().between_batches(report)
        if report.progress.stage.startswith("waiting"):
            self.do(report)


@pytest.mark.parametrize("name", ["index", "neuron"])
def test_what_needs_the_fingerprint_waits_for_it_and_says_so(name: str, unhashed: Lab, held: threading.Event) -> None:
    looks: list[tuple[str, str]] = []

    def look(report: Report) -> None:
        looks.append((report.progress.unit, report.progress.stage))
        if len(looks) > 2:
            held.set()

    run(unhashed, name, Waiting(look), **({"tokens": 0} if name == "index" else {"unit": "L1.N3"}))
    assert len(looks) > 2
    assert set(looks) == {("MB", "waiting until the weights are read for their fingerprint")}
    assert unhashed.info.fingerprint == fingerprint(resolve(unhashed.info.ref))
    assert best_index(unhashed.info).exists()


def test_waiting_for_the_fingerprint_can_be_cancelled(unhashed: Lab, held: threading.Event) -> None:
    def cancel(report: Report) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(unhashed, "index", Waiting(cancel), tokens=0)
    assert not indexes_dir().exists()


def test_weights_that_can_not_be_read_are_a_sentence_and_are_read_again(
    unhashed: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(source: ModelSource, progress: StageListener) -> str:
        raise UserError("model.safetensors cannot be read: it is gone")

    with monkeypatch.context() as patched:
        patched.setattr(identity, "fingerprint", fails)
        with pytest.raises(UserError, match="cannot be read: it is gone"):
            run(unhashed, "index", tokens=0)
    run(unhashed, "index", tokens=0)
    assert unhashed.info.fingerprint


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("neuron", {"unit": "L1.H0"}, "is no neuron"),
        ("neuron", {}, "no neuron named"),
        ("neuron", {"unit": "L9.N0"}, "no layer 9"),
        ("unusual", {"prompt": "a"}, "single token"),
        ("find-neuron", {"rule": ""}, "say what to look for"),
        ("find-neuron", {"rule": "/(/"}, "the pattern is not one"),
        ("find-neuron", {"rule": "zzzzqqqq"}, "is not one token"),
        ("find-neuron", {"rule": "is_comma", "units": "L0.H1"}, "names no neuron"),
        ("find-neuron", {"rule": "is_comma", "index": "nothing"}, "there is no index"),
        ("index", {"context": 1}, "context"),
        ("index", {"tokens": -1}, "tokens"),
    ],
)
def test_mistakes_are_sentences(lab: Lab, corpus: str, name: str, params: dict[str, Any], sentence: str) -> None:
    run(lab, "index", corpus=corpus, tokens=200)
    with pytest.raises((UserError, GrammarError), match=sentence):
        run(lab, name, **params)


def test_a_rule_needs_documents_that_were_not_seen(lab: Lab, corpus: str) -> None:
    run(lab, "index", corpus=corpus, tokens=1 << 40)
    with pytest.raises(UserError, match=r"every document .* is in the index"):
        run(lab, "find-neuron", rule="' Paris'", units="L0.N1")


def test_the_build_is_a_batch_that_others_interrupt() -> None:
    assert experiment("index").long
    assert not experiment("neuron").long


def test_a_step_records_the_index_and_its_revision(lab: Lab, corpus: str) -> None:
    made, again, read = (Report(Sink()) for _ in range(3))
    execute(lab, "index", {"corpus": corpus, "tokens": 300, "context": 16, "top": 3}, [], 0, made)
    execute(lab, "index", {"corpus": corpus, "tokens": 300, "context": 16, "top": 3}, [], 0, again)
    execute(lab, "neuron", {"unit": "L1.N3"}, [], 0, read)
    folder = best_index(lab.info)
    for report, role in ((made, "made"), (again, "used"), (read, "used")):
        (use,) = report.artifacts
        assert (use.role, use.name) == (role, folder.name)
        assert use.content.spec["folder"] == str(folder)
        assert use.content.fingerprint == lab.info.fingerprint
    assert read.artifacts[0].content.spec["revision"] == NeuronIndex.open(folder).revision
    assert made.artifacts[0].content.spec["revision"] > 0


@pytest.fixture
def sae(lab: Lab) -> str:
    from tests.lab.sae.made import keep
    from tests.lab.sae.test_features import random_sae

    return keep(random_sae(), "res-1")


def test_an_sae_s_features_are_an_index_of_their_own(lab: Lab, corpus: str, sae: str) -> None:
    report = run(lab, "index", corpus=corpus, tokens=1500, sae=sae, explain=True)
    (info,) = [info for info in list_indexes() if info.kind == "features"]
    index = open_any(Path(info.path))
    assert isinstance(index, FeatureIndex)
    assert (info.sae, info.sae_hash) == (sae, find_sae(sae).hash)
    assert f"{index.units.n} features of {sae} on" in report.headline
    assert "never fire" in report.headline
    assert report.scalars["dead"] == (index.columns["frequency"].values == 0).sum()
    rows = report.views["features"].rows
    shares = [row[1] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert rows[0][0] == index.unit(int(index.columns["frequency"].values.argmax()))
    assert "families" not in report.views
    assert report.next_steps[0].params == {"unit": rows[0][0]}
    assert {use.content.kind for use in report.artifacts} >= {"SAE", "index"}
    again = run(lab, "index", corpus=corpus, tokens=1500, sae=sae, explain=True)
    assert "all of it was there already" in again.headline


def test_a_cancelled_index_of_features_goes_on(lab: Lab, corpus: str, sae: str) -> None:
    with pytest.raises(Cancelled):
        run(lab, "index", Sink(cancel_after=2), corpus=corpus, tokens=4000, sae=sae)
    (info,) = [info for info in list_indexes() if info.kind == "features"]
    assert 0 < info.tokens < 4000
    report = run(lab, "index", corpus=corpus, tokens=4000, sae=sae)
    assert any("goes on after" in note for note in report.notes)
    assert open_any(Path(info.path)).complete


def test_an_sae_that_changed_is_indexed_anew(lab: Lab, corpus: str, sae: str) -> None:
    from tests.lab.sae.made import keep
    from tests.lab.sae.test_features import random_sae
    from workbench.artifacts._folder import remove_folder

    run(lab, "index", corpus=corpus, tokens=500, sae=sae)
    remove_folder(find_sae(sae))
    changed = random_sae()
    changed.tensors["b_enc"] += 0.1
    keep(changed, sae)
    run(lab, "index", corpus=corpus, tokens=500, sae=sae)
    hashes = [info.sae_hash for info in list_indexes() if info.kind == "features"]
    assert len(set(hashes)) == 2


def test_what_no_index_of_features_can_be_made_of(lab: Lab, corpus: str, sae: str) -> None:
    with pytest.raises(UserError, match="there is no SAE 'other': there are res-1"):
        run(lab, "index", corpus=corpus, tokens=500, sae="other")
    with pytest.raises(UserError, match="what features do is read on text"):
        run(lab, "index", tokens=0, sae=sae)
    from tests.lab.sae.made import keep
    from tests.lab.sae.test_features import random_sae

    keep(random_sae(hook="blocks.9.hook_resid_post"), "deep")
    with pytest.raises(UserError, match="for layer 9"):
        run(lab, "index", corpus=corpus, tokens=500, sae="deep")


def test_where_neurons_are_needed_an_index_of_features_is_refused(lab: Lab, corpus: str, sae: str) -> None:
    run(lab, "index", corpus=corpus, tokens=500, sae=sae)
    (info,) = [info for info in list_indexes() if info.kind == "features"]
    with pytest.raises(UserError, match="holds features of the SAE res-1, and this needs an index of neurons"):
        run(lab, "neuron", unit="L0.N1", index=info.name)
