"""Timeline and replay: the tree, history, notes, forks, comparisons; ten thousand steps like ten."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.fakes import INFO, FakeClient, finish, long_session, replay, screen, until, workbench
from workbench.edits import parse_edits
from workbench.session.writer import SessionWriter
from workbench.tui.screens.timeline.tree import Tree


async def opened(pilot):
    """The timeline with all it shows read and drawn."""
    app = pilot.app
    await until(pilot, lambda: app.screen.NAME == "Timeline" and app.screen.lines.count)
    await until(pilot, lambda: app.screen.lines.settled and app.screen.result.settled)


async def test_steps_with_branches_results_expectations_and_failures(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        await until(pilot, lambda: "6 steps · 2 branches" in screen(app))
        shown = screen(app)
        assert "├ predict" in shown
        assert "│ └ logit-lens" in shown
        assert "└ generate" in shown
        assert "+ L24.N88=0" in shown
        assert "★ expected" in shown
        assert "failed: there is no layer 99" in shown
        assert "1 note" in shown


async def test_left_and_right_go_through_history_and_show_each_result(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("g")
        await until(pilot, lambda: "step 1 · predict" in screen(app))
        for step, words in ((2, ".771 → .412"), (3, "enters the top 1 at L27"), (4, "city of light"), (5, "layer 99")):
            await pilot.press("right")
            await until(pilot, lambda step=step: app.screen.lines.current == step)
            await until(pilot, lambda words=words, step=step: words in screen(app) and f"step {step} ·" in screen(app))
        await pilot.press("left")
        await until(pilot, lambda: app.screen.lines.current == 4)


async def test_the_expectation_stands_beside_the_result(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("g", "j", "j")
        await until(pilot, lambda: "★ expected: late, after layer 20" in screen(app))


async def test_a_replay_says_so_and_refuses_what_needs_a_worker(tour):
    app = replay(tour)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        assert "replay, no model" in screen(app)
        assert not any(words in screen(app).splitlines()[-1] for words in ("run again", "f fork"))
        await pilot.press("n")
        assert "this is a replay" in screen(app)
        await pilot.press("r", "f", "ctrl+c")
        assert app.screen.NAME == "Timeline"
        assert "nothing runs in a replay" in screen(app)
        assert app.is_running


_ALONE = """
import asyncio, sys
from pathlib import Path
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp

async def main():
    app = WorkbenchApp(None, Path(sys.argv[1]), Settings())
    async with app.run_test(size=(120, 40)) as pilot:
        while not (app.screen.lines.settled and app.screen.result.settled and app.screen.lines.count):
            await pilot.pause(0.01)
        await pilot.press("g", "right", "right", "enter")
        while not ((shown := app.screen.result.snapshot) and shown.record.id == 3 and app.screen.result.settled):
            await pilot.pause(0.01)

