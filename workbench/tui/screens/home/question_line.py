"""One question: a sentence, whose blanks become fields where it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from workbench.questions.question import BLANK, Question
from workbench.text import fit, safe, shorten, width
from workbench.tui.theme import ink
from workbench.tui.widgets.field import Field
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.params import Kind


Suggester = Callable[["Kind"], Callable[[str], str] | None]
"""what completes in a blank of a kind"""


class QuestionLine(Horizontal):
    """Closed it is one line of text; open its blanks are fields."""

    DEFAULT_CSS = """
    QuestionLine { height: 1; layout: horizontal; }
    QuestionLine Static { width: auto; height: 1; }
    QuestionLine Field { width: auto; min-width: 2; }
    """

    def __init__(self, question: Question, values: dict[str, str], suggester: Suggester) -> None:
        super().__init__()
        self.question = question
        self.values = values
        """what the blanks hold, by name; shared by all questions"""
        self.about_at = 0
        """cells from the left where what it is about begins; 0 hides it"""
        self.group_cells = 0
        """cells at the left for what its group is about"""
        self.leads = False
        """whether it is the first shown of its group, and so says what that is about"""
        self.under_cursor = False
        self._suggester = suggester
        self._open = False
        self._aligned: tuple[object, ...] = ()

    def align(self, group_cells: int, leads: bool, about_at: int) -> None:
        """Sets the columns where sentence and explanation begin; redraws only if something has changed."""
        self.group_cells, self.leads, self.about_at = group_cells, leads, about_at
        alignment = (group_cells, leads, about_at, *map(self.value, self.question.examples))
        if alignment != self._aligned:
            self._aligned = alignment
            self.refresh()

    @property
    def is_open(self) -> bool:
        return self._open

    def value(self, name: str) -> str:
        return self.values.get(name, self.question.examples[name])

    def sentence(self, cells: int) -> Text:
        """The question with its blanks filled, in `cells`; long blanks are shortened, none is left out."""
        colors = ink(self.app)
        names = BLANK.findall(self.question.sentence)
        fixed = width(BLANK.sub("⟨⟩", self.question.sentence))
        rooms = _share(cells - fixed, [width(safe(self.value(name))) for name in names])
        text = Text(no_wrap=True)
        for at, part in enumerate(BLANK.split(self.question.sentence)):
            if at % 2:
                text.append("⟨", colors.quiet)
                text.append(shorten(safe(self.value(part)), rooms[at // 2]), colors.accent)
                text.append("⟩", colors.quiet)
            else:
                text.append(part, colors.strong if self.under_cursor else colors.plain)
        return text

    def natural_width(self) -> int:
        return width(safe(self.question.filled({name: self.value(name) for name in self.question.examples})))

    def render(self) -> Text:
        if self._open:
            return Text("")
        colors = ink(self.app)
        cells = self.size.width
        text = Text.assemble(("▌ " if self.under_cursor else "  ", colors.accent), (self._group_label(), colors.quiet))
        text += self.sentence((self.about_at or cells) - 4 - self.group_cells)
        if self.about_at:
            text.append(" " * max(2, self.about_at - width(text.plain)))
            text.append(fit(self.question.about, cells - self.about_at - 1), colors.quiet)
        text.truncate(cells)
        if self.under_cursor:
            text = Text.assemble(text, " " * (cells - width(text.plain)))
            text.stylize(colors.cursor)
        return text

    def _group_label(self) -> str:
        return fit(self.question.group if self.leads else "", self.group_cells)

    async def open(self, at: int) -> None:
        """The blanks become fields; the one at `at` (negative: from the end) gets the focus."""
        if not self._open:
            self._open = True
            self.refresh()
            await self.mount_all(self._pieces())
        self.fields()[at].focus()

    def _pieces(self) -> ComposeResult:
        names = BLANK.findall(self.question.sentence)
        fixed = width(BLANK.sub("⟨⟩", self.question.sentence)) + self.group_cells
        room = max(8, self.size.width - 4 - fixed - len(names))
        limits = _share(room, [max(12, width(safe(self.value(name)))) for name in names])
        yield Piece("▌ ", "accent")
        if self.group_cells:
            yield Piece(self._group_label(), "quiet")
        for at, part in enumerate(BLANK.split(self.question.sentence)):
            if at % 2:
                kind = next(blank.kind for blank in self.question.blanks if blank.name == part)
                field = BlankField(part, self.value(part), self._suggester(kind))
                # The field that is typed in may grow into what the others and the words leave.
                field.styles.max_width = max(limits[at // 2], room - sum(limits) + limits[at // 2])
                yield Piece("⟨", "quiet")
                yield field
                yield Piece("⟩", "quiet")
            elif part:
                yield Piece(part, "strong")

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self.remove_children()
            self.refresh()

    def fields(self) -> list[BlankField]:
        return list(self.query(BlankField))


class Piece(Words):
    """What stands between the blanks."""

    def __init__(self, text: str, style_name: str) -> None:
        super().__init__()
        self._text, self._style_name = text, style_name

    def on_mount(self) -> None:
        self.show(lambda colors: Text(self._text, getattr(colors, self._style_name)))


class BlankField(Field):
    """A blank that is being filled."""

    def __init__(self, blank: str, value: str, suggest: Callable[[str], str] | None) -> None:
        super().__init__(value, suggest=suggest)
        self.blank = blank


def _share(room: int, widths: list[int]) -> list[int]:
    """How many of `room` cells each gets: the short ones their width, the long ones equal shares of the rest."""
    shares: dict[int, Any] = {}
    remaining = max(0, room)
    for at in sorted(range(len(widths)), key=lambda at: widths[at]):
        shares[at] = min(widths[at], remaining // (len(widths) - len(shares)))
        remaining -= shares[at]
    return [shares[at] for at in range(len(widths))]
