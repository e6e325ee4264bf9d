"""What the control process does for each request of a front."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from workbench.artifacts.direction import check_direction_name
from workbench.edits import check_stack_name
from workbench.errors import UserError
from workbench.session.submission import Submission, make_submission
from workbench.worker.connection import Connection
from workbench.worker.control import Control
from workbench.worker.jobs import Job
from workbench.worker.protocol import (
    Attach,
    Cancel,
    Done,
    Hello,
    KeepDirection,
    KeepStack,
    Message,
    Note,
    Peek,
    Pin,
    RemoveArtifact,
    Rename,
    RenameArtifact,
    Status,
    Stop,
    Submit,
    Submitted,
    Welcome,
)
from workbench.worker.worker_files import package_version


async def handle(control: Control, front: Connection, message: Message) -> Message | None:
    """The answer, or None where it comes later. Raises UserError to refuse."""
    if not isinstance(message, Status):
        control.touch()
    match message:
        case Hello():
            front.greeted = True
            front.send_status(control.status())
            return Welcome(version=package_version(), pid=os.getpid())
        case Status():
            return control.status()
        case Stop():
            return _stop(control, message)
        case Submit():
            return await _submit(control, front, message)
        case Peek():
            await _peek(control, front, message)
            return None
        case Cancel():
            return _cancel(control, message)
        case Attach():
            return await _attach(control, front, message)
        case Note():
            session = _real_path(message.session)
            await control.writer_thread.do(session, lambda writer: writer.note(message.text, message.step))
            _announce_change(control, session, message.step or 0)
        case Pin():
            session = _real_path(message.session)
            await control.writer_thread.do(
                session, lambda writer: writer.pin(message.unit, message.name, message.remove)
            )
            _announce_change(control, session, 0)
        case KeepStack():
            check_stack_name(message.name)
            session = _real_path(message.session)
            await control.writer_thread.do(
                session, lambda writer: writer.keep_stack(message.name, message.entries, message.remove)
            )
            _announce_change(control, session, 0)
        case RemoveArtifact():
            session = _real_path(message.session)
            await control.writer_thread.do(session, lambda writer: writer.remove_artifact(message.kind, message.name))
            _announce_change(control, session, 0)
        case KeepDirection():
            check_direction_name(message.direction.name)
            session = _real_path(message.session)
            await control.writer_thread.do(session, lambda writer: writer.keep_artifact(message.direction.use))
            _announce_change(control, session, 0)
        case RenameArtifact():
            check_direction_name(message.new_name)
            session = _real_path(message.session)
            await control.writer_thread.do(
                session, lambda writer: writer.rename_artifact(message.kind, message.name, message.new_name)
            )
            _announce_change(control, session, 0)
        case Rename():
            session = _real_path(message.session)
            await control.writer_thread.do(session, lambda writer: writer.rename(message.title))
            _announce_change(control, session, 0)
    return Done()


def _stop(control: Control, message: Stop) -> Message:
    if message.when == "idle" and len(control.jobs):
        raise UserError(f"the worker {os.getpid()} is busy: {len(control.jobs)} steps run or wait")
    problems = control.writer_thread.problems
    if problems:
        pid = os.getpid()
        raise UserError(
            f"the worker {pid} holds results that are in no file yet: {problems[0]}; once there is room they are "
            f"written and it can be stopped, and `kill {pid}` ends it without them"
        )
    asyncio.get_running_loop().call_soon(control.stopped.set)
    return Done()


async def _submit(control: Control, front: Connection, message: Submit) -> Message:
    if control.stopped.is_set():
        raise UserError("the worker is stopping: run it again to start another")
    session = _real_path(message.session)
    submission = await _checked_submission(
        control,
        message,
        session=session,
        seed=message.seed,
        names=message.names,
        again=message.parent if message.again else None,
        transfer=message.transfer,
        judge=message.judge,
    )
    front.sessions.setdefault(session, message.session)
    step = await control.writer_thread.add_step(
        session, submission, expected=message.expected, parent=message.parent, origin=message.origin
    )
    control.enqueue(Job(submission, session=session, session_as_submitted=message.session, step=step))
    return Submitted(session=message.session, step=step)


async def _peek(control: Control, front: Connection, message: Peek) -> None:
    submission = await _checked_submission(control, message, session=message.session, again=message.step)
    control.enqueue(Job(submission, client=front, peek=message.id, slot=message.slot))


async def _checked_submission(control: Control, message: Submit | Peek, **more: Any) -> Submission:
    """The request as a checked submission. Raises UserError for what could never run."""
    return await asyncio.to_thread(
        make_submission,
        message.experiment,
        message.params,
        message.edits,
        info=control.info,
        model=control.spec.shown,
        **more,
    )


def _cancel(control: Control, message: Cancel) -> Message:
    job = control.jobs.find(_real_path(message.session), message.step)
    if job is None:
        raise UserError(f"step {message.step} does not run here, and does not wait")
    control.cancel(job)
    return Done()


async def _attach(control: Control, front: Connection, message: Attach) -> Message:
    session = _real_path(message.session)
    front.sessions[session] = message.session
    await control.writer_thread.mark_lost(session)
    return Done()


def _real_path(path: str) -> str:
    """One name for one file."""
    if not os.path.isabs(path) or "\0" in path:
        raise UserError(f"a session is named by its absolute path, and {path!r} is none")
    return os.path.realpath(path)


def _announce_change(control: Control, session: str, step: int) -> None:
    for connection in control.connections:
        connection.send_change(session, step, 0)
