"""Every screen in every theme: all of its text can be read, and another theme shows at once on what is drawn."""

import pytest
from rich.segment import Segment

from tests.tui.contrast import contrast, hard_to_read
from tests.tui.fakes import until
from tests.tui.scenes import SCENES, shown
from tests.tui.staging import quiet
from workbench.tui.theme import LIGHT, ink


def drawn(app):
    """Each line as runs of one style: its text, and the style in words."""
    return [
        [(segment.text, str(segment.style)) for segment in Segment.simplify(line)]
        for line in app.screen._compositor.render_strips(app.size)
    ]


def test_the_ratio_is_that_of_the_recommendation():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", SCENES)
async def test_all_of_it_can_be_read_in_every_theme(name, terminal):
    async with shown(name, terminal / "sessions") as pilot:
        seen = []
        for theme in ("light", "dark", "ansi", "dark"):
            pilot.app.use_setting(theme)
            await quiet(pilot)
            short = hard_to_read(pilot.app)
            assert not short, f"{name}, theme {theme}:\n" + "\n".join(map(str, short))
            seen.append(drawn(pilot.app))
        changed = [pair for pair in zip(seen[1], seen[3], strict=True) if pair[0] != pair[1]]
        assert not changed, "back in a theme it is not as it was"


async def test_a_screen_that_was_left_is_in_the_new_theme_when_one_comes_back(terminal):
    async with shown("neurons", terminal / "sessions") as pilot:
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen.NAME == "Workbench")
        pilot.app.use_setting("light")
        await quiet(pilot)
        await pilot.press("escape", "f6")
        await until(pilot, lambda: pilot.app.screen.NAME == "Neurons")
        await quiet(pilot)
        assert not hard_to_read(pilot.app)
        assert not any("on #101418" in style for line in drawn(pilot.app) for _, style in line), "the dark ground"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "xterm", "COLORTERM": ""}])
@pytest.mark.parametrize("name", ["neurons", "why", "prompt", "timeline"])
async def test_few_colours_or_none_stay_so_whatever_theme_is_chosen(name, environment, terminal, monkeypatch):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    async with shown(name, terminal / "sessions") as pilot:
        for theme in ("light", "dark"):
            pilot.app.use_setting(theme)
            await quiet(pilot)
            styles = {style for line in drawn(pilot.app) for _, style in line}
            assert not any("#" in style for style in styles), styles
            if "NO_COLOR" in environment:
                assert not any("color(" in style for style in styles), styles
            assert not hard_to_read(pilot.app)


async def test_the_colours_are_the_themes_from_the_same_turn_on(terminal):
    async with shown("home", terminal / "sessions") as pilot:
        pilot.app.use_setting("light")
        assert ink(pilot.app).color("foreground") == LIGHT.foreground, "whoever draws before the CSS is read anew"
