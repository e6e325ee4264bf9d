"""Writing a session: one writer at a time, every change one transaction, nothing finished is ever lost.

Used by the control process (from one thread) and by the Python API. Readers follow by `PRAGMA data_version`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from workbench.artifacts import Use, sae_names, with_sae_names
from workbench.edits import Edit, Entry, Function, stack_text
from workbench.errors import UserError
from workbench.experiments import experiments
from workbench.model_info import ModelInfo
from workbench.params import LABEL, label_of
from workbench.report import NextStep, Progress
from workbench.session import artifacts, store
from workbench.session.encode import encode_views
from workbench.session.features import check_features, use_of
from workbench.session.format import MAX_JSON
from workbench.session.owner import may_run
from workbench.session.records import FINISHED, LOST_ERROR, Status
from workbench.session.stored_sets import extract_sets
from workbench.session.submission import Submission
from workbench.session.update import Update
from workbench.session.writable_file import WritableFile
from workbench.text import size
from workbench.views import AnyView


class SessionWriter(WritableFile):
    """What is written into a session: steps with their results, notes, pins, stacks, artifacts, the title."""

    # --- steps ---------------------------------------------------------------------------------------

    def add_step(
        self,
        experiment: str,
        params: Mapping[str, Any],
        edits: Sequence[Edit] = (),
        *,
        seed: int = 0,
        expected: str = "",
        parent: int | None = None,
        origin: str = "python",
        command: str = "",
        uses: Sequence[Use] = (),
        names: Mapping[str, str] | None = None,
    ) -> int:
        """A queued step; its number. Raises UserError, also for a parent that is not there.

        `uses` are the artifacts that it begins with, `names` those of its prompt sets by parameter. What a reader would
        refuse for its size is refused here.
        """
        stored_params, set_uses = extract_sets(experiment, params, names or {})
        params_text, edits_text = _json(stored_params), stack_text(edits)
        n_bytes = sum(len(text.encode()) for text in (params_text, edits_text, expected))
        if n_bytes > MAX_JSON:
            raise UserError(
                f"the step's texts take {size(n_bytes)}, and a session keeps at most {size(MAX_JSON)} of them: give a "
                "shorter prompt, or a set of prompts"
            )
        with self._change(new=True) as connection:
            if parent is not None and not store.exists(connection, "step", parent):
                raise UserError(f"there is no step {parent} in {self.path} to go on from")
            cursor = connection.execute(
                "INSERT INTO step (uuid, parent, experiment, label, params, edits, seed, expected, replayable, origin,"
                " command, created, owner, status, error, headline, versions, scalars, progress, remarks, next_steps,"
                " revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                " 'queued', '', '', '{}', '{}', '{}', '[]', '[]', 1)",
                (
                    str(uuid.uuid4()),
                    parent,
                    experiment,
                    _label(
                        experiment,
                        params,
                        [use.name or artifacts.name_of(connection, use.content.hash) for use in set_uses],
                    ),
                    params_text,
                    edits_text,
                    seed,
                    expected,
                    not any(isinstance(edit, Function) for edit in edits),
                    origin,
                    command,
                    time.time(),
                    self._owner,
                ),
            )
            step = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO edit (step, position, op, units, text, spec) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (step, position, edit.__struct_config__.tag, edit.units, str(edit), _json(edit))
                    for position, edit in enumerate(edits)
                ],
            )
            artifacts.put_uses(connection, step, [*set_uses, *uses])
        return step

    def submit(
        self, submission: Submission, *, expected: str = "", parent: int | None = None, origin: str = "python"
    ) -> int:
        """`add_step` for a run as it was checked."""
        return self.add_step(
            submission.experiment,
            submission.params,
            submission.edits,
            seed=submission.seed,
            expected=expected,
            parent=parent,
            origin=origin,
            command=submission.command,
            uses=[direction.use for direction in submission.directions.values()],
            names=submission.names,
        )

    def start(
        self,
        step: int,
        info: ModelInfo | None = None,
        versions: Mapping[str, str] | None = None,
        at: float | None = None,
    ) -> int:
        """The step runs since `at` (now), on this model. Returns its revision."""
        with self._change() as connection:
            model = None if info is None else store.model_row(connection, info)
            connection.execute(
                "UPDATE step SET status = 'running', started = ?, model = ?, versions = ? WHERE id = ?",
                (time.time() if at is None else at, model, _json(versions or {}), step),
            )
            return store.bump(connection, step)

    def publish(
        self,
        step: int,
        *,
        headline: str | None = None,
        scalars: Mapping[str, float | None] | None = None,
        progress: Progress | None = None,
        remarks: Sequence[str] | None = None,
        next_steps: Sequence[NextStep] | None = None,
        views: Mapping[str, AnyView] | None = None,
    ) -> int:
        """Results so far; views replace the ones of their key, what is None stays. Returns the revision."""
        return self.apply(
            step,
            Update(
                headline=headline,
                scalars=scalars,
                progress=progress,
                remarks=remarks,
                next_steps=next_steps,
                views=None if views is None else encode_views(views),
            ),
        )

    def finish(self, step: int, status: Status, *, error: str = "") -> int:
        """The end of a step. Returns the revision."""
        return self.apply(step, Update(), status, error)

    def apply(
        self, step: int, update: Update, status: Status | None = None, error: str = "", at: float | None = None
    ) -> int:
        """An update and, with a status, the end of the step (at `at`), in one transaction. Returns the revision."""
        if status is not None and status not in FINISHED:
            raise ValueError(f"{status} is no end")
        with self._change() as connection:
            store.put_update(connection, step, update)
            artifacts.put_uses(connection, step, update.artifacts)
            if status is not None:
                store.put_end(connection, step, status, error, at)
            return store.bump(connection, step)

    def mark_lost(self, active: Collection[int] = ()) -> list[int]:
        """Steps that wait or run in a process that is gone become `lost`. Returns their numbers.

        So do those whose owner is this very process and that are not among the `active` ones.
        """
        with self._change() as connection:
            open_steps = connection.execute(
                "SELECT id, owner FROM step WHERE status IN ('queued', 'running') ORDER BY id"
            ).fetchall()
            lost = [
                step
                for step, owner in open_steps
                if (step not in active if owner == self._owner else not may_run(owner))
            ]
            for step in lost:
                store.put_end(connection, step, "lost", LOST_ERROR)
                store.bump(connection, step)
        return lost

    def set_fingerprint(self, info: ModelInfo, since: float) -> None:
        """Completes the rows of a model that were written after `since`, before its fingerprint was known."""
        with self._change() as connection:
            store.set_fingerprint(connection, info, since)

    # --- notes, pins, stacks, artifacts, title ---------------------------------------------------------

    def note(self, text: str, step: int | None = None) -> int:
        """A note on a step, or on the session; its number. Raises UserError if there is no such step."""
        with self._change(new=True) as connection:
            if step is not None and not store.exists(connection, "step", step):
                raise UserError(f"there is no step {step} in {self.path} to write a note on")
            cursor = connection.execute(
                "INSERT INTO note (step, text, created) VALUES (?, ?, ?)", (step, text, time.time())
            )
            if step is not None:
                store.bump(connection, step)
            return int(cursor.lastrowid or 0)

    def pin(self, unit: str, name: str = "", remove: bool = False) -> None:
        """Put a unit into the basket (or the set `name`), or take it out; twice is once.

        A feature is pinned with its SAE's name, and the session remembers that SAE's hash. Raises UserError.
        """
        unit = with_sae_names(unit)
        uses = [] if remove else [use_of(sae) for sae in sae_names([unit])]
        if uses:
            check_features(unit)
        with self._change(new=True) as connection:
            for use in uses:
                artifacts.put_pinned(connection, use)
            if remove:
                connection.execute("DELETE FROM pin WHERE unit = ? AND name = ?", (unit, name))
            else:
                connection.execute(
                    "INSERT OR IGNORE INTO pin (unit, name, created) VALUES (?, ?, ?)", (unit, name, time.time())
                )

    def keep_stack(self, name: str, entries: Sequence[Entry], remove: bool = False) -> None:
        """Saves an edit stack under this name, in place of one that had it; or removes it."""
        with self._change(new=True) as connection:
            connection.execute("DELETE FROM stack WHERE name = ?", (name,))
            if not remove:
                text = stack_text(entry.edit for entry in entries if entry.on)
                connection.execute(
                    "INSERT INTO stack (name, edits, spec, created) VALUES (?, ?, ?, ?)",
                    (name, text, _json(entries), time.time()),
                )

    def remove_artifact(self, kind: str, name: str) -> int:
        """Removes a name, and its bytes where no step uses them. Returns the bytes freed. Raises UserError."""
        with self._change(new=True) as connection:
            return artifacts.remove_name(connection, kind, name)

    def keep_artifact(self, use: Use) -> None:
        """Keeps an artifact under its name. Raises UserError where the name stands for another one."""
        with self._change(new=True) as connection:
            artifacts.put_named(connection, use)

    def rename_artifact(self, kind: str, name: str, new_name: str) -> None:
        """Raises UserError where there is none of this name, and where the new one is taken."""
        with self._change(new=True) as connection:
            artifacts.rename(connection, kind, name, new_name)

    def prune_artifacts(self) -> int:
        """Deletes artifacts that have no name and that no step uses. Returns the bytes freed."""
        with self._change(new=True) as connection:
            return artifacts.prune(connection)

    def rename(self, title: str) -> None:
        """The session's title."""
        with self._change(new=True) as connection:
            store.set_meta(connection, "title", title)


def _label(name: str, params: Mapping[str, Any], set_names: Sequence[str]) -> str:
    """What the step is about; the names of prompt sets stand before their size."""
    subject = label_of(experiments()[name].params, params) if name in experiments() else ""
    return ", ".join(filter(None, [*set_names, subject]))[:LABEL]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
