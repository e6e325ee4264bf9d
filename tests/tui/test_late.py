"""What comes late: the keys work as soon as there is something for them, and a read that failed for a moment mends."""

from __future__ import annotations

import pytest

from tests.tui.fakes import FakeClient, finish, make_session, screen, until, workbench
from tests.tui.neurons import NeuronClient, make_index
from tests.tui.scenes import shown
from tests.tui.staging import asked_why, quiet, tour
from tests.tui.why import WhyClient, add
from workbench.errors import UserError
from workbench.session.reader import SessionReader
from workbench.session.writer import SessionWriter
from workbench.tui.feed import NothingYet


@pytest.fixture
def sessions(terminal):
    return terminal / "sessions"


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_an_index_that_appears_has_the_keys_at_once(size):
    app = workbench(NeuronClient())
    async with app.run_test(size=size) as pilot:
        await pilot.press("f6")
        await until(pilot, lambda: "no index of this model" in screen(app))
        make_index()
        app.model_info = None  # any model's index will do
        await until(pilot, lambda: app.screen.listing.count, "the list")
        await until(pilot, lambda: app.focused is app.screen.listing, "the focus")
        await pilot.press("j", "j")
        assert app.screen.neuron == 2


async def test_neurons_that_pass_again_have_the_keys(sessions):
    async with shown("neurons, none passes", sessions) as pilot:
        await pilot.press("R")
        await until(pilot, lambda: pilot.app.screen.listing.count > 1, "the list")
        await until(pilot, lambda: pilot.app.focused is pilot.app.screen.listing, "the focus")


async def test_a_question_that_another_terminal_asks_has_the_keys(sessions):
    path = make_session(sessions / "one.db")
    app = workbench(WhyClient(), path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f7")
        await until(pilot, lambda: "Enter asks" in screen(app))
        await pilot.press("escape")
        with SessionWriter(path) as writer:
            add(writer)
        await until(pilot, lambda: "three neurons off" in screen(app), "the answer")
        listing = app.screen.panes.list_of("neurons")
        await until(pilot, lambda: app.focused is listing, "the focus")
        await pilot.press("j")
        assert listing.cursor == 1


async def test_a_timeline_that_gets_its_first_steps_has_the_keys(sessions):
    path = sessions / "two.db"
    client = FakeClient()
    app = workbench(client)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: "No step yet" in screen(app))
        app.new_session()
        app.feed.open(path)
        for _ in range(2):
            with SessionWriter(path) as writer:
                finish(writer, writer.add_step("predict", {"prompt": "x"}), "predict")
        await until(pilot, lambda: app.screen.lines.count == 2, "the steps")
        await until(pilot, lambda: app.focused is app.screen.lines, "the focus")
        await pilot.press("g", "j")
        assert app.screen.lines.current == 2


async def test_a_basket_that_gets_its_first_pin_has_the_keys(sessions):
    path = make_session(sessions / "three.db")
    app = workbench(NeuronClient(), path)
    async with app.run_test(size=(120, 40)) as pilot:
        app.show("basket")
        await until(pilot, lambda: "Nothing is pinned" in screen(app))
        with SessionWriter(path) as writer:
            writer.pin("L5.H3", "", False)
        await until(pilot, lambda: "L5.H3" in screen(app))
        await pilot.press("x")
        await until(pilot, lambda: "Nothing is pinned" in screen(app), "taken out by its key")


async def test_sessions_that_are_listed_late_are_reached_by_arrows(sessions):
    app = workbench(FakeClient())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "none yet" in screen(app))
        await pilot.press("escape", "G")
        make_session(sessions / "tour.db")
        app.screen.session_changed()
        await until(pilot, lambda: "6 steps" in screen(app), "the session")
        await pilot.press("j", "enter")
        await until(pilot, lambda: app.screen.NAME == "Timeline", "opened")


# --- reads that fail for a moment ---

