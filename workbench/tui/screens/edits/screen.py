"""The edit stack: what is done to the forward pass of every experiment, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.edits import STACK, check_stack_name
from workbench.errors import GrammarError, UserError
from workbench.text import count, fit, safe, shorten, width
from workbench.tui import keys
from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following
from workbench.tui.page import Page
from workbench.tui.screens.edits.saved import StackList
from workbench.tui.suggest import completions
from workbench.tui.theme import ink
from workbench.tui.widgets.ask import Ask, InputRequest
from workbench.tui.widgets.field import Field, pictured
from workbench.tui.widgets.frame import Rule
from workbench.tui.widgets.line_list import LineList
from workbench.tui.widgets.words import Words

if TYPE_CHECKING:
    from workbench.edits import Entry
    from workbench.model_info import ModelInfo
    from workbench.tui.theme import Ink

_GRAMMAR = (
    ("L12.N345=0", "set a neuron's activation, at every position"),
    ("L12.N345*=2", "scale it; heads and sites too"),
    ("L5.H3=0", "switch a head off"),
    ("L12.N345=mean", "its mean over a fixed text; =resample draws its values there"),
    ('L5.H3<"other prompt"', "its value on another prompt, position by position"),
    ("@refusal=0", "project a direction out; L14.resid_post@refusal=0 at one site"),
    ("L14.resid_post+=6*@d", "add a direction; @L12.N345.out is what a neuron writes"),
    ("L12.N345[last]=0", "at some positions: [3] [2-5] [1-] [prompt] [generated]"),
    ("L3.N10-20=0", "a range, both ends included; L3-5.H0 and L5.H* likewise"),
    ("L3.N1, L4.N2 = 0", "a list; `;` separates several edits"),
    ("stack:months", "a saved stack (s saves this one); in a shell: --edit stack:months"),
)


class EditList(LineList):
    """One edit a line: whether it is on, what it is, how many units it touches."""

    DEFAULT_CSS = "EditList { height: auto; max-height: 50%; min-height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.EDIT_LIST)

    def line(self, index: int, cells: int) -> Text:
        page: Edits = self.screen  # type: ignore[assignment]
        colors = ink(self.app)
        entry = page.workbench.edits.entries[index]
        mark = ("[on] ", colors.second) if entry.on else ("[off]", colors.quiet)
        text = Text.assemble((f"{index + 1:>2}  ", colors.quiet), mark, "  ")
        style = colors.strong if entry.on else colors.quiet
        text.append(fit(safe(str(entry.edit)), min(40, max(10, cells - 30))), style)
        return text.append(f"  {_touches(entry.edit.units, page.workbench.model_info)}", colors.quiet)


@lru_cache
def _touches(units: str, info: ModelInfo | None) -> str:
    """How many units an edit touches: drawn again with every key, and a star can mean all of a model's neurons."""
    from workbench.units import names_sets, parse_units

    if names_sets(units):
        return "what is pinned when a step begins"
    try:
        n = len(parse_units(units, info))
    except UserError:
        return "the model has no such unit"
    return f"{count(n)} unit{'' if n == 1 else 's'}"


def _grammar(nothing: bool, colors: Ink) -> Text:
    """What can be typed; before it that there is nothing yet."""
    text = Text()
    if nothing:
        text.append("Nothing is edited: experiments show the model as it is.\n\n", colors.plain)
    example_cells = 2 + max(len(example) for example, _ in _GRAMMAR)
    for example, meaning in _GRAMMAR:
        text.append(fit(example, example_cells), colors.accent)
        text.append(meaning + "\n", colors.quiet)
    return text


