"""Taking activations: one pass over a labelled set's windows gives every layer, into a store that all probes read.

with take(lab, examples, "mlp_post", range(lab.info.n_layers), report, data_set="months") as store:
    store.layer(12)  # float32 [example, neuron]
with take_features(lab, examples, placed, sae_hash, report, data_set="months") as store:
    store.layer(10)  # float32 [example, feature]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from workbench.artifacts.activations import (
    NUMBER,
    SITES,
    Store,
    StoreHead,
    content_of,
    open_store,
    reserve,
    site_width,
    write_store,
)
from workbench.datasets.labelled.examples import Examples
from workbench.edits import Resample
from workbench.errors import UserError
from workbench.lab.applying import Hook, PassLayout
from workbench.lab.batches import batches, rows_at_once
from workbench.lab.editing import Plan
from workbench.lab.identify import identify
from workbench.lab.indexing.aside import Aside
from workbench.lab.model import Lab
from workbench.lab.passes import not_finite_row, run_pass
from workbench.lab.probing.blocks import Block, blocks
from workbench.lab.probing.maps import Maps, Progress
from workbench.lab.probing.pooling import Reads
from workbench.lab.sae.features import feature_sae
from workbench.lab.sae.placing import PlacedSae
from workbench.lab.sae.sae import SAE
from workbench.lab.sites import MLP_IN
from workbench.report import Report
from workbench.text import count, size
from workbench.units import Feature, Site
from workbench.units.sites import site_problem

TAKEN = 1 << 30
"""bytes of activations that a pass takes at most, all layers together"""


def take(
    lab: Lab,
    examples: Examples,
    site: str,
    layers: Sequence[int],
    report: Report,
    *,
    data_set: str = "",
    set_hash: str = "",
) -> Store:
    """What each example reads of a site in these layers, under the lab's edits: from a store, or taken now.

    `mlp_post` are the neurons' activations, `z` the heads' (their d_head numbers side by side), `resid_pre` and others
    the stream (`artifacts.activations.SITES`). A store that has more layers serves as well. Position 0 never counts.
    `data_set` and `set_hash` are the labelled set's name and its hash as an artifact, by which lists name the store.
    What was taken by a run that was cancelled or killed is not taken again; the numbers are the same bits.

    Raises UserError where the model has no such site or layer, a text is longer than its context, an example reads
    position 0 alone, activations are no numbers, or the store fits neither the disk nor the limit in the settings; and
    Cancelled.
    """
    if site not in (*SITES, MLP_IN):
        raise UserError(f"{site!r} is no site with a vector for each token: there are {', '.join(SITES)}")
    width = site_width(lab.info, site)
    return _taken(lab, examples, _Asked(site, tuple(sorted(set(layers))), width), report, data_set, set_hash)


def take_features(
    lab: Lab,
    examples: Examples,
    placed: PlacedSae,
    sae_hash: str,
    report: Report,
    *,
    data_set: str = "",
    set_hash: str = "",
) -> Store:
    """What each example reads of an SAE's features, in the layer of the site that it encodes: likewise.

    They are encoded as the pass goes on, where an example reads. `sae_hash` is the SAE's, as it is registered.
    """
    site, sae = placed.site, placed.sae
    asked = _Asked(site.name, (site.layer,), sae.config.d_sae, sae, sae_hash)
    return _taken(lab, examples, asked, report, data_set, set_hash)


@dataclass(frozen=True)
class _Asked:
    """What is taken of each example."""

    site: str
    layers: tuple[int, ...]
    width: int
    """numbers of an example in a layer"""
    sae: SAE | None = None
    """its features, in place of the site's numbers"""
    sae_hash: str = ""


def _taken(lab: Lab, examples: Examples, asked: _Asked, report: Report, data_set: str, set_hash: str) -> Store:
    _check(lab, examples, asked.site, asked.layers)
    identify(lab, report)
    head = _head(lab, examples, asked, data_set, set_hash)
    store = open_store(head, examples)
    made = store is None
    if store is None:
        _build(lab, examples, head, asked.sae, report)
        store = open_store(head, examples)
        if store is None:
            raise UserError(f"the activation store {head.name} was removed before it was read: run it again")
    else:
        kept = store.head
        more = f", which has {count(len(kept.layers))} layers" if kept.layers != head.layers else ""
        report.note(f"activations: read from the store {kept.name}, {size(kept.bytes)}, taken before{more}")
    report.uses(content_of(store.head), store.head.name, "made" if made else "used")
    return store


def _check(lab: Lab, examples: Examples, site: str, layers: Sequence[int]) -> None:
    info = lab.info
    problem = site_problem(site, info)
    if problem:
        raise UserError(problem)
    beyond = [layer for layer in layers if not 0 <= layer < info.n_layers]
    if beyond or not layers:
        raise UserError(
            f"layers are 0 to {info.n_layers - 1} in {info.name}, not {', '.join(map(str, beyond)) or 'none'}"
        )
    for layer in layers:
        lab.model.sites.point(Site(layer, site))
    if not len(examples):
        raise UserError("the data set has no examples: nothing can be taken")
    longest = max(range(len(examples.windows)), key=lambda window: len(examples.windows[window]))
    if len(examples.windows[longest]) > info.n_ctx:
        raise UserError(
            f"text {longest + 1} of the data set has {count(len(examples.windows[longest]))} tokens, and {info.name} "
            f"reads {count(info.n_ctx)}: cut it, or leave it out"
        )
    at_zero = np.flatnonzero(examples.last < 1)
    if len(at_zero):
        raise UserError(
            f"example {at_zero[0] + 1} of the data set reads the first token of its text alone, which never counts: "
            "put something in front of it, or leave it out"
        )
    for window in examples.windows:
        lab.model.tokens.check_embedded(window)


