"""What a key removed comes back with one key, the same on every screen; the notice names both."""

from tests.tui import directions
from tests.tui.fakes import FakeClient, replay, screen, until, workbench
from tests.tui.staging import EveryClient, asked_why, sees, tour, with_features, with_index, words
from tests.tui.test_chat import answered, chatting
from tests.tui.test_directions import to
from workbench.edits import Entry, SetTo
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.settings import Settings
from workbench.tui.app import WorkbenchApp

OFFER = "Ctrl+Z brings it back"


async def edit_stack(pilot, *edits):
    await pilot.press("f3")
    await until(pilot, lambda: pilot.app.screen.NAME == "Edits" and pilot.app.model_info)
    pilot.app.screen.action_add()
    for edit in edits:
        await words(pilot, edit)
        await pilot.press("enter")
    await pilot.press("escape")


def edits_of(app):
    return [f"{entry.edit}{'' if entry.on else ' off'}" for entry in app.edits.entries]


async def test_edits_come_back_where_they_were_last_one_first():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await edit_stack(pilot, "L1.N1=0", "L2.N2=0", "L3.N3=0")
        assert "Ctrl+Z" not in screen(app)
        await pilot.press("g", "j", "space", "x")
        assert f"removed L2.N2=0 · {OFFER}" in screen(app)
        await pilot.press("g", "x")
        assert edits_of(app) == ["L3.N3=0"]
        await pilot.press("escape", "escape")  # from whatever screen
        await until(pilot, lambda: app.screen.NAME == "Workbench")
        await pilot.press("ctrl+z")
        assert "L1.N1=0 is back" in screen(app)
        assert "edits: 2 on" in screen(app)
        await pilot.press("ctrl+z")
        assert edits_of(app) == ["L1.N1=0", "L2.N2=0 off", "L3.N3=0"]
        await pilot.press("ctrl+z")  # there is nothing more
        assert edits_of(app) == ["L1.N1=0", "L2.N2=0 off", "L3.N3=0"]


async def test_the_key_is_the_one_that_the_settings_give():
    app = workbench(FakeClient(), keys={"undo": "U"})
    async with app.run_test(size=(100, 30)) as pilot:
        await edit_stack(pilot, "L1.N1=0")
        await pilot.press("x")
        assert "U brings it back" in screen(app)
        await pilot.press("escape", "U")
        assert edits_of(app) == ["L1.N1=0"]


async def test_an_edit_typed_again_meanwhile_is_there_once():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await edit_stack(pilot, "L1.N1=0")
        await pilot.press("x")
        await edit_stack(pilot, "L2.N2=0", "L1.N1=0")
        await pilot.press("ctrl+z")
        assert edits_of(app) == ["L2.N2=0", "L1.N1=0"]


async def test_saved_stacks_come_back_and_so_does_the_stack_that_one_took_the_place_of(terminal):
    app = workbench(FakeClient(), session := tour(terminal))

    def saved():
        with SessionReader(session) as reader:
            return {name: [str(entry.edit) for entry in entries] for name, entries in reader.stacks().items()}

    async with app.run_test(size=(100, 30)) as pilot:
        await edit_stack(pilot, "L1.N1=0")
        await until(pilot, lambda: app.screen.saved)
        await pilot.press("o", "enter")
        assert "stack:months is the stack now · Ctrl+Z brings it back" in screen(app)
        app.edits.add("L9.N9=0", app.model_info)
        await pilot.press("ctrl+z")
        assert edits_of(app) == ["L1.N1=0", "L9.N9=0"]
        assert "the stack before is back" in screen(app)
        await pilot.press("o", "x")
        await sees(pilot, f"deleted months · {OFFER}")
        await until(pilot, lambda: not saved() and not app.screen.saved)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: saved() == {"months": ["L24.N88=0", "L17.N1203=0"]})
        await sees(pilot, "months is back", "saved in this session")
        await pilot.press("s", *"months", "enter")
        await sees(pilot, "the months before is replaced")
        assert saved() == {"months": ["L1.N1=0", "L9.N9=0"]}
        await pilot.press("ctrl+z")
        await until(pilot, lambda: saved() == {"months": ["L24.N88=0", "L17.N1203=0"]})