class Edits(Page):
    NAME = "Edits"
    ABOUT = (
        "Edits change the forward pass. Those that are on apply to every experiment, in this order, and each result "
        "shows the clean model beside the edited one. Space switches one on or off, J and K move it, x removes it. "
        "s saves the stack under a name in the session; o goes to the saved ones: Enter uses one in place of what is "
        "there, a appends it, x deletes it."
    )
    AUTO_FOCUS = "#edit"
    DEFAULT_CSS = """
    Edits #line { height: 1; padding: 0 2; margin: 1 0 0 0; }
    Edits #line Static { width: auto; color: $quiet; margin-right: 1; }
    Edits #line Field { width: 1fr; }
    Edits #under { height: auto; min-height: 2; padding: 0 2; }
    Edits #grammar { height: 1fr; padding: 1 2 0 2; text-wrap: nowrap; text-overflow: ellipsis; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = list(keys.EDITS)

    def __init__(self) -> None:
        super().__init__()
        self.saved: dict[str, tuple[Entry, ...]] = {}
        """the session's stacks, by name"""
        self._saved_as = ""
        """what the stack was last saved or loaded as"""
        self._reads = Following(self, self._read, lambda sentence: self.trouble(self._reads, sentence))

    def body(self) -> ComposeResult:
        with Horizontal(id="line"):
            yield Static("add")
            yield Field(
                id="edit",
                suggest=lambda text: next(iter(self._completions(text)), ""),
                placeholder="UNITS=VALUE or UNITS*=FACTOR",
            )
        yield Words(id="under")
        yield Rule("applied in this order")
        yield EditList()
        yield Rule("saved in this session", id="saved-rule")
        yield StackList()
        yield Words(id="grammar")
        yield Ask()

    @property
    def lines(self) -> EditList:
        return self.query_one(EditList)

    @property
    def field(self) -> Field:
        return self.query_one("#edit", Field)

    @property
    def stacks(self) -> StackList:
        return self.query_one(StackList)

    def field_keys(self) -> list[tuple[str, str]]:
        if self.query_one(Ask).is_open:
            return [("Enter", "save"), ("Esc", "leave it")]
        return [("Enter", "add"), ("→", "complete"), ("Esc", "to the list")]

    def heading(self) -> tuple[Text, Text]:
        colors = ink(self.app)
        left = Text.assemble((self.NAME, colors.strong), (self.details(), colors.second))
        return left, self.workbench.subject(edits=False)

    def default_focus(self) -> Widget:
        return self.lines

    def details(self) -> str:
        entries = self.workbench.edits.entries
        return f" · {len(self.workbench.edits.on())} of {len(entries)} on" if entries else " · none yet"

    def on_mount(self) -> None:
        self.field.on_text_change = self._typed
        self._fill()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.is_mounted:
            self._fill()
            (self.lines if self.workbench.edits.entries else self.field).focus()

    def _fill(self) -> None:
        entries = self.workbench.edits.entries
        self.lines.set_count(len(entries))
        self.lines.display = bool(entries)
        self.stacks.fill(self.saved)
        self.stacks.display = self.query_one("#saved-rule").display = bool(self.saved)
        if self.stacks.has_focus and not self.saved:
            self.lines.focus()
        self.query_one("#grammar", Words).show(partial(_grammar, not entries))
        self.refresh_frame()

    # --- adding ---

    def _completions(self, text: str) -> list[str]:
        """Whole texts that go on from `text`: units, and saved stacks by name."""
        part = text.rpartition(";")[2].lstrip()
        if part and (STACK.startswith(part) or part.startswith(STACK)):
            before = text[: len(text) - len(part)]
            return [before + STACK + name for name in self.saved if (STACK + name).startswith(part)]
        return completions(self, text, 12)

    def _typed(self) -> None:
        """While typing: the completions; errors wait for Enter."""
        texts = self._completions(self.field.value)
        words = shorten("→ takes " + "  ".join(texts), max(10, self.size.width - 4)) if texts else ""
        under = self.query_one("#under", Words)
        # Lay out only to shrink after a long error, not at every key.
        under.show(lambda colors: Text(words, colors.quiet), layout=under.size.height > 2)

    @on(Input.Submitted, "#edit")
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            return
        try:
            app = self.workbench
            app.edits.add(event.value, app.model_info, self.saved, app.directions)
        except GrammarError as error:
            self._point(error, event.value)
            return
        event.input.value = ""
        self._fill()
        self.lines.action_edge(1)

    def _point(self, error: GrammarError, typed: str) -> None:
        """A caret under the character where it went wrong, and the sentence."""
        part = typed.find(error.text)  # of several edits, the one that is wrong
        at = max(0, part) + error.position
        self.field.cursor_position = min(at, len(typed))
        # The field scrolls: the caret stands where the cursor now is.
        column = max(0, self.field.cursor_screen_offset.x - self.field.region.x)
        if self.field.scroll_offset.x == 0:
            column = width(pictured(typed[:at]))
        caret, problem = " " * (len("add") + 1 + column) + "^ \n", safe(error.problem)
        self.query_one("#under", Words).show(lambda colors: Text.assemble((caret, colors.bad), (problem, colors.plain)))

    # --- changing ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("switch", "remove", "reorder") and not self.workbench.edits.entries:
            return False
        return super().check_action(action, parameters)

    def action_add(self) -> None:
        self.field.focus()

    def action_switch(self) -> None:
        if self.lines.count:
            self.workbench.edits.toggle(self.lines.cursor)
            self._changed()

    @on(EditList.Opened)
    def _opened(self) -> None:
        self.action_switch()

    def action_remove(self) -> None:
        if self.lines.count:
            edits, at = self.workbench.edits, self.lines.cursor
            entry = edits.remove(at)
            self._fill()

            def put_back() -> None:
                edits.put_back(at, entry)
                self._fill()
                self.lines.move_to(at)

            self.removed(f"removed {entry.edit}", str(entry.edit), put_back)

    def action_reorder(self, by: int) -> None:
        if self.lines.count:
            to = self.workbench.edits.reorder(self.lines.cursor, by)
            self.lines.move_to(to)
            self._changed()

    def _changed(self) -> None:
        self.lines.forget_all()
        self.refresh_frame()

    # --- saved stacks ---

    def session_changed(self) -> None:
        self._reads.ask()

    async def _read(self) -> None:
        try:
            self.saved = await self.workbench.feed.read(lambda reader: reader.stacks())
        except NothingYet:
            self.saved = {}
        if list(self.saved.items()) != self.stacks.stacks:
            self._fill()

    def action_saved(self) -> None:
        if self.saved:
            self.stacks.focus()
        else:
            self.say("no stack is saved in this session yet: s saves the one above under a name")

    def action_save_stack(self) -> None:
        if not self.workbench.edits.entries:
            self.say("there is nothing to save: type an edit first")
            return

        def done(name: str) -> None:
            check_stack_name(name.strip())
            self.run_reporting(self._save(name.strip()), "keep")

        self.query_one(Ask).ask(InputRequest("save the stack as", done, self._saved_as, "a name", select=True))

    @on(StackList.Requested)
    def _stack_requested(self, event: StackList.Requested) -> None:
        edits, entries = self.workbench.edits, self.saved.get(event.name, ())
        if event.action == "delete":
            self.run_reporting(self._delete(event.name), "keep")
            return
        replaced = list(edits.entries) if event.action == "use" else []
        if event.action == "use":
            edits.entries = []
        edits.append(entries)
        self._saved_as = event.name
        self._fill()
        sentence = f"{STACK}{event.name} {'is the stack now' if event.action == 'use' else 'is appended'}"
        if replaced:
            self.removed(sentence, "the stack before", partial(self._bring_back, replaced, list(edits.entries)))
        else:
            self.say(sentence)

    def _bring_back(self, entries: list[Entry], used: list[Entry]) -> None:
        """The stack that was there before `used`; what was added since stays, on top."""
        edits = self.workbench.edits
        added = [entry for entry in edits.entries if entry not in used]
        edits.entries = entries
        edits.append(added)
        self._fill()

    async def _keep(self, name: str, entries: Sequence[Entry], session: Path) -> None:
        from workbench.worker.protocol import KeepStack

        await self.workbench.request(KeepStack(session=str(session), name=name, entries=list(entries)))
        self._saved_as = name
        self.workbench.feed.hint()

    async def _save(self, name: str) -> None:
        """In place of a stack that has the name."""
        session, before = self.workbench.session_path(), self.saved.get(name)
        entries = tuple(self.workbench.edits.entries)
        await self._keep(name, entries, session)
        sentence = f"saved: --edit {STACK}{name} applies it from a shell"
        if before in (None, entries):
            self.say(sentence)
        else:
            self.removed(
                f"{sentence}; the {name} before is replaced", f"the {name} before",
                lambda: self._keep(name, before or (), session), session,
            )  # fmt: skip

    async def _delete(self, name: str) -> None:
        from workbench.worker.protocol import KeepStack

        session, entries = self.workbench.session_path(), self.saved[name]
        await self.workbench.request(KeepStack(session=str(session), name=name, remove=True))
        self._saved_as = ""
        self.workbench.feed.hint()
        self.removed(f"deleted {name}", name, lambda: self._keep(name, entries, session), session)
