"""What the control process does for each request of a front."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from workbench.artifacts.direction import direction_names
from workbench.edits import Edit, check_stack, check_stack_name
from workbench.errors import UserError
from workbench.experiment import command_line
from workbench.experiments import experiment
from workbench.model_info import ModelInfo
from workbench.params import make_params, params_builtins
from workbench.session.directions import directions_of, units_in
from workbench.session.sets import without_sets
from workbench.units import parse_units
from workbench.worker.connection import Connection
from workbench.worker.jobs import Job
from workbench.worker.messages import PartBegan
from workbench.worker.place import package_version
from workbench.worker.protocol import (
    Attach,
    Cancel,
    Done,
    Hello,
    KeepStack,
    Message,
    Note,
    Peek,
    Pin,
    RemoveArtifact,
    Rename,
    Status,
    Stop,
    Submit,
    Submitted,
    Welcome,
)

if TYPE_CHECKING:
    from workbench.worker.control import Control


async def handle(control: Control, front: Connection, message: Message) -> Message | None:
    """The answer, or None where it comes later. Raises UserError to refuse."""
    if not isinstance(message, Status):
        control.touch()
    match message:
        case Hello():
            front.greeted = True
            front.tell_status(control.status())
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
            session = _session(message.session)
            await control.keeper.do(session, lambda writer: writer.note(message.text, message.step))
            _changed(control, session, message.step or 0)
        case Pin():
            session = _session(message.session)
            await control.keeper.do(session, lambda writer: writer.pin(message.unit, message.name, message.remove))
            _changed(control, session, 0)
        case KeepStack():
            check_stack_name(message.name)
            session = _session(message.session)
            await control.keeper.do(
                session, lambda writer: writer.keep_stack(message.name, message.entries, message.remove)
            )
            _changed(control, session, 0)
        case RemoveArtifact():
            session = _session(message.session)
            await control.keeper.do(session, lambda writer: writer.remove_artifact(message.kind, message.name))
            _changed(control, session, 0)
        case Rename():
            session = _session(message.session)
            await control.keeper.do(session, lambda writer: writer.rename(message.title))
            _changed(control, session, 0)
    return Done()


def _stop(control: Control, message: Stop) -> Message:
    if message.when == "idle" and len(control.jobs):
        raise UserError(f"the worker {os.getpid()} is busy: {len(control.jobs)} steps run or wait")
    asyncio.get_running_loop().call_soon(control.stopped.set)
    return Done()


async def _submit(control: Control, front: Connection, message: Submit) -> Message:
    if control.stopped.is_set():
        raise UserError("the worker is stopping: run it again to start another")
    session = _session(message.session)
    named, edits = await asyncio.to_thread(without_sets, session, message.params, message.edits)
    params, command, long = await asyncio.to_thread(
        _checked, message.experiment, named, edits, control.info, control.spec.model, message.seed
    )
    again = message.parent if message.again else None
    directions = await asyncio.to_thread(directions_of, params, edits, session, again)
    front.sessions.setdefault(session, message.session)
    step = await control.keeper.add_step(
        session,
        lambda writer: writer.add_step(
            message.experiment,
            params,
            edits,
            seed=message.seed,
            expected=message.expected,
            parent=message.parent,
            origin=message.origin,
            command=command,
            uses=[direction.use for direction in directions.values()],
            names=message.names,
        ),
    )
    control.enqueue(
        Job(
            experiment=message.experiment,
            params=params,
            edits=edits,
            seed=message.seed,
            directions=directions,
            session=session,
            named=message.session,
            step=step,
            batch=long,
        )
    )
    return Submitted(session=message.session, step=step)


async def add_part(control: Control, job: Job, message: PartBegan) -> int:
    """The row of a part of a step; gives its number. Raises UserError where it can't be written."""
    params, command, _ = await asyncio.to_thread(
        _checked, message.experiment, message.params, message.edits, control.info, control.spec.model, job.seed
    )
    named = direction_names(message.edits, units_in(params))
    return await control.keeper.add_step(
        job.session,
        lambda writer: writer.add_step(
            message.experiment,
            params,
            message.edits,
            seed=job.seed,
            parent=job.step,
            origin="part",
            command=command,
            uses=[direction.use for name, direction in job.directions.items() if name in named],
        ),
    )


async def _peek(control: Control, front: Connection, message: Peek) -> None:
    params, _, _ = await asyncio.to_thread(
        _checked, message.experiment, message.params, message.edits, control.info, control.spec.model, 0
    )
    control.enqueue(
        Job(
            experiment=message.experiment,
            params=params,
            edits=message.edits,
            directions=await asyncio.to_thread(directions_of, params, message.edits, message.session),
            client=front,
            peek=message.id,
            slot=message.slot,
        )
    )


def _cancel(control: Control, message: Cancel) -> Message:
    job = control.jobs.find(_session(message.session), message.step)
    if job is None:
        raise UserError(f"step {message.step} does not run here, and does not wait")
    control.cancel(job)
    return Done()


async def _attach(control: Control, front: Connection, message: Attach) -> Message:
    session = _session(message.session)
    front.sessions[session] = message.session
    await control.keeper.mark_lost(session)
    return Done()


def _session(path: str) -> str:
    """One name for one file."""
    if not os.path.isabs(path) or "\0" in path:
        raise UserError(f"a session is named by its absolute path, and {path!r} is none")
    return os.path.realpath(path)


def _changed(control: Control, session: str, step: int) -> None:
    for connection in control.connections:
        connection.tell_change(session, step, 0)


def _checked(
    name: str, params: dict[str, Any], edits: list[Edit], info: ModelInfo | None, model: str, seed: int
) -> tuple[dict[str, Any], str, bool]:
    """Parameters with their defaults, the command line, whether it is long. Raises UserError for what can never run."""
    found = experiment(name)
    values = make_params(found.params, params)
    if edits and not found.takes_edits:
        raise UserError(f"{found.name} takes no edits: run it without them")
    if info:
        check_stack(edits, info)
    for edit in edits:
        if "*" not in edit.units:  # what a star means only the model tells
            parse_units(edit.units)
    shown = None if model == "default" else model
    return params_builtins(values), command_line(name, values, edits, model=shown, seed=seed), found.is_long(values)
