"""arms: completions under edits of a direction, on a model whose truth is known."""

import numpy as np
import pytest
import torch
import transformers

from tests.experiments.refusing_arms import HARMFUL, HARMLESS, LAYER, SHORT, arms, ran, refusing_lab
from tests.lab.labs import new_report, source_of
from tests.lab.plain import Plain
from tests.tiny import CHAT_TEMPLATE, tiny_model
from workbench.api import OpenedLab
from workbench.artifacts.direction import Direction, directions_dir, write_direction
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiments._arms_views import add_views as drawn
from workbench.lab.generate import continue_all
from workbench.lab.model import load_lab
from workbench.session.writer import SessionWriter


@pytest.fixture(scope="module")
def refusing():
    return refusing_lab()


def test_the_planted_truth(refusing):
    report = ran(refusing)
    rows = arms(report)
    shares = {key: row["refusal"] for key, row in rows.items()}
    assert shares == {
        ("harmful", "base"): 1,
        ("harmful", "ablated"): 0,
        ("harmful", "−1 added"): 0,
        ("harmless", "base"): 0,
        ("harmless", "+1 added"): 1,
        ("harmless", "ablated"): 0,
    }
    assert rows["harmful", "ablated"]["high"] == pytest.approx(0.3903, abs=1e-4)  # Wilson, 0 of 6
    controls = [row for row in report.views["controls"].records() if row["control"]]
    assert len(controls) == 6
    assert all(abs(row["cosine"]) < 0.5 and row["n"] == 4 for row in controls)
    # A model of 64 numbers is easily upset: on some CPUs one of the random directions changes what it says, too.
    assert sum(row["refusal"] == (row["set"] == "harmful") for row in controls) >= 5
    assert "harmful refused 6 of 6 → 0 of 6 ablated" in report.headline
    assert "harmless refused 0 of 6 → 6 of 6 +1 added" in report.headline


def test_completions_and_kl_equal_plain_hooks_on_the_hugging_face_model(refusing):
    lab, folder, direction = refusing
    report = ran(refusing, shuffles=0, n=3)
    reference, vector = Plain(folder), torch.from_numpy(direction.numbers.copy())
    unit = vector / vector.norm()

    def ablated(stream):
        return stream - (stream @ unit)[..., None] * unit

    edits = {
        "base": [],
        "ablated": [(n, site, ablated) for n in range(4) for site in ("resid_pre", "attn_out", "mlp_out")],
        "−1 added": [(LAYER, "resid_pre", lambda stream: stream - vector)],
        "+1 added": [(LAYER, "resid_pre", lambda stream: stream + vector)],
    }
    kls: dict[tuple[str, str], list[float]] = {}
    texts = {}
    for name, rows in (("harmful", HARMFUL), ("harmless", HARMLESS)):
        for row in rows[:3]:
            ids = torch.from_numpy(lab.prompt(row["prompt"], chat=True).ids)[None]
            clean = reference.logits(ids, [])[0, -1].double().log_softmax(-1)
            for edit, changes in edits.items():
                grown = ids
                for _ in range(4):
                    grown = torch.cat([grown, reference.logits(grown, changes)[:, -1].argmax(-1)[:, None]], 1)
                after = reference.logits(ids, changes)[0, -1].double().log_softmax(-1)
                kls.setdefault((name, edit), []).append(float((clean.exp() * (clean - after)).sum()))
                texts[row["prompt"], edit] = grown[0, ids.shape[1] :].tolist()
    completions = report.views["completions"].records()
    assert len(completions) == 18
    for row in completions:
        expected = "".join(lab.token(index) for index in texts[row["prompt"], row["arm"]])
        assert row["completion"] == expected
    for key, row in arms(report).items():
        if key[1] != "base":
            assert row["kl"] == pytest.approx(np.mean(kls[key]), rel=1e-3)


