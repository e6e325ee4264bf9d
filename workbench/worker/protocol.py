"""The messages between fronts, control process and model process. PROTOCOL.md is the document.

Frames: 4 bytes big-endian length, then one msgpack map with a `type`.
`hello`, `status`, `stop` and their answers never change, so that an old worker can always be asked to go.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from workbench.artifacts.direction import Direction
from workbench.edits import Edit, Entry
from workbench.judging import JudgeCommand
from workbench.model_info import ModelInfo

PROTOCOL_VERSION = 2
MAX_FRAME = 1 << 30
"""bytes; a longer frame is a foreign or broken peer"""


class Message(msgspec.Struct, kw_only=True, tag_field="type", tag=lambda name: name.lower()):
    """`id` pairs an answer with its request; events have none."""

    id: int = 0


# --- front → control: these three never change -----------------------------------------------------


class Hello(Message):
    protocol: int = PROTOCOL_VERSION
    version: str = ""
    client: str = ""
    """tui, cli, test …"""


class Status(Message):
    pass


class Stop(Message):
    when: Literal["now", "idle"] = "now"
    """`idle` is refused while anything runs or waits"""


# --- front → control ---------------------------------------------------------------------------------


class Submit(Message, kw_only=True):
    """Queue a step. Answered by Submitted once its row is in the session file, or Refused."""

    session: str
    """absolute path; the file is made if there is none"""
    experiment: str
    params: dict[str, Any]
    edits: list[Edit] = []
    seed: int = 0
    expected: str = ""
    """what the user expects, written before the result"""
    parent: int | None = None
    """the step it was forked from or is a part of"""
    again: bool = False
    """the parent is run again: names of directions stand for what it recorded"""
    transfer: bool = False
    """directions of another model of the same width may be used"""
    names: dict[str, str] = {}
    """what prompt sets among the parameters are called, by parameter"""
    judge: JudgeCommand | None = None
    """of this command line or the user's settings: what is stored never brings one"""
    origin: str = "cli"


class Cancel(Message, kw_only=True):
    session: str
    step: int


class Peek(Message, kw_only=True):
    """A short question about what follows the cursor; not logged. A newer one replaces a waiting one of its slot."""

    slot: str
    experiment: str
    params: dict[str, Any]
    edits: list[Edit] = []
    session: str = ""
    """absolute path of the session whose directions names stand for, if any"""
    step: int | None = None
    """a step of it that this is about: names stand for the directions that it recorded"""


class Note(Message, kw_only=True):
    session: str
    step: int | None = None
    text: str


class Pin(Message, kw_only=True):
    session: str
    unit: str
    name: str = ""
    """a named set; empty is the basket"""
    remove: bool = False


class KeepStack(Message, kw_only=True):
    """An edit stack under a name, in place of one that had it."""

    session: str
    name: str
    entries: list[Entry] = []
    remove: bool = False


class RemoveArtifact(Message, kw_only=True):
    """Takes the name off an artifact of the session; what no step uses goes."""

    session: str
    kind: str
    name: str


class KeepDirection(Message, kw_only=True):
    """A direction that was imported, under its name."""

    session: str
    direction: Direction


class RenameArtifact(Message, kw_only=True):
    """Another name for an artifact of the session."""

    session: str
    kind: str
    name: str
    new_name: str


class Rename(Message, kw_only=True):
    """The session's title."""

    session: str
    title: str


class Attach(Message, kw_only=True):
    """Send Changed events of this session; marks steps of dead workers as lost."""

    session: str


# --- control → front ---------------------------------------------------------------------------------


class Welcome(Message, kw_only=True):
    protocol: int = PROTOCOL_VERSION
    version: str = ""
    pid: int = 0


class JobState(msgspec.Struct, kw_only=True):
    session: str
    step: int
    experiment: str
    state: str
    ends: float | None = None
    """when it is expected to be done, in seconds since the epoch; None where that is not known"""


class Unwritten(msgspec.Struct, frozen=True):
    """A step that is over and whose result could not be written yet: it is kept in memory and tried again."""

    session: str
    """its real path"""
    step: int
    reason: str


class WorkerStatus(Message, kw_only=True):
    """Also sent as an event to everyone who said hello, whenever it changes."""

    pid: int = 0
    model_pid: int = 0
    version: str = ""
    model: str = ""
    """as requested"""
    device: str = ""
    """as requested; `info` has the actual one"""
    dtype: str = ""
    stage: str = "starting"
    """starting, finding, downloading, converting, importing, loading, ready, busy, restarting, failed, stopping; of one
    that does not answer, which `ps` lists too: silent"""
    detail: str = ""
    """a sentence for the stage; the reason where failed"""
    fraction: float | None = None
    seconds_left: float | None = None
    info: ModelInfo | None = None
    memory: int = 0
    """bytes held by the model process; on a GPU the device's"""
    cached: int = 0
    """bytes of them that are clean passes kept for later steps: bounded, and given back where memory runs out"""
    free: int = 0
    """bytes of memory that can still be taken where the model lies, when its last job ended; 0 where it is not known"""
    jobs: list[JobState] = []
    unwritten: list[Unwritten] = []
    idle_seconds: float = 0
    started: float = 0


class Submitted(Message, kw_only=True):
    session: str
    step: int


class Done(Message):
    """The request was carried out (cancel, note, pin, keepstack, rename, attach, stop)."""


class Refused(Message, kw_only=True):
    """A sentence for the user."""

    reason: str


class PeekAnswer(Message, kw_only=True):
    slot: str
    headline: str = ""
    scalars: dict[str, float | None] = {}
    views: list[dict[str, Any]] = []
    """views as builtins; arrays as {"dtype", "shape", "data"}"""
    error: str = ""
    replaced: bool = False
    """a newer peek took its place"""


class Changed(Message, kw_only=True):
    """A hint: step `step` of the session has a new revision. May be lost or merged."""

    session: str
    step: int
    revision: int


Request = (
    Hello
    | Status
    | Stop
    | Submit
    | Cancel
    | Peek
    | Note
    | Pin
    | KeepStack
    | RemoveArtifact
    | KeepDirection
    | RenameArtifact
    | Rename
    | Attach
)
Reply = Welcome | WorkerStatus | Submitted | Done | Refused | PeekAnswer | Changed
