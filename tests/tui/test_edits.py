"""The edit stack: typed, pointed at, switched, moved; what is on applies to every experiment."""

from tests.tui.fakes import FakeClient, replay, screen, until, workbench
from workbench.edits import Entry, SetTo
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.worker.protocol import KeepStack


async def stack(pilot, *edits):
    await pilot.press("f3")
    await until(pilot, lambda: pilot.app.screen.NAME == "Edits" and pilot.app.focused is pilot.app.screen.field)
    await until(pilot, lambda: pilot.app.model_info)
    for edit in edits:
        pilot.app.screen.action_add()
        await pilot.press(*edit, "enter")


async def test_edits_are_typed_listed_and_applied_to_what_is_asked():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "L12.N345=0", "L5.H3*=2; L3.N1-4=1.5")
        assert [str(edit) for edit in app.edits.on()] == ["L12.N345=0", "L5.H3*=2", "L3.N1-4=1.5"]
        assert "4 units" in screen(app)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen.NAME == "Workbench" and "edits: 3 on" in screen(app))
        await pilot.press("enter")
        await until(pilot, lambda: client.submitted)
        assert [str(edit) for edit in client.submitted[0].edits] == ["L12.N345=0", "L5.H3*=2", "L3.N1-4=1.5"]


async def test_an_error_points_at_the_character():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "L12.N345=0; L5.H3*=x")
        lines = screen(app).splitlines()
        at = next(number for number, line in enumerate(lines) if line.rstrip().endswith("^"))
        assert lines[at - 1][lines[at].index("^")] == "x"
        assert "a number is expected" in lines[at + 1]
        assert app.edits.entries == []  # all of a line or nothing


async def test_the_model_has_the_last_word():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "L99.N1=0")
        assert "there is no layer 99" in screen(app)


async def test_switching_moving_and_removing():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "L1.N1=0", "L2.N2=0")
        await pilot.press("escape", "g", "space")
        assert [str(edit) for edit in app.edits.on()] == ["L2.N2=0"]
        assert "[off]" in screen(app)
        await pilot.press("J")
        assert [str(entry.edit) for entry in app.edits.entries] == ["L2.N2=0", "L1.N1=0"]
        await pilot.press("x")
        assert [str(entry.edit) for entry in app.edits.entries] == ["L2.N2=0"]
        assert "removed L1.N1=0" in screen(app)


async def test_typing_offers_ways_to_go_on():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot)
        await pilot.press(*"L5.H")
        await until(pilot, lambda: "L5.H0" in screen(app) and "L5.H8" in screen(app))


async def test_an_empty_stack_says_what_can_be_typed():
    app = workbench(FakeClient())
    async with app.run_test(size=(80, 24)) as pilot:
        await stack(pilot)
        assert "Nothing is edited" in screen(app)
        assert "L12.N345*=2" in screen(app)


async def test_the_stack_is_reached_from_inside_a_field_and_left_to_the_same_place():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(*"what", "f3")
        await until(pilot, lambda: app.screen.NAME == "Edits")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen.NAME == "Workbench")
        assert app.query_one("#filter").value == "what"


async def test_a_question_with_edits_leaves_the_others_in_the_stack_switched_off():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "L1.N1=0")
        await pilot.press("escape", "escape", *"switch", "enter")
        await until(pilot, lambda: client.submitted)
        assert len(client.submitted[0].edits) == 1
        assert "edits: 1 of 2 on" in screen(app)


async def test_a_stack_is_saved_under_a_name_used_appended_and_deleted():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await stack(pilot, "L1.N1=0", "L2.N2=0")
        await pilot.press("escape", "g", "space", "s", *"months", "enter")
        await until(pilot, lambda: "--edit stack:months" in screen(app) and "saved in this session" in screen(app))
        await pilot.press("x", "x")
        assert app.edits.entries == []
        await pilot.press("i", *"L3.N3=0", "enter", "escape", "o", "a")
        await until(pilot, lambda: len(app.edits.entries) == 3)
        assert [str(edit) for edit in app.edits.on()] == ["L3.N3=0", "L2.N2=0"]  # what was off stays off
        await pilot.press("enter")
        await until(pilot, lambda: [str(one.edit) for one in app.edits.entries] == ["L1.N1=0", "L2.N2=0"])
        assert [one.on for one in app.edits.entries] == [False, True]
        session = app.feed.path
        await pilot.press("x")
        await until(pilot, lambda: "saved in this session" not in screen(app))
        assert client.writer(str(session)).path.exists()
    with SessionReader(session) as reader:
        assert reader.stacks() == {}


async def test_a_saved_stack_completes_while_it_is_typed_and_stands_for_its_edits(tour):
    with SessionWriter(tour) as writer:
        writer.keep_stack("months", [Entry(SetTo("L1.N1", 0.0)), Entry(SetTo("L2.N2", 0.0), on=False)])
    app = workbench(FakeClient(), tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await stack(pilot)
        await until(pilot, lambda: app.screen.saved)
        await pilot.press(*"L5.H3=0;stack:m", "right", "enter")
        assert [str(edit) for edit in app.edits.on()] == ["L5.H3=0", "L1.N1=0"]
        app.screen.action_add()
        await pilot.press(*"stack:days", "enter")
        assert "no stack 'days' is saved in this session: stack:months" in screen(app)


async def test_a_name_that_could_not_be_written_behind_the_colon_is_refused():
    app = workbench(client := FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await stack(pilot, "L1.N1=0")
        await pilot.press("escape", "s", *"my months", "enter")
        await until(pilot, lambda: "a stack's name is one word" in screen(app))
        await pilot.press("escape")
        assert app.focused is app.screen.lines
        assert not [message for message in client.requests if isinstance(message, KeepStack)]


async def test_a_replay_shows_the_stacks_that_were_saved(tour):
    with SessionWriter(tour) as writer:
        writer.keep_stack("months", [Entry(SetTo("L1.N1", 0.0))])
    app = replay(tour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.begun)
        await pilot.press("f3")
        await until(pilot, lambda: "saved in this session" in screen(app) and "months" in screen(app))


async def test_a_direction_that_there_is_not_is_refused():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await stack(pilot, "@refusal=0")
        assert "there is no direction @refusal: no directions are saved" in screen(app)
        assert app.edits.entries == []
        app.directions = ["@honesty"]
        await pilot.press("end", "ctrl+u", *"L1.resid_post+=2*@refusal", "enter")
        await until(pilot, lambda: "there is no direction @refusal: there are @honesty" in screen(app))
        await pilot.press("end", "ctrl+u", *"@honesty=0", "enter")
        assert [str(edit) for edit in app.edits.on()] == ["@honesty=0"]
