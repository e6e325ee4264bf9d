"""A step's parameters and edits, to be changed and run as a branch: they mean what they meant in that step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.session.records import StepRecord
    from workbench.session.stored_weights import AsRecorded


def forked(record: StepRecord) -> AsRecorded:
    """Raises UserError for edits that were Python, and for an experiment that this version has not."""
    from workbench.edits import Edit
    from workbench.experiments import experiment
    from workbench.params import naming_fields
    from workbench.session.stored_weights import as_meant
    from workbench.views import from_builtins

    naming = naming_fields(experiment(record.experiment).params)
    try:
        edits = from_builtins(record.edits, as_type=list[Edit])
    except ValueError:
        raise UserError(f"the edits of step {record.id} can't be taken over: they came from a notebook") from None
    return as_meant(record.params, edits, naming, record)
