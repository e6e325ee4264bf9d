"""What the Directions screen asks of the session and the worker: which there are, previews, continuations."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.timer import Timer

from workbench.errors import UserError
from workbench.result_keys import Along
from workbench.tui.feed import NothingYet
from workbench.tui.latest import Following, Latest
from workbench.tui.screens.directions.catalogue import Catalogue, Entry
from workbench.tui.screens.directions.findings import Attempt, Finder, Findings, Projected, Question
from workbench.tui.worker_words import ready
from workbench.views import Table

if TYPE_CHECKING:
    from workbench.session.reader import SessionReader
    from workbench.tui.context import Context
    from workbench.tui.page import Page
    from workbench.tui.screens.directions.dial import Dialled
    from workbench.worker.protocol import PeekAnswer

TOKENS = 40
"""of a continuation at most"""
SLOT = "directions-project"
SETTLED = 0.4
"""seconds for which the cursor, or the dial, has to stand still before the model is asked"""
_PREVIEWS = 64
"""remembered at most"""


class DirectionsState:
    """Belongs to one screen. Results are in the session file; this holds what was read of it, and the cursor's key."""

    def __init__(self, screen: Page, question: Callable[[], Question], changed: Callable[[], None]) -> None:
        """`question` is the dial's; `changed` is called when something else is to be shown."""
        self.screen, self._question, self._changed = screen, question, changed
        self.entries: list[Entry] = []
        self.findings = Findings()
        self.read_once = False
        """what is shown is what there is"""
        self._chosen: tuple[str, str, int | None] | None = None
        """the key of the entry under the cursor"""
        self._found_for: tuple[str, str, int | None] | None = None
        self._catalogue, self._finder = Catalogue(), Finder()
        self._previews: OrderedDict[str, Projected | str] = OrderedDict()
        """by hash; or why there is none"""
        self._reads = Following(screen, self._read, lambda sentence: screen.trouble(self, sentence))
        self._peeks = Latest(screen, self._peek, lambda sentence: None)
        self._settling: Timer | None = None
        self._trying: Timer | None = None
        self._own: tuple[int, object] | None = None
        """the step that the dial asked for last, and what it asked"""

    @property
    def app(self) -> Context:
        return self.screen.workbench

    @property
    def entry(self) -> Entry | None:
        """The direction under the cursor."""
        return next((entry for entry in self.entries if entry.key == self._chosen), None)

    @property
    def projected(self) -> Projected | None:
        """What the direction is held against: of its latest step, else of a preview."""
        if self.findings.projected is not None or self.entry is None:
            return self.findings.projected
        preview = self._previews.get(self.entry.hash)
        return preview if isinstance(preview, Projected) else None

    @property
    def waits(self) -> str:
        """Why nothing is known yet of what it promotes."""
        entry, link = self.entry, self.app.link
        if entry is None or not entry.hash:
            return ""
        preview = self._previews.get(entry.hash)
        if isinstance(preview, str):
            return preview
        if link is None:
            return "not projected in this session, and a replay has no model"
        return "projecting it" if ready(link) else "what it promotes: waiting for the model"

    # --- reading ---

    def reread(self) -> None:
        self._reads.ask()

    def choose(self, index: int) -> None:
        """The cursor is on this entry."""
        if index < len(self.entries) and self.entries[index].key != self._chosen:
            self._chosen = self.entries[index].key
            self._reads.ask()
            self._settle()

    def forget(self) -> None:
        """Another session."""
        self.entries, self.findings, self._chosen, self._own = [], Findings(), None, None
        self._finder.forget()
        self._reads.ask()

    async def _read(self) -> None:
        question = self._question()

        def read(reader: SessionReader | None) -> tuple[list[Entry], Entry | None, Findings]:
            entries = self._catalogue.read(reader)
            chosen = self._same(entries) or (entries[0] if entries else None)
            if chosen is None or reader is None:
                return entries, chosen, Findings()
            return entries, chosen, self._finder.read(reader, chosen, question)

        try:
            entries, chosen, findings = await self.app.feed.read(read)
        except NothingYet:
            entries, chosen, findings = await asyncio.to_thread(read, None)
        self.entries, self.findings, self.read_once = entries, findings, True
        self._chosen = chosen.key if chosen else None
        self._changed()
        if self._chosen != self._found_for:
            self._found_for = self._chosen
            self._settle()

    def _same(self, entries: list[Entry]) -> Entry | None:
        """The entry under the cursor among these: also one that its step has made meanwhile."""
        key = self._chosen
        if key is None:
            return None
        same = next((entry for entry in entries if entry.key == key), None)
        return same or next((entry for entry in entries if entry.step is not None and entry.step == key[2]), None)

    # --- the preview of what it promotes ---

    def _settle(self) -> None:
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.screen.set_timer(SETTLED, self._peeks.ask)

    def worker_changed(self) -> None:
        """A model may be ready now."""
        if ready(self.app.link) and self.projected is None and self._settling is None:
            self._settle()

    async def _peek(self) -> None:
        from workbench.worker.peeks import peek_views
        from workbench.worker.protocol import Peek

        self._settling = None
        entry = self.entry
        if entry is None or not entry.hash or entry.hash in self._previews or self.findings.projected is not None:
            return
        if not ready(self.app.link) or self.app.page_now is not self.screen:
            return
        session = str(self.app.feed.path) if self.app.feed.exists() else ""
        message = Peek(
            slot=SLOT, experiment="project", params={"direction": f"@{entry.name}", "top": 8}, session=session
        )
        try:
            answer: PeekAnswer = await self.app.request(message)
            if answer.replaced:
                return
            self._previews[entry.hash] = Projected(_by_key(peek_views(answer)), answer.scalars)
        except UserError as error:
            self._previews[entry.hash] = str(error)
        while len(self._previews) > _PREVIEWS:
            self._previews.popitem(last=False)
        self._changed()

    # --- the dial ---

    @property
    def running(self) -> Attempt | None:
        """The continuation of the dial's question that is not finished."""
        return next((attempt for attempt in self.findings.attempts if not attempt.finished), None)

    def attempt(self, strength: float) -> Attempt | None:
        """What is known, or under way, of this strength."""
        return next((each for each in self.findings.attempts if each.strength == strength and each.useful), None)

    def turn(self, dialled: Dialled, at_once: bool) -> None:
        """The dial says something else: what runs is cancelled; what is not known yet is asked."""
        if self._trying is not None:
            self._trying.stop()
        delay = 0.0 if at_once else SETTLED
        self._trying = self.screen.set_timer(
            delay or 0.001, lambda: self.screen.run_reporting(self._try(dialled), "directions")
        )

    async def _try(self, dialled: Dialled) -> None:
        from workbench.edits import parse_edits

        await self._read()  # what was tried of this very question
        entry, (question, strength) = self.entry, dialled
        if entry is None or not entry.hash:
            return
        asked = (entry.key, dialled)
        if self._own is not None and self._own[1] != asked:
            await self._cancel_own()
        if self.attempt(strength) is not None or strength == 0:
            return
        if self.app.link is None:
            raise UserError("this is a replay, and this strength was not tried in it: `workbench` alone has a model")
        if not question.text:
            raise UserError("your text is empty: i writes one")
        sign = "+" if strength > 0 else "-"
        edits = parse_edits([f"{question.site}{sign}={abs(strength)!r}*@{entry.name}"], self.app.model_info)
        params: dict[str, Any] = {"prompt": question.text, "tokens": TOKENS}
        if question.chat:
            params["chat"] = True
        step = await self.app.submit("generate", params, edits, parent=None if entry.file else entry.step)
        self._own = (step, asked)
        self.app.remember_prompt(question.text)
        self.reread()

    async def _cancel_own(self) -> None:
        """What this screen asked for last, if it still runs."""
        from workbench.worker.protocol import Cancel

        own, self._own = self._own, None
        if own is None:
            return
        try:
            await self.app.request(Cancel(session=str(self.app.feed.path), step=own[0]))
        except UserError:
            pass  # it is done already

    # --- changing ---

    def rename(self, entry: Entry, name: str) -> None:
        """Raises UserError for what is no name."""
        from workbench.artifacts.direction import NAME, check_direction_name
        from workbench.worker.protocol import RenameArtifact

        new = name.strip().removeprefix("@")
        check_direction_name(new)

        async def send() -> None:
            session = str(self.app.session_path())
            await self.app.request(RenameArtifact(session=session, kind=NAME, name=entry.name, new_name=new))
            self.screen.say(f"@{entry.name} is called @{new} now; steps that used it keep the old name")
            self._changed_on_disk()

        self.screen.run_reporting(send(), "directions")

    def remove(self, entry: Entry) -> None:
        """Its file, or its name in the session."""
        self.screen.run_reporting(self._delete_file(entry) if entry.file else self._take_name(entry), "directions")

    async def _delete_file(self, entry: Entry) -> None:
        from workbench.artifacts import find_artifact, kinds
        from workbench.artifacts.direction import NAME
        from workbench.files import write_whole

        kind, file = kinds()[NAME], Path(entry.file)

        def delete() -> bytes:
            artifact = find_artifact(kind.listed(), entry.name, NAME)
            data = file.read_bytes()
            kind.remove(artifact)
            return data

        data = await asyncio.to_thread(delete)
        self._changed_on_disk()

        def put_back() -> None:
            try:
                write_whole(file, data, private=True)
            except OSError as error:
                raise UserError(f"{file} can't be written: {error.strerror}") from None
            self._changed_on_disk()

        self.screen.removed(f"removed {file}; sessions that used it keep theirs", str(file), put_back)

    async def _take_name(self, entry: Entry) -> None:
        from workbench.artifacts.direction import NAME
        from workbench.worker.protocol import KeepDirection, RemoveArtifact

        session = self.app.session_path()
        direction = None if entry.problem else self._catalogue.direction(entry)
        await self.app.request(RemoveArtifact(session=str(session), kind=NAME, name=entry.name))
        self._changed_on_disk()
        sentence = f"@{entry.name} names nothing any more; steps that used it keep their numbers"
        if direction is None:
            self.screen.say(sentence)
            return

        async def put_back() -> None:
            await self.app.request(KeepDirection(session=str(session), direction=direction))
            self._changed_on_disk()

        self.screen.removed(sentence, f"@{entry.name}", put_back, session)

    def _changed_on_disk(self) -> None:
        self.app.feed.hint()
        self.reread()

    def export(self, entry: Entry, file: str) -> None:
        """Raises UserError for a name that is none."""
        from workbench.artifacts.direction import write_direction

        path = Path(file.strip()).expanduser()
        if not file.strip():
            raise UserError("a file is needed, such as refusal.safetensors")
        write_direction(self._catalogue.direction(entry), path)
        self.screen.say(f"@{entry.name} is in {path.absolute()}: {entry.origin.words}")


def _by_key(views: list[Any]) -> dict[str, Any]:
    """A preview's tables, which come without their keys, by what their columns are."""
    tables: dict[str, Any] = {}
    for key, columns in (
        (Along.PROMOTES, {Along.TOKEN, Along.SUPPRESSED}),
        (Along.NEURONS, {Along.RELATION, Along.UNIT}),
        (Along.DIRECTIONS, {Along.DIRECTION, Along.RANDOM}),
    ):
        for view in views:
            if isinstance(view, Table) and columns <= {column.key for column in view.columns}:
                tables[key] = view
    return tables
