"""Logits that are no numbers are no answer: every pass is checked, and where it went wrong is found afterwards.

The check is one look at the logits (each row's maximum: NaN and infinity show in it). Only where it fails is the pass
run once more, with a watch on every site, and are the weights looked through.

A logit of −∞ is an answer: some models rule tokens out that way. A row needs one finite logit, and no NaN and no +∞.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from workbench.errors import UserError
from workbench.lab.sites import SiteMap
from workbench.units import Site

OTHER_DTYPE = "take --dtype float32"
"""the range of the others ends too early, or their steps are too coarse"""
_INNER = "._original_component"
"""what the bridge puts into the names of the modules that it wraps"""


class NotFinite(UserError):  # noqa: N818 - it is a sentence for the user
    """A pass whose numbers are NaN or infinite: from where on, and what would be right."""


def all_valid(logits: torch.Tensor) -> bool:
    """Whether every row of logits [..., vocabulary] can be an answer."""
    return bool(valid_rows(logits).all())


def valid_rows(logits: torch.Tensor) -> torch.Tensor:
    """Which rows of logits [..., vocabulary] can be an answer, bool [...]."""
    return torch.isfinite(logits.amax(-1))


def first_invalid(logits: torch.Tensor) -> int:
    """The first row of logits [row, vocabulary], which are not `all_valid`, that can't be an answer."""
    return int((~valid_rows(logits)).nonzero()[0, 0])


Rerun = Callable[[AbstractContextManager[None]], torch.Tensor]
"""runs a pass once more, with this context innermost: around the model's own call, its edits being on; its logits"""


def explain(hf: Any, sites: SiteMap, rerun: Rerun, edited: bool) -> NotFinite:
    """Why a pass left no numbers; `edited` where it does so under edits alone.

    What `rerun` runs has no padding: values at padded places would count too.
    """
    invalid_sites: list[Site] = []
    with torch.no_grad():
        logits = rerun(_recording_first_invalid(sites, invalid_sites))
    dtype = str(hf.dtype).removeprefix("torch.")
    if invalid_sites:
        location = f"from {invalid_sites[0]} on"
    else:
        location = (
            "in this batch, though alone they are" if all_valid(logits) else "in the final norm or the unembedding"
        )
    invalid = _invalid_parameters(hf)
    under = "under these edits " if edited and not invalid else ""
    message = f"{under}the model's numbers are not finite {location} (NaN or infinite, in {dtype})"
    if invalid:
        more = f" and {len(invalid) - 1} more" if len(invalid) > 1 else ""
        message = f"{message}; the weights themselves hold such numbers ({invalid[0]}{more})"
    return NotFinite(f"{message}: {_advice(dtype, edited, bool(invalid))}")


@contextmanager
def _recording_first_invalid(sites: SiteMap, invalid_sites: list[Site]) -> Iterator[None]:
    """Puts into `invalid_sites` the first site, in the order of the pass, that is not finite, as edits have left it."""

    def watch(site: Site) -> Callable[..., None]:
        def hook(activation: torch.Tensor, hook: Any = None) -> None:
            if not invalid_sites and not bool(torch.isfinite(activation).all()):
                invalid_sites.append(site)

        return hook

    points = sites.points()
    for site, point in points.items():
        point.add_hook(watch(site))
    try:
        yield
    finally:
        for point in points.values():
            point.remove_hooks("fwd")


def _advice(dtype: str, edited: bool, invalid_weights: bool) -> str:
    if dtype == "float16":
        return f"its range ends at 65,504, take --dtype bfloat16 or float32{', or smaller edits' if edited else ''}"
    if invalid_weights:
        return "the checkpoint is damaged, download or copy it again"
    if edited:
        return "take smaller edits"
    other = "" if dtype == "float32" else "take --dtype float32; if that is not finite either, "
    return f"{other}the checkpoint or its config.json is at fault, download or copy it again"


def _invalid_parameters(hf: Any) -> list[str]:
    """Names of the parameters that are not finite, as the wrapped model calls them: nearly as the checkpoint does."""
    return [
        name.replace(_INNER, "")
        for name, parameter in hf.named_parameters()
        if not bool(torch.isfinite(parameter.detach()).all())
    ]