def test_cross_entropy_equals_plain_hooks_and_only_own_tokens_count(refusing):
    lab, folder, direction = refusing
    report = ran(refusing, n=3, shuffles=1, text_tokens=200)
    reference, vector = Plain(folder), torch.from_numpy(direction.numbers.copy())
    unit = vector / vector.norm()
    edits = {
        "base": [],
        "ablated": [
            (n, site, lambda stream: stream - (stream @ unit)[..., None] * unit)
            for n in range(4)
            for site in ("resid_pre", "attn_out", "mlp_out")
        ],
        "−1 added": [(LAYER, "resid_pre", lambda stream: stream - vector)],
    }

    def losses(ids, first, changes):
        logp = reference.logits(torch.tensor([ids]), changes)[0].double().log_softmax(-1)
        return [-float(logp[at - 1, ids[at]]) for at in range(first, len(ids))]

    base = {row["prompt"]: row for row in report.views["completions"].records() if row["id"].endswith("-base")}
    expected: dict[tuple[str, str], list[list[float]]] = {}
    for edit, changes in edits.items():
        own, whole = [], []
        for row in HARMLESS[:3]:
            ids = lab.prompt(row["prompt"], chat=True).ids.tolist()
            grown = torch.tensor([ids])
            for _ in range(4):
                grown = torch.cat([grown, reference.logits(grown, [])[:, -1].argmax(-1)[:, None]], 1)
            assert base[row["prompt"]]["completion"]
            own.append(losses(grown[0].tolist(), len(ids), changes))
        for row in HARMLESS:
            whole.append(losses(lab.prompt(row["prompt"], chat=True).ids.tolist(), 1, changes))
        n = int(np.searchsorted(np.cumsum([len(each) for each in whole]), 200)) + 1
        expected["own completions", edit], expected["harmless instructions", edit] = own, whole[:n]
    rows = {(row["text"], row["edit"]): row for row in report.views["texts"].records()}
    assert len(rows) == 6
    for text in ("own completions", "harmless instructions"):
        before = expected[text, "base"]
        for edit in ("ablated", "−1 added"):
            row, after = rows[text, edit], expected[text, edit]
            counts = np.asarray([len(each) for each in before])
            assert row["tokens"] == counts.sum()
            assert row["documents"] == len(counts)
            assert row["base"] == pytest.approx(np.concatenate(before).mean(), rel=1e-4)
            assert row["edited"] == pytest.approx(np.concatenate(after).mean(), rel=1e-4)
            changes = np.asarray([sum(a) - sum(b) for a, b in zip(after, before, strict=True)])
            mu, d = changes.sum() / counts.sum(), len(counts)
            error = np.sqrt(d / (d - 1) * ((changes - counts * mu) ** 2).sum()) / counts.sum()
            assert row["change"] == pytest.approx(mu, abs=1e-4)
            assert row["change_se"] == pytest.approx(error, abs=1e-4)
    assert rows["own completions", "ablated"]["control_low"] is not None
    assert report.scalars["loss_own_change"] == pytest.approx(rows["own completions", "ablated"]["change"])


def test_a_third_set_and_ids(refusing):
    report = ran(refusing, alarming=HARMFUL[8:], n=2, shuffles=1, control_prompts=1)
    rows = arms(report)
    assert rows["alarming", "base"]["refusal"] == 1
    assert rows["alarming", "ablated"]["refusal"] == 0
    ids = [row["id"] for row in report.views["completions"].records()]
    assert len(set(ids)) == len(ids) == 2 * 8 + 3
    assert "harmful-1-ablated-control-1" in ids


def test_an_edit_that_changes_nothing_is_said(refusing):
    _, _, direction = refusing
    tiny = (direction.numbers * 1e-9).astype("<f4").tobytes()
    other = Direction(name="r", vector=tiny, origin=direction.origin)
    report = ran(refusing, direction=other, n=2)
    assert "changes nothing −1 added on harmful prompts and +1 added on harmless prompts" in report.headline
    assert any("not of shuffled labels" in note for note in report.notes)
    assert "random directions" in report.views["controls"].note


def test_a_cancel_keeps_what_is_there(refusing):
    def between():
        if "arms" in report.views:
            raise Cancelled

    report = new_report(between)
    with pytest.raises(Cancelled):
        ran(refusing, report)
    assert arms(report)["harmful", "base"]["n"] >= 1


@pytest.fixture
def session(refusing, tmp_path):
    """A way to run arms in one session file, and the rows that were generated meanwhile, by run."""
    lab, _, direction = refusing
    directions_dir().mkdir(parents=True, exist_ok=True)
    file = directions_dir() / "r.safetensors"
    write_direction(direction, file)
    path = tmp_path / "s.db"

    def run(monkeypatch, after=None, **params):
        generated, views = [], []

        def counted(lab, rows, *args, **kwargs):
            generated.extend(rows)
            return continue_all(lab, rows, *args, **kwargs)

        def add_views(arms, prompts, report):
            drawn(arms, prompts, report)
            views.append(arms)
            if len(views) == after:
                raise Cancelled

        monkeypatch.setattr("workbench.lab.generate.continue_all", counted)
        monkeypatch.setattr("workbench.experiments.arms.add_views", add_views)
        sets = {"harmful": [row["prompt"] for row in HARMFUL], "harmless": [row["prompt"] for row in HARMLESS]}
        with OpenedLab(lab, SessionWriter(path)) as opened:
            try:
                return opened.run("arms", direction="@r", **{**SHORT, **sets, **params}), len(generated)
            except Cancelled:
                return None, len(generated)

    return run, path, file