async def test_pins_come_back_into_their_sets(terminal):
    client = EveryClient()
    app = workbench(client, session := tour(terminal))

    def pins():
        with SessionReader(session) as reader:
            return {(pin.unit, pin.name) for pin in reader.pins()}

    before = pins()
    async with app.run_test(size=(100, 30)) as pilot:
        app.show("basket")
        await sees(pilot, "L5.H3", "L0.N2")
        await pilot.press("x")
        await sees(pilot, f"L0.N1 removed from basket · {OFFER}")
        await pilot.press("G", "x")
        await sees(pilot, f"L0.N2 removed from the set months · {OFFER}")
        assert pins() == {("L5.H3", "")}
        await pilot.press("ctrl+z", "ctrl+z")
        await until(pilot, lambda: pins() == before)
        await sees(pilot, "L0.N1 is back")


async def test_what_was_removed_from_another_session_waits_for_it(terminal):
    with SessionWriter(other := terminal / "other.db") as writer:
        writer.pin("L7.H7", "", False)
    app = workbench(EveryClient(), session := tour(terminal))
    async with app.run_test(size=(100, 30)) as pilot:
        app.show("basket")
        await sees(pilot, "L5.H3")
        await pilot.press("x")
        await sees(pilot, "L0.N1 removed")
        app.open_session(other)
        await sees(pilot, "other")
        assert "Ctrl+Z" not in screen(app)
        await pilot.press("ctrl+z")
        app.open_session(session)
        app.show("basket")
        await sees(pilot, "L5.H3")
        await pilot.press("ctrl+z")
        await sees(pilot, "L0.N1 is back")


async def test_a_removal_that_can_not_be_undone_now_can_be_later(terminal):
    client = EveryClient()
    app = workbench(client, tour(terminal))
    async with app.run_test(size=(100, 30)) as pilot:
        app.show("basket")
        await sees(pilot, "L5.H3")
        await pilot.press("x")
        await sees(pilot, "L0.N1 removed")
        link, app.link = app.link, None
        await pilot.press("ctrl+z")
        await sees(pilot, "! this is a replay")
        app.link = link
        await pilot.press("ctrl+z")
        await sees(pilot, "L0.N1 is back")


async def test_the_filter_of_the_neurons_and_a_pin_there(terminal):
    app = workbench(with_index(), tour(terminal))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f6")
        await sees(pilot, "120 neurons")
        await pilot.press("slash", *"vr>.3", "enter")
        assert "Ctrl+Z" not in screen(app)
        await pilot.press("slash", *"kurtosis>1e9", "enter")  # it narrows: nothing is lost
        await sees(pilot, "No neuron passes")
        assert "Ctrl+Z" not in screen(app)
        await pilot.press("R")
        await sees(pilot, f"filter vr>.3 kurtosis>1e9 replaced · {OFFER}")
        await pilot.press("ctrl+z")
        await sees(pilot, "No neuron passes", "filter vr>.3 kurtosis>1e9 is back")
        await pilot.press("slash", "ctrl+u", "enter")
        await sees(pilot, "120 neurons", f"filter vr>.3 kurtosis>1e9 removed · {OFFER}")
        await pilot.press("g", *"L0.N1", "enter", "p")
        await sees(pilot, f"L0.N1 removed from basket · {OFFER}")
        await pilot.press("ctrl+z")
        await sees(pilot, "L0.N1 is back")


async def test_a_filter_does_not_come_back_into_a_list_of_another_kind(terminal):
    app = workbench(with_features())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f6")
        await sees(pilot, "120 neurons")
        await pilot.press("slash", *"vr>.3", "enter", "slash", "ctrl+u", "enter", "f")
        await sees(pilot, "90 features")
        await pilot.press("ctrl+z")
        await sees(pilot, "filter vr>.3 is of another list than this one", "90 features")
        await pilot.press("f")
        await sees(pilot, "120 neurons")
        await pilot.press("ctrl+z")
        await sees(pilot, " of 120")


