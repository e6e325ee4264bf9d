"""What a run will take: counted before it begins, measured once, the same for every front."""

import msgspec
import pytest

from tests.lab.labs import PROMPT, Sink, tiny_lab
from workbench import cost
from workbench.batch_memory import TOKENS, batch_bytes
from workbench.errors import UserError
from workbench.execute import execute
from workbench.experiments import experiment, experiments
from workbench.lab.editing import CLEAN
from workbench.params import make_params
from workbench.report import Report
from workbench.text import size


@pytest.fixture
def info():
    return tiny_lab("llama").info


PLACES = {"texts": [{"text": text, "spans": [[0, 3, 1]]} for text in ("The city", "You gave")]}
SHORT = {
    "why": {"prompt": PROMPT, "controls": 4, "n": 5, "unrelated": 1},
    "sweep": {"prompt": PROMPT, "n": 5, "others": 4},
    "patch": {"prompt": PROMPT, "corrupted": "The capital of Tokyo is"},
    "effect": {"prompt": PROMPT, "controls": 4},
    "steer": {"prompt": PROMPT, "direction": "@L1.N2.out", "target": " Paris", "tokens": 4, "layers": [1], "random": 2},
    "direction": {
        "name": "city",
        "positive": [{"prompt": f"The capital of {name} is"} for name in "ABCDEFGHIJ"],
        "negative": [{"prompt": f"{name} is wide and the"} for name in "ABCDEFGHIJ"],
    },
    "arms": {
        "direction": "@L1.N2.out",
        "harmful": [{"prompt": f"The capital of {name} is"} for name in "AB"],
        "harmless": [{"prompt": f"{name} is wide and the"} for name in "AB"],
        "tokens": 2,
        "shuffles": 1,
        "text_tokens": 64,
    },
    "refusal": {"train": 16, "validation": 8, "test": 8, "positions": 1},
    "neuron-probe": {"data": PLACES},
    "sparse-probe": {"data": PLACES},
    "dense-probe": {"data": PLACES},
    "probe-ablate": {"data": PLACES, "units": "L1.N3"},
    "battery": {"data": [PLACES]},
    "feature": {"unit": "L1.F3", "tokens": 256},
    "features": {"prompt": PROMPT, "tokens": 256},
    "sae-check": {"tokens": 256},
    "sae-errors": {"tokens": 256},
    "index": {"corpus": "stdlib", "tokens": 600, "context": 64},
    "project": {"direction": "@L1.N3.out", "corpus": "stdlib", "tokens": 600, "context": 64},
    "sae-train": {"site": "L1.resid_post", "tokens": 256, "held_out": 64},
}


def test_what_takes_long_says_so_and_nothing_else():
    assert {name for name, one in experiments().items() if one.cost} == set(SHORT)


def test_without_a_measured_rate_there_is_work_but_no_time(info):
    line = cost.cost_line("why", SHORT["why"], info)
    assert line.endswith("passes of 6 tokens")
    assert "about" not in line
    assert cost.cost_line("predict", {"prompt": PROMPT}, info) == ""
    assert cost.cost_line("why", {"size": "many"}, info) == ""  # a form that is still being typed


def test_the_same_experiments_own_rate_is_taken_else_that_of_a_pass(info):
    work = cost.cost_of("sweep", SHORT["sweep"], info)
    cost.remember(info, cost.FORWARD, 100, 1)
    assert cost.seconds_of("sweep", work, info) == pytest.approx(work.work / 100)
    cost.remember(info, "sweep", 1e9, 1e9 / 300)
    assert cost.seconds_of("sweep", work, info) == pytest.approx(work.work / 300)
    cost.remember(info, "sweep", 1e9, 1e9 / 100)
    assert cost.measured(info)["sweep"].rate == pytest.approx(150)  # as many tokens in each, in 4/3 of the time
    assert cost.cost_line("sweep", SHORT["sweep"], info).startswith("about ")
    other = msgspec.structs.replace(info, dtype="bfloat16")
    assert cost.measured(other) == {}