def test_it_goes_on_where_it_was_cancelled(refusing, session, monkeypatch):
    run, _, _ = session
    whole = ran(refusing, text_tokens=200)
    n_rows = 2 * 3 * 6 + (2 + 1) * 2 * 4
    # All six harmful prompts are there, and the fourth harmless one.
    assert run(monkeypatch, after=10, text_tokens=200)[0] is None
    # Cancelled again before it comes to the harmless ones: those of the first run are not lost.
    assert run(monkeypatch, after=1, text_tokens=200) == (None, 0)
    resumed, n_new = run(monkeypatch, text_tokens=200)
    assert n_new == n_rows - 3 * 6 - 3 * 4
    assert "30 completions are those of steps 1, 2" in resumed.notes
    assert resumed.headline == whole.headline
    for key in ("arms", "controls", "texts", "completions", "measured"):
        for new, old in zip(resumed.views[key].rows, whole.views[key].rows, strict=True):
            assert new == pytest.approx(old, rel=1e-5, abs=1e-6) or new == old, key
    again, n_new = run(monkeypatch, text_tokens=200)
    assert (n_new, again.headline) == (0, whole.headline)
    assert f"{n_rows} completions are those of step 3" in again.notes
    other, n_new = run(monkeypatch, text_tokens=200, tokens=3)
    assert n_new == n_rows
    assert not any("are those of step" in note for note in other.notes)


def test_more_prompts_and_longer_texts_go_on_from_the_completions_that_are_there(refusing, session, monkeypatch):
    run, _, _ = session
    _, n_few = run(monkeypatch, n=3, control_prompts=2, text_tokens=0)
    assert n_few == 2 * 3 * 3 + (2 + 1) * 2 * 2
    sets = {"text_tokens": 200, "instructions": [{"prompt": "one two three"}, {"prompt": "four five"}]}
    whole = ran(refusing, **sets)
    more, n_new = run(monkeypatch, **sets)
    assert n_new == 2 * 3 * 3 + (2 + 1) * 2 * 2
    assert f"{n_few} completions are those of step 1" in more.notes
    assert more.headline == whole.headline
    texts = more.views["texts"].records()
    assert {row["text"] for row in texts} == {"ordinary text (stdlib)", "instructions", "own completions"}
    # two prompts of three and two words in the template of the tiny model, position 0 left out
    assert {row["documents"] for row in texts if row["text"] == "instructions"} == {2}


def test_completions_under_another_direction_are_not_taken(refusing, session, monkeypatch):
    run, path, file = session
    run(monkeypatch, after=2)
    file.unlink()
    direction = refusing[2]
    write_direction(
        Direction(name="r", vector=(direction.numbers * 2).astype("<f4").tobytes(), origin=direction.origin), file
    )
    with SessionWriter(path) as writer:
        writer.remove_artifact("direction", "r")
    resumed, n_new = run(monkeypatch)
    assert n_new == 2 * 3 * 6 + (2 + 1) * 2 * 4
    assert not any("are those of step" in note for note in resumed.notes)


def test_what_can_not_be_run_is_a_sentence(refusing):
    with pytest.raises(UserError, match="no direction"):
        execute(refusing[0], "arms", {"harmful": HARMFUL, "harmless": HARMLESS}, [], 0, new_report())
    with pytest.raises(UserError, match="no harmless prompts"):
        ran(refusing, harmless=[])
    with pytest.raises(UserError, match="--layer L14"):
        ran(refusing, direction=Direction(name="r", vector=refusing[2].vector))
    with pytest.raises(UserError, match="no layer L7"):
        ran(refusing, layer="L7")
    with pytest.raises(UserError, match="prompt 1 of the harmful ones"):
        ran(refusing, harmful=[{"prompt": "the " * 400}])


def test_a_model_that_reasons_answers_after_its_empty_think_block(tmp_path):
    folder = tiny_model("llama", tmp_path / "thinks")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("assistant\n' }}", "assistant\n<think>\n' }}")
    tokenizer.save_pretrained(folder)
    lab, report = load_lab(source_of(folder), device="cpu", dtype="float32"), new_report()
    given = {"direction": "@L1.N2.out", "layer": "L1", "harmful": HARMFUL, "harmless": HARMLESS, **SHORT, "n": 2}
    execute(lab, "arms", {**given, "shuffles": 0}, [], 0, report)
    reference = Plain(folder)
    base = [row for row in report.views["completions"].records() if row["id"].endswith("-base")]
    measured = {row["id"]: row for row in report.views["measured"].records()}
    assert len(base) == 4
    for row in base:
        text = f"<|im_start|>user\n{row['prompt']}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        for _ in range(4):
            ids = torch.cat([ids, reference.logits(ids)[:, -1].argmax(-1)[:, None]], 1)
        assert measured[row["id"]]["ids"] == " ".join(map(str, ids[0, -4:].tolist()))