asyncio.run(main())
heavy = ("torch", "transformers", "transformer_lens", "pandas", "datasets", "sqlite_utils", "workbench.worker.client")
print([name for name in heavy if name in sys.modules])
"""


def test_a_replay_imports_no_torch_and_no_worker(tour):
    found = subprocess.run(
        [sys.executable, "-c", _ALONE, str(tour)], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout.strip() == "[]", found.stderr


async def test_enter_shows_the_result_alone_and_escape_goes_back_to_the_line(tour):
    app = replay(tour)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("g", "j", "enter")
        await until(pilot, lambda: app.focused is app.screen.result)
        assert not app.screen.lines.is_on_screen
        await pilot.press("escape")
        assert app.focused is app.screen.lines
        assert app.screen.lines.current == 2


async def test_a_note_is_written_and_shown(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        await pilot.press("g", "n", *"what a step: q", "enter")
        await until(pilot, lambda: "note: what a step: q" in screen(app))
        assert app.focused is app.screen.lines


async def test_running_again_makes_a_branch_with_the_same_seed(tour):
    app = workbench(client := FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        await pilot.press("g", "j", "r")
        await until(pilot, lambda: client.submitted)
        again = client.submitted[0]
        assert (again.parent, again.experiment, [str(edit) for edit in again.edits]) == (2, "predict", ["L24.N88=0"])
        await until(pilot, lambda: app.screen.lines.current == 7)
        assert "7 steps" in screen(app)


async def test_a_fork_takes_parameters_and_edits_to_prompt(tour):
    app = workbench(client := FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        await pilot.press("g", "j", "f")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and "as in step 2" in screen(app))
        assert "edits: 1 on" in screen(app)
        assert app.screen.area.text == "The capital of France is"
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert client.submitted[0].parent == 2


@pytest.mark.parametrize(("version", "written"), [("0.2.0", ".in.raw"), ("0.3.0", ".in")])
async def test_a_fork_of_an_old_step_means_the_weights_that_it_meant(tmp_path, version, written):
    session = tmp_path / "s.db"
    edits = parse_edits(["L1.resid_post+=2*@L1.N2.in"])
    with SessionWriter(session) as writer:
        step = writer.add_step("predict", {"prompt": "The capital"}, edits)
        writer.start(step, INFO, {"workbench-lm": version})
        writer.finish(step, "done")
        activations = writer.add_step("activations", {"prompt": "The capital", "units": "@L1.N2.in"})
        writer.start(activations, INFO, {"workbench-lm": version})
        writer.finish(activations, "done")
    app = workbench(client := FakeClient(), session)
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        await pilot.press("g", "f")
        await until(pilot, lambda: app.screen.NAME == "Prompt" and "as in step 1" in screen(app))
        assert ("step 1 meant the weights as stored" in screen(app)) is (written == ".in.raw")
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert [str(edit) for edit in client.submitted[0].edits] == [f"L1.resid_post+=2*@L1.N2{written}"]
        app.edits.use([])
        app.show("prompt").fill(await app.feed.read(lambda reader: reader.step(2)))
        await until(pilot, lambda: "as in step 2" in screen(app))
        await pilot.press("enter")
        await until(pilot, lambda: len(client.submitted) == 2)
        assert client.submitted[1].params["units"] == f"@L1.N2{written}"


async def test_two_steps_side_by_side_with_what_differs(tour):
    app = replay(tour)
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(pilot)
        await pilot.press("g", "d")
        await until(pilot, lambda: "step 1 is marked" in screen(app))
        await pilot.press("j", "d")
        await until(pilot, lambda: app.screen.NAME == "Compare")
        await until(pilot, lambda: "edits: none → L24.N88=0" in screen(app))
        await until(pilot, lambda: any(line.count("▾ Next token") == 2 for line in screen(app).splitlines()))
        assert "difference" in screen(app)
        await pilot.press("escape")
        assert app.screen.NAME == "Timeline"


async def test_the_same_step_twice_compares_with_where_it_came_from(tour):
    app = replay(tour)
    async with app.run_test(size=(140, 40)) as pilot:
        await opened(pilot)
        await pilot.press("g", "j", "d", "d")
        await until(pilot, lambda: "steps 1 and 2" in screen(app))


async def test_a_step_that_another_terminal_runs_appears_by_itself(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await opened(pilot)
        with SessionWriter(tour) as writer:
            step = writer.add_step("predict", {"prompt": "from elsewhere"}, parent=1)
            writer.start(step)
            finish(writer, step, "predict", headline="seen without a hint")
        await until(pilot, lambda: "7 steps" in screen(app) and "seen without a hint" in screen(app))
        assert app.screen.lines.current == 6  # the cursor stays where it was


async def test_a_session_that_goes_away_is_a_sentence_and_the_app_lives(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        tour.rename(tour.with_name("elsewhere.db"))
        await until(pilot, lambda: "moved or deleted" in screen(app))
        await pilot.press("g")
        assert app.is_running


async def test_ten_thousand_steps_open_and_scroll_like_ten(tour):
    long_session(tour, 10_000)
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert app.screen.lines.count == 10_000
        assert app.screen.lines.current == 10_000
        await pilot.press("g")
        await until(pilot, lambda: app.screen.lines.current == 1 and app.screen.lines.settled)
        assert len(app.screen.lines._rows) < 500
        started = time.monotonic()
        for _ in range(40):
            await pilot.press("pagedown")
        await until(pilot, lambda: app.screen.lines.settled)
        assert app.screen.lines.current > 300
        assert time.monotonic() - started < 20
        await pilot.press("G")
        await until(pilot, lambda: app.screen.lines.settled and "10000" in screen(app))


def test_a_tree_is_depth_first_with_its_branches():
    tree = Tree([(1, None), (2, 1), (3, 2), (4, None), (5, 1)])
    assert tree.order == [1, 2, 3, 5, 4]
    assert tree.branch == ["", "├ ", "│ └ ", "└ ", ""]
    assert tree.forks == 2
    assert tree.history == [1, 2, 3, 4, 5]


def test_a_chain_of_ten_thousand_stays_narrow():
    tree = Tree([(1, None), *[(step, step - 1) for step in range(2, 10_001)]])
    assert len(tree) == 10_000
    assert max(map(len, tree.branch)) <= 20


@given(st.lists(st.one_of(st.none(), st.integers(-3, 40)), max_size=30))
def test_whatever_the_parents_every_step_is_there_once(parents):
    tree = Tree([(step, parent) for step, parent in enumerate(parents, 1)])
    assert sorted(tree.order) == list(range(1, len(parents) + 1))
    assert len(tree.branch) == len(tree.order)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (30, 8)])
async def test_any_size(tour, size):
    app = replay(tour)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: app.screen.lines.settled and app.screen.result.settled)
        await until(pilot, lambda: "Timeline · tour" in screen(app))


async def test_words_narrow_the_list_over_everything_a_step_says(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: app.screen.NAME == "Timeline" and "6 steps" in screen(app))
        for words, expected in (
            ("overshoots", [4]),  # a note
            ("L24.N88 predict", [2]),  # an edit
            ("Once upon", [6]),  # a prompt
            ("ENTERS the top", [3]),  # a headline
            ("layer 99", [5]),  # an error
            ("100%", []),  # no pattern
        ):
            await pilot.press("slash", "ctrl+u", *words)
            await until(pilot, lambda want=expected: app.screen.lines.steps.history == want, words)
            assert f"{len(expected)} of 6 steps" in screen(app)
            await pilot.press("escape")
            assert (f"filter {words}" in screen(app)) is bool(expected), "Esc clears what leaves nothing"
        await until(pilot, lambda: app.screen.lines.count == 6 and "filter" not in screen(app).splitlines()[1])
        assert app.screen.NAME == "Timeline"


async def test_a_step_that_is_asked_while_words_narrow_the_list_is_gone_to(tour):
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: app.screen.NAME == "Timeline" and "6 steps" in screen(app))
        await pilot.press("slash", *"overshoots", "enter")
        await until(pilot, lambda: app.screen.lines.current == 4)
        await pilot.press("r")
        await until(pilot, lambda: app.screen.lines.current == 7 and "7 steps" in screen(app))


async def test_words_that_no_step_has_say_so_and_esc_shows_all_again(tour):
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for leave in (("escape",), ("enter", "escape")):
            await pilot.press("slash", *"zebra")
            await until(pilot, lambda: "no step has all of these words; Esc shows all again" in screen(app))
            assert app.screen.lines.count == 0
            await pilot.press(*leave)
            await until(pilot, lambda: app.screen.lines.count == 6)
            assert "no step has" not in screen(app)
            assert app.focused is app.screen.lines
