"""steer: effect against damage, beside random directions and a prompt."""

import math

import msgspec
import numpy as np
import pytest
import torch

from tests.lab.labs import new_report, source_of
from tests.lab.plain import Plain
from tests.lab.planted import ANSWER, PROMPT, Planted
from workbench.artifacts.direction import UNKNOWN, Direction, Origin
from workbench.errors import Cancelled, UserError
from workbench.execute import execute
from workbench.experiments._completions import Completion
from workbench.experiments._steered import Arm, Measure, Steered, nearest_strengths
from workbench.experiments.steer import Params, _layers
from workbench.lab.model import load_lab

SET = [{"prompt": PROMPT}, {"prompt": "The capital of Italy is"}, {"prompt": "The city of London is in"}]
SHORT = {"tokens": 5, "layers": [1, 2], "strengths": [-4, 0, 1, 2, 8], "random": 3}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A lab, its folder, and the unit direction that its answer is read along."""
    model = Planted()
    folder = model.save(tmp_path_factory.mktemp("planted") / "model")
    return load_lab(source_of(folder), device="cpu", dtype="float32"), folder, model.toward


def ran(planted, report=None, seed=0, origin=UNKNOWN, size=1.0, **params):
    lab, _, toward = planted
    report = report or new_report()
    vector = (size * toward).detach().numpy().astype("<f4").tobytes()
    directions = {"d": Direction(name="d", vector=vector, origin=origin)}
    execute(lab, "steer", {"direction": "@d", **SHORT, **params}, [], seed, report, directions)
    return report


def cells(report, layer):
    return [row for row in report.views["cells"].records() if row["what"] == f"L{layer}"]


def test_the_effect_of_a_wired_direction_rises_and_random_ones_do_nothing(planted):
    report = ran(planted, prompts=SET, target=ANSWER)
    for layer in (1, 2):
        rows = cells(report, layer)
        assert [row["strength"] for row in rows] == [-4, 1, 2, 8]
        effects = [row["effect"] for row in rows]
        clean = report.scalars["effect_clean"]
        assert effects == sorted(effects)
        assert effects[0] < clean < effects[1]
        assert effects[-1] > clean + 1.5
    random = report.views["random"].records()
    assert len(random) == 3
    for row in random:
        assert row["n"] == 3
        assert abs(row["median"] - clean) < 0.3 * abs(row["effect"] - clean)
    assert next(iter(report.views)) == "front"


def test_numbers_equal_plain_hooks_on_the_hugging_face_model(planted):
    lab, folder, toward = planted
    report = ran(planted, prompts=SET, target=ANSWER, layers=[1], strengths=[20], tokens=6, random=0)
    reference = Plain(folder)
    change = (1, "resid_pre", lambda stream: stream + 20 * toward)

    def greedy(ids, changes):
        for _ in range(6):
            ids = torch.cat([ids, reference.logits(ids, changes)[:, -1].argmax(-1)[:, None]], 1)
        return ids

    surprises = {"clean": [], "steered": []}
    odds_before, odds, kls = [], [], []
    for row in SET:
        prompt = torch.from_numpy(lab.prompt(row["prompt"]).ids)[None]
        n = prompt.shape[1]
        for name, changes in (("clean", []), ("steered", [change])):
            text = greedy(prompt, changes)
            logp = reference.logits(text)[0].double().log_softmax(-1)
            surprises[name].append(np.mean([-float(logp[at - 1, text[0, at]]) for at in range(n, text.shape[1])]))
        before, after = (
            reference.logits(prompt, changes)[0, -1].double().log_softmax(-1) for changes in ([], [change])
        )
        kls.append(float((before.exp() * (before - after)).sum()))
        for logps, kept in ((before, odds_before), (after, odds)):
            p = float(logps[lab.answer_token(ANSWER).id].exp())
            kept.append(math.log(p / (1 - p)))
    (cell,) = cells(report, 1)
    assert cell["perplexity"] == pytest.approx(math.exp(np.mean(surprises["steered"])), rel=1e-4)
    assert cell["ratio"] == pytest.approx(
        math.exp(np.mean(surprises["steered"]) - np.mean(surprises["clean"])), rel=1e-4
    )
    assert cell["kl"] == pytest.approx(np.mean(kls), rel=1e-4)
    assert cell["effect"] == pytest.approx(np.mean(odds), abs=1e-3)
    changes = np.asarray(odds) - odds_before
    assert cell["change"] == pytest.approx(np.mean(changes), abs=1e-3)
    assert cell["high"] == pytest.approx(np.mean(changes) + 1.96 * np.std(changes, ddof=1) / math.sqrt(3), abs=2e-3)


def test_completions_that_match_are_counted(planted):
    report = ran(planted, prompts=SET, matches="Paris", strengths=[1, 2, 8], layers=[2], tokens=3)
    cell = cells(report, 2)[-1]
    texts = [row for row in report.views["completions"].records() if row["strength"] == 8]
    share = np.mean(["Paris" in row["completion"] for row in texts])
    assert share == 1
    assert cell["effect"] == share
    assert cell["low"] == pytest.approx(0.4385, abs=1e-4)  # Wilson, 3 of 3
    assert "share matching 'Paris'" in report.headline


def test_a_request_as_a_prompt_stands_beside_it_or_is_said_to_be_missing(planted):
    report = ran(planted, prompt=PROMPT, target=ANSWER)
    assert any("--as-prompt" in note for note in report.notes)
    report = ran(planted, prompt=PROMPT, target=ANSWER, as_prompt="Say Paris.")
    assert not any("--as-prompt" in note for note in report.notes)
    assert "as a prompt: " in report.headline
    lab = planted[0]
    row = next(row for row in report.views["cells"].records() if row["what"] == "as a prompt")
    p = np.exp(lab.forward(lab.prompt(f"Say Paris.\n\n{PROMPT}")).log_prob(np.asarray([lab.answer_token(ANSWER).id])))
    assert row["effect"] == pytest.approx(math.log(p[0] / (1 - p[0])), abs=1e-3)


def test_the_request_goes_into_a_user_turn_or_into_the_system_turn(planted):
    lab = planted[0]
    text, request = "the capital of France", "Answer in one word."
    common = {"prompt": text, "target": ANSWER, "as_prompt": request, "chat": True, "random": 0}
    tokens = lab.model.tokens
    for place, turns in (
        ("user", [{"role": "user", "content": f"{request}\n\n{text}"}]),
        ("system", [{"role": "system", "content": request}, {"role": "user", "content": text}]),
    ):
        report = ran(planted, **common, as_prompt_in=place)
        rendered = tokens.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        forward = lab.forward(lab.prompt(rendered))
        p = np.exp(forward.log_prob(np.asarray([lab.answer_token(ANSWER).id])))[0]
        row = next(row for row in report.views["cells"].records() if row["what"] == "as a prompt")
        assert row["effect"] == pytest.approx(math.log(p / (1 - p)), abs=1e-3)


def test_it_steers_the_next_answer_of_a_chat_whose_turns_stay_before_the_request_too(planted):
    lab = planted[0]
    talk = [{"role": "user", "content": "The capital of Italy is"}, {"role": "assistant", "content": " Rome."}]
    common = {"prompt": "the capital of France", "target": ANSWER, "chat": True, "messages": talk, "random": 0}
    report = ran(planted, **common, as_prompt="Be brief.", as_prompt_in="system")
    tokenizer, target = lab.model.tokens.tokenizer, np.asarray([lab.answer_token(ANSWER).id])
    turns = [*talk, {"role": "user", "content": common["prompt"]}]
    for what, asked in (("clean", turns), ("as a prompt", [{"role": "system", "content": "Be brief."}, *turns])):
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        p = np.exp(lab.forward(lab.prompt(text)).log_prob(target))[0]
        row = next(row for row in report.views["cells"].records() if row["what"] == what)
        assert row["effect"] == pytest.approx(math.log(p / (1 - p)), abs=1e-3)
    (step, *_) = report.next_steps
    assert (step.experiment, step.params["messages"]) == ("generate", talk)


@pytest.mark.parametrize(
    ("n_layers", "own", "layers"),
    [(30, None, [7, 15, 22]), (30, 12, [7, 12, 17]), (30, 2, [2, 7]), (3, 2, [1, 2]), (12, 14, [3, 6, 9])],
)
def test_the_layers_are_the_direction_s_own_and_two_neighbours(planted, n_layers, own, layers):
    info = msgspec.structs.replace(planted[0].info, n_layers=n_layers)
    assert _layers(Params(), info, own) == layers
    assert _layers(Params(layers=[4, 4, 1]), info, own) == [4, 1]


def test_a_direction_that_knows_its_layer_is_added_there(planted):
    report = ran(planted, prompt=PROMPT, target=ANSWER, layers=[], origin=Origin(layer=2))
    assert [row["layer"] for row in report.views["layers"].records()] == ["L1", "L2"]


def test_what_the_random_directions_said_is_kept(planted):
    report = ran(planted, prompts=SET, target=ANSWER)
    rows = report.views["random_completions"].records()
    assert len(rows) == len(SET) * 3 * 3  # prompts, strengths, random directions
    assert {row["draw"] for row in rows} == {1, 2, 3}
    assert list(report.views)[-1] == "random_completions"
    chosen = [row for row in rows if row["strength"] == report.scalars["strength"]]
    by_draw = [np.mean([row["effect"] for row in chosen if row["draw"] == draw]) for draw in (1, 2, 3)]
    assert np.median(by_draw) == pytest.approx(report.scalars["effect_random_median"])


def test_an_edit_that_changes_nothing_is_said(planted):
    report = ran(planted, prompt=PROMPT, target=ANSWER, layers=[1], strengths=[-1, 1], random=0, size=1e-12)
    assert "changes nothing at any strength: KL " in report.headline
    report = ran(planted, prompt=PROMPT, target=ANSWER, layers=[1], strengths=[1e-12, 8], random=0)
    assert "changes nothing at L1 +1.0e-12: KL" in report.headline
    assert "changes nothing" not in ran(planted, prompt=PROMPT, target=ANSWER, random=0).headline


def test_answers_of_a_set_are_their_own_targets(planted):
    answers = [{**row, "answer": answer} for row, answer in zip(SET, (" Paris", " Rome", " England"), strict=True)]
    report = ran(planted, prompts=answers, layers=[1], strengths=[1], random=0)
    assert "log-odds of the answer" in report.headline


def test_a_single_prompt_has_no_interval(planted):
    report = ran(planted, prompt=PROMPT, target=ANSWER, strengths=[1], layers=[1])
    assert cells(report, 1)[0]["low"] is None
    assert report.scalars["layer"] == 1
    assert report.next_steps[0].edits == ["L1.resid_pre+=@d"]


def test_isotropic_directions_only_where_asked_for(planted):
    common = {"prompt": PROMPT, "target": ANSWER, "strengths": [1], "layers": [1], "tokens": 2}
    assert "covariance" in ran(planted, **common).headline
    assert "isotropic" in ran(planted, **common, isotropic=True).headline


def test_draws_at_a_temperature_follow_the_seed(planted):
    def texts(seed):
        report = ran(planted, seed=seed, prompt=PROMPT, target=ANSWER, temperature=1.0, random=0)
        return [row["completion"] for row in report.views["completions"].records()]

    assert texts(1) == texts(1) != texts(2)


def test_a_strength_longer_than_the_stream_is_said(planted):
    report = ran(planted, prompt=PROMPT, target=ANSWER, strengths=[600], layers=[1], random=0)
    assert any("× the stream's own norm" in note for note in report.notes)
    assert not any("× the stream's own norm" in note for note in ran(planted, prompt=PROMPT, target=ANSWER).notes)


def test_it_can_be_cancelled_and_keeps_the_prompts_that_are_done(planted):
    counted = {"turns": 0}

    def stop():
        counted["turns"] += 1
        if len(report.views) and counted["turns"] > 6:
            raise Cancelled

    report = new_report(stop)
    many = SET * 6
    with pytest.raises(Cancelled):
        ran(planted, report=report, prompts=many, target=ANSWER, tokens=4)
    assert 0 < len(report.views["completions"].rows) < len(many) * 7
    assert report.headline
    assert report.progress.unit == "tokens"
    assert 0 < report.progress.done < report.progress.total


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"target": ANSWER, "direction": ""}, "no direction"),
        ({}, "measure other than the direction"),
        ({"target": ANSWER, "matches": "x"}, "leave one out"),
        ({"matches": "(x"}, "no regular expression"),
        ({"target": ANSWER, "strengths": [0]}, "no strength other than 0"),
        ({"target": ANSWER, "layers": [7]}, "3 layers"),
        ({"target": ANSWER, "as_prompt": "x", "as_prompt_in": "system"}, "needs --chat"),
        ({"target": ANSWER, "prompt": "The" + " the" * 255}, "all that"),
    ],
)
def test_what_can_not_be_run_is_a_sentence(planted, params, problem):
    with pytest.raises(UserError, match=problem):
        ran(planted, **{"prompt": PROMPT, **params})


def test_a_target_of_several_tokens_is_said(planted):
    report = ran(planted, prompt=PROMPT, target=" Parisian", layers=[1], strengths=[5], random=0, tokens=2)
    assert any("its first" in note for note in report.notes)


# --- what is chosen, on numbers made by hand -----------------------------------------------------------


def made(effects, log_ratios):
    return [
        Completion("t", 4, ratio, 0.0, effect, (1.0, 1.0), False, "")
        for effect, ratio in zip(effects, log_ratios, strict=True)
    ]


def steered(random_effect, aim="more"):
    flat = [0.0, 0.0, 0.0]
    clean = Arm("clean", completions=made([0, 0.1, -0.1], flat))
    weak = Arm("steered", 3, 1.0, made([1.1, 1.1, 0.8], [0.1] * 3))
    strong = Arm("steered", 3, 2.0, made([5, 5.1, 4.9], [0.5] * 3))
    backwards = Arm("steered", 3, -1.0, made([-4, -4.1, -3.9], [0.3] * 3))
    random = [Arm("random", 3, 1.0, made([effect] * 3, flat)) for effect in (-0.2, 0.0, random_effect)]
    return Steered(Measure("x"), aim, clean, [backwards, weak, strong], random=random), weak, strong, backwards


def test_the_best_is_the_most_effect_that_is_not_broken():
    result, weak, strong, backwards = steered(0.2)
    assert result.best(result.cells) is weak  # e^.5 is beyond 1.5
    assert result.breaks(3, 1) is strong
    assert result.breaks(3, -1) is None
    same = Arm("steered", 5, 1.0, made([1.1, 1.1, 0.8], [0.05] * 3))
    assert result.best([*result.cells, same]) is same  # as much for less damage
    less, _, _, backwards = steered(0.2, "less")
    assert less.best(less.cells) is backwards


def test_it_stands_out_with_its_whole_interval_or_not_at_all():
    result, weak, *_ = steered(0.2)
    assert result.stands_out(weak)
    result, weak, *_ = steered(0.95)  # within the change's interval, 1 ± .11
    assert not result.stands_out(weak)


def test_random_strengths_are_the_nearest_three():
    cells = [Arm("steered", 3, strength) for strength in (-4, -1, 1, 2, 4, 8)] + [Arm("steered", 5, 3)]
    assert nearest_strengths(cells[3], cells, 3) == [1, 2, 4]
    assert nearest_strengths(cells[0], cells, 3) == [-4, -1, 1]