def _head(lab: Lab, examples: Examples, asked: _Asked, data_set: str, set_hash: str) -> StoreHead:
    return StoreHead(
        model=lab.info.name,
        fingerprint=lab.info.fingerprint,
        dtype=lab.info.dtype,
        edits=tuple(map(str, lab.edits)),
        edit_values=_edit_values(lab),
        site=asked.site,
        layers=asked.layers,
        pooling=examples.pooling,
        content_hash=examples.content_hash,
        data_set=data_set,
        set_hash=set_hash,
        examples=len(examples),
        width=asked.width,
        sae=asked.sae_hash,
    )


def _edit_values(lab: Lab) -> str:
    """A hash of what the edits' texts do not say; empty where nothing is. Raises UserError for a Python function."""
    values = []
    for edit in lab.edits:
        if edit.call is not None:
            raise UserError(f"activations under {edit} can't be kept: what a Python function does has no name to find")
        if isinstance(edit.edit, Resample):
            values.append(str(lab.seed))
        values += [hashlib.sha256(lab.weights.direction(name).tobytes()).hexdigest() for name in edit.directions]
        values += [feature_sae(lab.model, unit).artifact.hash for unit in edit.units if isinstance(unit, Feature)]
    return hashlib.sha256("\0".join(values).encode()).hexdigest() if values else ""


def _build(lab: Lab, examples: Examples, head: StoreHead, sae: SAE | None, report: Report) -> None:
    for sentence in reserve(head):
        report.note(sentence)
    layers = "1 layer" if len(head.layers) == 1 else f"{count(len(head.layers))} layers"
    numbers = "numbers" if sae is None else "features"
    report.note(
        f"activations: {size(head.bytes)} on disk, {head.site} of {layers} at "
        f"{count(head.examples)} examples, {count(head.width)} {numbers} each"
    )
    write_store(head, lambda folder: _Taking(lab, examples, head, sae).run(folder, report))


class _Taking:
    """One run over the windows."""

    def __init__(self, lab: Lab, examples: Examples, head: StoreHead, sae: SAE | None) -> None:
        self._model = lab.model
        self._plan: Plan = lab.plan(lab.edits)
        self._examples = examples
        self._head = head
        self._sae = sae
        self._sites = [Site(layer, head.site) for layer in head.layers]
        self._first = examples.first.clip(1)  # position 0 never counts
        self._device = lab.model.hf.device

    def run(self, folder: Path, report: Report) -> None:
        head, examples = self._head, self._examples
        longest = max(map(len, examples.windows))
        row = head.width * len(head.layers) * NUMBER.itemsize
        fresh = Progress(tokens=rows_at_once(self._model, longest, "index") * longest, examples=max(1, TAKEN // row))
        aside = Aside(threaded=self._device.type != "cpu")
        with Maps(folder, head.layers, (head.examples, head.width), fresh) as maps:
            progress = maps.progress
            done = progress.blocks
            planned = list(blocks(examples, progress.tokens, progress.examples, self._model.rotations))
            if done:
                report.note(f"activations: goes on after {count(done)} of {count(len(planned))} passes that were done")
            try:
                what = f"{head.site} of {len(head.layers)} layers" if self._sae is None else "features"
                tracked = report.track(planned[done:], "passes", stage=f"taking {what}")
                for block in tracked:
                    parts = list(self._parts(block, report))
                    aside.wait()  # one block waits to be written, not more
                    aside.do(partial(_write, maps, parts))
                aside.wait()
            finally:
                aside.close()
        maps.finish()

    def _parts(self, block: Block, report: Report) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """The block's examples and their numbers by layer; in parts where memory runs out."""
        for batch in batches(range(len(block.windows)), len(block.windows), report, self._model, progress_per_row=0):
            part = block.part(batch.start, batch.start + len(batch.rows))
            values = None
            with batch:
                values = self._read(part)
            if values is not None:
                yield part.examples, values

    def _read(self, block: Block) -> list[np.ndarray]:
        """Every layer's float32 [example, number], from one pass."""
        windows = [self._examples.windows[window] for window in block.windows.tolist()]
        lengths = tuple(map(len, windows))
        padded = np.zeros((len(windows), max(lengths)), dtype=np.int64)
        for row, window in zip(padded, windows, strict=True):
            row[: len(window)] = window
        ids = torch.from_numpy(padded).to(self._device)
        first, last = self._first[block.examples], self._examples.last[block.examples]
        reads = Reads.of(block.rows, first, last, self._examples.pooling, self._device)
        layout = PassLayout(lengths, self._model.info.n_heads)
        read: dict[Site, torch.Tensor] = {}
        taken: dict[Site, torch.Tensor] = {}

        def hook_at(site: Site) -> Hook:
            def hook(activation: torch.Tensor, hook: object = None) -> None:
                read[site] = reads.take(activation)
                taken[site] = read[site] if self._sae is None else reads.take(activation, self._sae)

            return hook

        watch = {site: hook_at(site) for site in self._sites}
        run_pass(self._model, ids, [self._plan], layout, head=None, watch=watch, stop=self._head.layers[-1] + 1)
        # What goes wrong in a layer does so in all that come after it.
        wrong = ~torch.isfinite(read[self._sites[-1]]).all(1)
        if wrong.any():
            wrong_row = int(block.rows[int(wrong.nonzero()[0, 0])])
            raise not_finite_row(self._model, ids, [self._plan], layout, wrong_row, lengths[wrong_row])
        return [taken[site].cpu().numpy() for site in self._sites]


def _write(maps: Maps, parts: Sequence[tuple[np.ndarray, list[np.ndarray]]]) -> None:
    for examples, values in parts:
        maps.write(examples, values)
    maps.count_block()
