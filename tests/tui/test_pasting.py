"""What is pasted arrives as it was, whatever is in it and however it is cut into reads."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from textual import events
from textual.drivers import linux_driver

from workbench.tui.pasting import PasteParser, take_pastes_whole

START, END = "\x1b[200~", "\x1b[201~"


def read(*reads: str) -> list[str | tuple[str, str]]:
    """Keys by their names and pastes with their text, in their order."""
    parser = PasteParser()
    found: list[str | tuple[str, str]] = []
    for data in reads:
        for event in parser.feed(data):
            if isinstance(event, events.Paste):
                found.append(("paste", event.text))
            elif isinstance(event, events.Key):
                found.append(event.key)
    return found


def test_an_escape_character_stays_in_its_place() -> None:
    text = "red \x1b[31mword\x1b[0m, a lone \x1b and \x1b[A an arrow\x1bOP"
    assert read(f"a{START}{text}{END}b") == ["a", ("paste", text), "b"]


def test_keys_are_read_as_before() -> None:
    assert read("a\x1b[Ab") == ["a", "up", "b"]
    assert read("\x1b", "[A") == ["up"]
    assert read(f"{START}x{END}{START}y{END}\x1b[B") == [("paste", "x"), ("paste", "y"), "down"]
    assert read(f"{START}{END}a") == [("paste", ""), "a"]


@given(
    st.text(st.sampled_from("ab\x1b[201~;A\n\0"), max_size=30).filter(lambda text: END not in text),
    st.lists(st.integers(1, 50), max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_any_text_in_any_pieces(text: str, cuts: list[int]) -> None:
    stream = f"x{START}{text}{END}y"
    if stream.index(END) != 1 + len(START) + len(text):
        return  # the text's end and the mark make a mark earlier, as any terminal would have it
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[first:last] for first, last in pairwise(places)]
    assert read(*pieces) == ["x", ("paste", text), "y"]


def test_a_large_paste_takes_no_more_than_its_length() -> None:
    text = "0123456789" * 200_000
    stream = START + text + END
    pieces = [stream[at : at + 4096] for at in range(0, len(stream), 4096)]
    assert read(*pieces) == [("paste", text)]


def test_terminals_are_read_with_it() -> None:
    take_pastes_whole()
    assert linux_driver.XTermParser is PasteParser
    assert "XTermParser" in linux_driver.LinuxDriver.run_input_thread.__code__.co_names, "looked up when it is used"
