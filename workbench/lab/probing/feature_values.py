"""What a labelled set's examples read of an SAE's features: one pass over its windows, encoded as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from workbench.datasets.labelled.examples import Examples
from workbench.lab.applying import PassLayout
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.editing import Plan
from workbench.lab.model import Lab
from workbench.lab.passes import run_pass
from workbench.lab.probing.blocks import Block, blocks
from workbench.lab.probing.pooling import Reads
from workbench.lab.sae.part import Features
from workbench.lab.sae.placing import PlacedSae
from workbench.report import Report

TOGETHER = 1024
"""examples of a pass at most"""


def feature_values(
    lab: Lab, examples: Examples, placed: PlacedSae, indices: Sequence[int], report: Report
) -> np.ndarray:
    """Activations of some features at every example, under the lab's edits, float32 [example, feature].

    Of pooled examples the features are encoded at each token and pooled then. Position 0 never counts.
    """
    values = np.zeros((len(examples), len(indices)), np.float32)
    longest = max(map(len, examples.windows))
    plan, part = lab.plan(lab.edits), Features(placed, tuple(indices))
    tokens = rows_at_once(lab.model, longest, "index") * longest
    planned = list(blocks(examples, tokens, TOGETHER, lab.model.rotations))
    for block in report.track(planned, "passes", stage=f"encoding {placed.site}"):
        for batch in batches(range(len(block.windows)), len(block.windows), report, lab.model, progress_per_row=0):
            some = block.part(batch.start, batch.start + len(batch.rows))
            with batch:
                values[some.examples] = _read(lab, examples, some, part, plan)
    return values


def _read(lab: Lab, examples: Examples, block: Block, part: Features, plan: Plan) -> np.ndarray:
    """float32 [example, feature], from one pass."""
    model = lab.model
    windows = [examples.windows[window] for window in block.windows.tolist()]
    lengths = tuple(map(len, windows))
    ids = torch.zeros((len(windows), max(lengths)), dtype=torch.int64)
    for row, window in zip(ids, windows, strict=True):
        row[: len(window)] = torch.tensor(window)
    ids = ids.to(model.hf.device)
    first, last = examples.first[block.examples].clip(1), examples.last[block.examples]
    reads = Reads.of(block.rows, first, last, examples.pooling, model.hf.device)
    layout, site = PassLayout(lengths, model.info.n_heads), part.encoded_at
    passed = run_pass(model, ids, [plan], layout, head=None, capture=[site], stop=site.layer + 1)
    with torch.inference_mode():
        captured = passed.captured[site]
        if reads.pooling == "token":  # of few positions: encoding is dear
            captured = captured[reads.rows, reads.last]
            taken = part.take(captured, model.info.n_heads)
        else:
            taken = reads.take(part.take(captured, model.info.n_heads))
    return np.asarray(taken.float().cpu().numpy())
