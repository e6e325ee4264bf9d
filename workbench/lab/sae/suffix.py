"""A clean pass that many substitutions at one site share: what comes before the site is computed once.

A substitution of the stream itself begins at the block behind it; one inside a block begins at that block, from its
clean input. Models whose blocks can't be run without the earlier ones get whole passes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.edits import Positions
from workbench.lab.applying import PassLayout
from workbench.lab.changes import ReplaceByRow
from workbench.lab.editing import CLEAN, Plan
from workbench.lab.kinds.site import whole
from workbench.lab.loaded import Model
from workbench.lab.passes import BlockStart, Entry, Head, Passed, run_pass
from workbench.lab.rounding import rounding_plans
from workbench.units import Site

STREAM = {"resid_pre": 0, "resid_post": 1}
"""sites that are a block's input: of their own layer, or of the next one"""


@dataclass(frozen=True)
class CleanPass:
    """Windows of one length through the model, with what later passes need."""

    model: Model
    ids: torch.Tensor
    """int64 [window, position]"""
    passed: Passed

    @property
    def logits(self) -> torch.Tensor:
        """[window, position, vocabulary]"""
        assert self.passed.logits is not None
        return self.passed.logits

    def at(self, site: Site) -> torch.Tensor:
        """A captured site, float32 [window, position, width]; heads side by side."""
        return self.passed.captured[site].flatten(2).float()

    def with_site(self, site: Site, values: torch.Tensor, head: Head = "every") -> torch.Tensor:
        """Logits with `values` [window, position, width] at the site: [window, position, vocabulary]."""
        starts = self.passed.starts
        return _from_site(self.model, self.ids, starts, site, values, head)

    def rounded(self, site: Site, draws: int, seed: int) -> Iterator[torch.Tensor]:
        """Logits of draws that change nothing but rounding, from the site's block on."""
        starts, model = self.passed.starts, self.model
        for plan in rounding_plans(Plan({site: ()}), model.info.n_layers, draws, seed):
            entry = Entry(starts, site.layer, starts[site.layer].stream.contiguous()) if model.restarts else None
            passed = run_pass(model, self.ids, [plan], head="every", entry=entry)
            assert passed.logits is not None
            yield passed.logits

    def first_tokens(self, window: int, n: int) -> CleanPass:
        """One window's first n tokens; without logits."""
        rows = slice(window, window + 1)
        starts = tuple(BlockStart(start.stream[rows, :n], start.extra_outputs) for start in self.passed.starts)
        captured = {site: values[rows, :n] for site, values in self.passed.captured.items()}
        return CleanPass(self.model, self.ids[rows, :n], Passed(None, None, captured, starts))


def clean_pass(model: Model, ids: torch.Tensor, sites: Sequence[Site], head: Head = "every") -> CleanPass:
    """`ids` int64 [window, position] through the model, sites captured. Raises NotFinite."""
    return CleanPass(model, ids, run_pass(model, ids, head=head, capture=sites, keep_starts=True))


def at_last_position(clean: CleanPass, site: Site, values: torch.Tensor) -> torch.Tensor:
    """Logits at the last position of one window, with `values` [row, width] at the site there alone.

    [row, vocabulary]. Keys and values of the tokens before are computed once where the model can keep them.
    """
    model, n = clean.model, len(values)
    length = clean.ids.shape[1]
    ids = clean.ids.expand(n, -1)
    if not (model.caches and model.restarts) or length < 2:
        everywhere = clean.at(site).repeat(n, 1, 1)
        everywhere[:, -1] = values
        starts = [replace(start, stream=start.stream.expand(n, -1, -1)) for start in clean.passed.starts]
        return _from_site(model, ids, starts, site, everywhere, "last")[:, -1]
    before = run_pass(model, clean.ids[:, :-1], use_cache=True, head="last")
    past: Any = copy.deepcopy(before.past)
    past.batch_repeat_interleave(n)
    starts = [replace(start, stream=start.stream[:, -1:].expand(n, -1, -1)) for start in clean.passed.starts]
    return _from_site(model, ids, starts, site, values.unsqueeze(1), "last", past)[:, -1]


def _from_site(
    model: Model,
    ids: torch.Tensor,
    starts: Sequence[BlockStart],
    site: Site,
    values: torch.Tensor,
    head: Head,
    past: Any = None,
) -> torch.Tensor:
    """`values` [row, column, width] are of the last columns of `ids`; those before are in `past`."""
    start = ids.shape[1] - values.shape[1]
    layout = PassLayout((ids.shape[1],) * len(ids), model.info.n_heads, start)
    cached = {"use_cache": True, "past": past} if past is not None else {}
    if site.name in STREAM and model.restarts:
        entry = Entry(starts, site.layer + STREAM[site.name], values.to(model.hf.dtype))
        passed = run_pass(model, ids, [CLEAN], layout, head=head, entry=entry, **cached)
    else:
        part = whole(site, model.info)
        if site.name == "z":
            values = values.unflatten(-1, (model.info.n_heads, -1))
        plan = Plan({site: (ReplaceByRow(site, part, Positions(), values, start),)})
        entered = Entry(starts, site.layer, starts[site.layer].stream.contiguous()) if model.restarts else None
        passed = run_pass(model, ids, [plan], layout, head=head, entry=entered, **cached)
    assert passed.logits is not None
    return passed.logits
