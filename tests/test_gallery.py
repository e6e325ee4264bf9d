"""The gallery has every screen, and its page names the pictures there are."""

import pkgutil
import re

from tests.gallery import FOLDER, PAGE, PICTURES, SIZES, THEMES, page
from tests.pictures import compact
from workbench.tui import screens

MEGABYTES = 6


def test_every_screen_is_in_it():
    assert {wanted.screen for wanted in PICTURES.values()} == {
        module.name for module in pkgutil.iter_modules(screens.__path__)
    }


def test_the_page_is_what_the_script_writes():
    assert PAGE.read_text() == page(), "python -m tests.gallery writes it anew"


def test_its_pictures_are_there_and_no_others():
    named = {PAGE.parent / target for target in re.findall(r"\]\(([^)]+)\)", PAGE.read_text())}
    assert named == set((FOLDER / "gallery").iterdir())
    assert len(named) == len(PICTURES) * len(SIZES) * len(THEMES)


def test_they_are_of_their_size_and_small_together():
    files = list((FOLDER / "gallery").iterdir())
    assert sum(file.stat().st_size for file in files) < MEGABYTES * 1e6
    for file in files:
        columns, rows = re.search(r"-(\d+)x(\d+)-", file.name).groups()
        wide, high = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', file.read_text()).groups()
        assert 0 <= float(wide) - 12.2 * int(columns) < 20, file.name
        assert 0 <= float(high) - 24.4 * int(rows) < 60, file.name


def test_a_compact_picture_has_the_same_words_at_the_same_places():
    cell = 12.2
    svg = (
        "<svg><style>@font-face { src: x; } .terminal-1-r1 { fill: #fff }</style>"
        '<rect fill="#000" x="0" y="1.5" width="12.2" height="24.65" shape-rendering="crispEdges"/>'
        '<rect fill="#000" x="12.2" y="1.5" width="24.4" height="24.65" shape-rendering="crispEdges"/>'
        '<rect fill="#111" x="36.6" y="1.5" width="12.2" height="24.65" shape-rendering="crispEdges"/>'
        '<text class="terminal-1-r1" x="12.2" y="20" textLength="61" clip-path="url(#terminal-1-line-0)">'
        "&#160;a&#160;b&#160;</text>"
        '<text class="terminal-1-r1" x="73.2" y="20" textLength="12.2" clip-path="url(#terminal-1-line-0)">'
        "&#160;</text></svg>"
    )
    small = compact(svg)
    assert f'<text class="r1" x="{2 * cell:.1f}" y="20" textLength="{3 * cell:.1f}">a\u00a0b</text>' in small
    assert small.count("<text") == 1
    assert '<path fill="#000" d="M0.0 1.5H36.6v24.65H0.0"/>' in small
    assert '<path fill="#111" d="M36.6 1.5H48.8v24.65H36.6"/>' in small
    assert "<rect" not in small
    assert "font-face" not in small
    assert "clip" not in small
