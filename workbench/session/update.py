"""What is new in a step since its last update: the unit in which results travel and are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from workbench.artifacts import Use
from workbench.report import NextStep, Progress
from workbench.session.encode import EncodedViews


class Update(msgspec.Struct, kw_only=True):
    """What is None stays as it was; a view replaces the one of its key."""

    headline: str | None = None
    scalars: Mapping[str, float | None] | None = None
    progress: Progress | None = None
    remarks: Sequence[str] | None = None
    next_steps: Sequence[NextStep] | None = None
    views: EncodedViews | None = None
    artifacts: Sequence[Use] = ()
    """that the step used or made since"""

    def merged(self, later: Update) -> Update:
        """Both as one. Arrays of replaced views stay: a later view may use them without bringing them again."""
        return Update(
            headline=self.headline if later.headline is None else later.headline,
            scalars=self.scalars if later.scalars is None else later.scalars,
            progress=self.progress if later.progress is None else later.progress,
            remarks=self.remarks if later.remarks is None else later.remarks,
            next_steps=self.next_steps if later.next_steps is None else later.next_steps,
            views=_merged_views(self.views, later.views),
            artifacts=[*self.artifacts, *later.artifacts],
        )


def _merged_views(first: EncodedViews | None, second: EncodedViews | None) -> EncodedViews | None:
    if first is None or second is None:
        return first or second
    by_key = {view.key: view for view in (*first.views, *second.views)}
    used_hashes = {digest for view in by_key.values() for digest in view.arrays}
    arrays = {digest: array for digest, array in {**first.arrays, **second.arrays}.items() if digest in used_hashes}
    return EncodedViews(list(by_key.values()), arrays)