SENTENCE = "there is no step 3 in this session"
READS = {  # screen: what it reads of the session
    "timeline": ("step", tour, "★ expected: late"),
    "basket": ("pins", tour, "L5.H3"),
    "edits": ("stacks", tour, "L5.H3"),
    "why": ("last_of", asked_why, "L24.N1005"),
    "neurons": ("notes", tour, "120 neurons"),
    "compare": ("step", tour, "Next token"),
}


@pytest.mark.parametrize("name", READS)
async def test_a_read_that_fails_twice_is_a_sentence_only_while_it_fails(name, sessions, monkeypatch):
    method, _, stays = READS[name]
    async with shown(name, sessions) as pilot:
        app, told, left = pilot.app, [], [2]
        right = getattr(SessionReader, method)

        def fails_twice(self, *given):
            if left[0]:
                left[0] -= 1
                raise UserError(SENTENCE)
            return right(self, *given)

        monkeypatch.setattr(SessionReader, method, fails_twice)
        say = type(app.screen).say
        monkeypatch.setattr(type(app.screen), "say", lambda page, sentence, bad=False: (
            told.append(sentence), say(page, sentence, bad))[1])  # fmt: skip
        if name == "why":
            app.screen.state.step = None
        app.screen.session_changed()
        if name == "compare":
            app.screen._reads.ask()
        await until(pilot, lambda: not left[0] and SENTENCE not in screen(app), "mended by itself")
        await quiet(pilot)
        assert stays in screen(app) and not app.screen.notice_sentence()
        assert SENTENCE in told or name in ("timeline", "compare"), "the result's pane says it in its own place"


async def test_a_sentence_that_was_sent_away_stays_away_while_the_same_read_goes_on_failing(sessions, monkeypatch):
    async with shown("basket", sessions) as pilot:

        def fails(self):
            raise UserError(SENTENCE)

        monkeypatch.setattr(SessionReader, "pins", fails)
        pilot.app.screen.session_changed()
        await until(pilot, lambda: SENTENCE in screen(pilot.app))
        await pilot.press("escape")
        await pilot.pause(1.0)
        assert SENTENCE not in screen(pilot.app)


async def test_a_session_that_comes_back_takes_its_sentence_away(sessions):
    async with shown("timeline", sessions) as pilot:
        path = sessions / "tour.db"
        path.rename(sessions / "elsewhere")
        await until(pilot, lambda: "moved or deleted" in screen(pilot.app))
        (sessions / "elsewhere").rename(path)
        await until(pilot, lambda: "moved or deleted" not in screen(pilot.app), "the sentence goes")


async def test_an_answer_of_why_has_the_keys_in_its_neurons(terminal):
    """Where the fields go before the panes are drawn, Textual gives the keys to whichever place lies nearest."""
    async with shown("why", terminal / "sessions") as pilot:
        why = pilot.app.screen
        why.action_write()
        why.set_focus(why.panes.where)
        why.question_submitted()
        await until(pilot, lambda: why.focused is why.panes.list_of("neurons"))


async def test_a_read_that_comes_when_the_app_goes_is_no_defect(sessions):
    app = workbench(session=make_session(sessions / "tour.db"))
    async with app.run_test() as pilot:
        await until(pilot, lambda: "6 steps" in screen(app) or "tour" in screen(app))
    with pytest.raises(UserError, match="closing"):
        await app.feed.read(lambda reader: reader.count())


async def test_a_session_whose_first_step_is_being_written_is_no_trouble(terminal):
    path = terminal / "first.db"
    path.touch()  # as SQLite leaves it for a moment
    app = workbench(FakeClient(), path)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: app.screen.NAME == "Timeline" and app.begun)
        with pytest.raises(NothingYet):
            await app.feed.read(lambda reader: reader.count())
        assert not app.feed.problem
        assert "is empty" not in screen(app)
        with SessionWriter(path) as writer:
            writer.add_step("predict", {"prompt": "a"})
        await until(pilot, lambda: app.screen.lines.count == 1)
        assert "is empty" not in screen(app)
