"""The edit stack: typed, pointed at, switched, moved; what is on applies to every experiment."""

from tests.tui.fakes import FakeClient, screen, until, workbench


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