async def test_words_that_narrowed_the_timeline(terminal):
    app = workbench(FakeClient(), tour(terminal))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f4")
        await sees(pilot, "6 steps")
        await pilot.press("slash", *"capital", "enter")
        await sees(pilot, " of 6 steps")
        narrowed = next(line for line in screen(app).splitlines() if "of 6 steps" in line)
        await pilot.press("escape")
        await sees(pilot, f"filter 'capital' removed · {OFFER}")
        await pilot.press("ctrl+z")
        await until(pilot, lambda: narrowed in screen(app))


async def test_words_that_narrowed_home(terminal):
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await words(pilot, "refus")
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.typing)
        narrowed = screen(app).splitlines()[1:10]
        await pilot.press("escape")
        await sees(pilot, f"filter 'refus' removed · {OFFER}")
        await pilot.press("ctrl+z")
        await until(pilot, lambda: screen(app).splitlines()[1:10] == narrowed)


async def test_the_turns_of_a_chat():
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await chatting(pilot)
        await pilot.press("a")
        await sees(pilot, "2 turns before")
        await answered(pilot, "one", 2)
        turns = app.screen.turns
        await pilot.press("N")
        assert app.screen.turns == []
        assert f"a new chat, without the chat's 2 turns · {OFFER}" in screen(app)
        await pilot.press("ctrl+z")
        assert app.screen.turns == turns
        assert "Paris, the city of light." in screen(app)


async def test_what_was_chosen_instead_of_the_pick(terminal):
    app = workbench(EveryClient(), asked_why(terminal))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f7")
        await sees(pilot, "three neurons off", "L24.N1005")
        await pilot.press("a")
        assert "Ctrl+Z" not in screen(app)  # nothing of one's own went
        picked = app.screen.state.chosen
        await pilot.press("space")
        own = app.screen.state.chosen
        assert own != picked
        await pilot.press("a")
        assert app.screen.state.chosen == picked
        await sees(pilot, OFFER)
        await pilot.press("ctrl+z")
        assert app.screen.state.chosen == own


async def test_directions_and_their_files(terminal):
    path = directions.session(terminal / "sessions" / "steering.db")
    file = directions.keep_file()
    data = file.read_bytes()
    app = workbench(directions.DirectionsClient(), path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f8")
        await sees(pilot, "▌ @harmful", "▸ +6")
        await pilot.press("delete", "delete")
        await sees(pilot, f"@harmful names nothing any more; steps that used it keep their numbers · {OFFER}")
        await pilot.press("ctrl+z")
        await sees(pilot, "@harmful is back", "@harmful    mean difference")
        with SessionReader(path) as reader:
            assert "harmful" in [row.name for row in reader.artifacts()]
        page = app.screen
        await to(pilot, page, "kept")
        await pilot.press("delete", "delete")
        await until(pilot, lambda: not file.exists())
        await sees(pilot, OFFER)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: file.exists() and file.read_bytes() == data)
        assert file.stat().st_mode & 0o777 == 0o600


async def test_in_a_field_it_brings_back_the_words_that_a_key_deleted():
    app = workbench(FakeClient())
    async with app.run_test(size=(100, 30)) as pilot:
        await edit_stack(pilot, "L1.N1=0")
        await pilot.press("x", "a", *"L5.H3=0", "ctrl+u")
        assert app.focused.value == ""
        await pilot.press("ctrl+z")
        assert (app.focused.value, edits_of(app)) == ("L5.H3=0", [])
        await pilot.press("ctrl+z")  # no words were deleted: what came before it
        assert edits_of(app) == ["L1.N1=0"]


async def test_a_replay_undoes_what_needs_no_worker(terminal):
    app = replay(tour(terminal))
    async with app.run_test(size=(100, 30)) as pilot:
        await sees(pilot, "6 steps")
        await edit_stack(pilot)
        app.edits.entries[:] = [Entry(SetTo("L1.N1", 0.0))]
        app.screen.on_screen_resume()
        await pilot.press("x", "ctrl+z")
        assert edits_of(app) == ["L1.N1=0"]


def test_nothing_is_undone_where_nothing_was_removed():
    app = WorkbenchApp(None, None, Settings())
    assert app.check_action("undo", ()) is False