def test_memory_is_said_on_a_gpu_and_where_it_is_most_of_what_is_free(info):
    def said(info, free, name="why", **params):
        line = cost.cost_line(name, {"prompt": PROMPT, **params}, info, free)
        return line.partition(" tokens, ")[2]

    assert said(info, 1 << 30) == ""
    assert cost.cost_line("why", {"prompt": PROMPT}, info) == cost.cost_line("why", {"prompt": PROMPT}, info, 1 << 30)
    least = batch_bytes(info, 1, 6, "gradients")
    assert said(info, least) == f"{size(least)} of memory ({size(least)} free)"
    gpu = msgspec.structs.replace(info, device="cuda:0")
    # As many rows as there are tokens in a batch, of the kind of work that takes most.
    most = max(
        batch_bytes(gpu, TOKENS["gradients"][1] // 6, 6, "gradients"),
        batch_bytes(gpu, TOKENS["last"][1] // 6, 6, "last"),
    )
    assert said(gpu, 80 << 30) == f"{size(most)} of memory (80 GiB free)"


def test_a_small_run_says_little_of_a_large_one(info):
    work = cost.cost_of("effect", {"prompts": [{"prompt": PROMPT}] * 1000}, info)
    cost.remember(info, cost.FORWARD, 1000, 1)
    cost.remember(info, "effect", 10, 2)  # two seconds, of which its ten tokens take little
    assert cost.seconds_of("effect", work, info) == pytest.approx(2 + (work.work - 10) / 1000)
    cost.remember(info, "effect", work.work, work.work / 5000)  # faster than whole passes
    mean = cost.measured(info)["effect"]
    assert mean.rate > 1000
    assert cost.seconds_of("effect", work, info) == pytest.approx(work.work / mean.rate)


def test_more_work_costs_more(info):
    def passes(name, **params):
        return cost.cost_of(name, {"prompt": PROMPT, **params}, info).passes

    assert passes("why") < passes("why", unrelated=9) < passes("why", unrelated=9, controls=500)
    assert passes("sweep") < passes("sweep", others=500)
    assert passes("sweep", n=3) < passes("sweep", exact=True)
    assert passes("effect", controls=9) < passes("effect", controls=99) < passes("effect", controls=99, generate=500)
    of_set = [{"prompt": PROMPT}] * 10
    few = cost.cost_of("effect", {"prompts": of_set, "generate": 0}, info).work
    assert few < cost.cost_of("effect", {"prompts": of_set, "generate": 50}, info).work
    assert cost.cost_of("index", {"tokens": 0}, info) is None

    def training(**params):
        return cost.cost_of("sae-train", {"site": "L1.resid_post", **params}, info)

    assert training().passes < training(site="L2.resid_post").passes  # a pass ends behind the site
    assert training().passes < training(width=9216).passes < training(width=9216, passes=9).passes
    assert training(tokens=1000).disk == 1000 * info.d_model * 4
    assert cost.cost_line("sae-train", {"site": "L9"}, info) == ""


class Watching(Sink):
    def __init__(self):
        super().__init__()
        self.stages = []

    def changed(self, report):
        if report.progress.stage not in self.stages:
            self.stages.append(report.progress.stage)


@pytest.mark.parametrize("name", ["why", "sweep", "patch", "effect"])
def test_a_run_begins_with_what_it_will_take_and_ends_with_its_rate(name, info):
    lab, sink = tiny_lab("llama"), Watching()
    from workbench.edits import parse_edits

    edits = parse_edits(["L1.N3=0"]) if name == "effect" else []
    execute(lab, name, SHORT[name], edits, 0, Report(sink))
    assert sink.stages[0].startswith("about ")
    assert "passes of 6 tokens" in sink.stages[0]
    known = cost.measured(info)
    assert known[cost.FORWARD].rate > 0
    assert known[name].rate > 0


def test_a_run_that_fails_leaves_no_rate(info):
    with pytest.raises(UserError):
        execute(tiny_lab("llama"), "patch", {"prompt": PROMPT, "corrupted": "The"}, [], 0, Report(Sink()))
    assert "patch" not in cost.measured(info)


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(info, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(blocked))
    cost.remember(info, "why", 1, 1)
    assert cost.measured(info) == {}


def test_the_count_is_near_what_a_run_does(monkeypatch, info):
    """Rows that pass through blocks, gradients three times, in whole passes."""
    from workbench.lab import attribution, dla, study

    rows = 0.0
    run_from = study.run_from

    def counted(model, trace, layer, plans=(CLEAN,), **how):
        nonlocal rows
        gradient = 3 if "gradients" in how else 1
        rows += gradient * len(plans) * (info.n_layers - layer) / info.n_layers
        return run_from(model, trace, layer, plans, **how)

    for module in (study, attribution, dla):
        monkeypatch.setattr(module, "run_from", counted)
    lab = tiny_lab("llama")
    execute(lab, "why", {"prompt": PROMPT}, [], 0, Report(Sink()))
    said = experiment("why").cost(make_params(experiment("why").params, {"prompt": PROMPT}), info).passes
    assert rows / 2 < said < 2 * rows
