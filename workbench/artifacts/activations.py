"""Activation stores: what a model's units do at the positions that a labelled set reads, taken once for every probe.

A folder of the cache, written whole or not at all; a build that was killed goes on. One memory map a layer,
`layer-12.npy`, float32 [example, number], whatever the model computes in: float32 holds bfloat16 and float16 exactly,
means over positions are no 16-bit numbers any more, and NumPy has no bfloat16. A store is found by what its numbers
depend on (`StoreHead.key`): a set that has changed, or other edits, are another store.
"""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind
from workbench.artifacts._folder import (
    HEAD,
    building_folder,
    is_unfinished,
    list_folders,
    prune_folders,
    remove_folder,
    write_folder,
)
from workbench.artifacts._least_used import make_room, stay_within
from workbench.datasets.labelled.examples import Examples, Pooling
from workbench.errors import JSON_ERRORS, NPY_ERRORS, UserError
from workbench.files import FolderLock, write_whole
from workbench.model_info import ModelInfo
from workbench.settings import load
from workbench.text import ago, count

NAME = "activation store"
STORE = "store.json"
FORMAT = 1
NUMBER = np.dtype("<f4")
SITES = ("mlp_post", "mlp_pre", "mlp_pre_linear", "z", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""that have one vector a position"""


class StoreHead(msgspec.Struct, frozen=True, kw_only=True):
    """store.json: what a store's numbers are of."""

    model: str
    fingerprint: str
    dtype: str
    """that the model computed in"""
    edits: tuple[str, ...] = ()
    """that were on"""
    edit_values: str = ""
    """hash of what their texts do not say: the seed, and the numbers of named directions; empty without edits"""
    site: str
    layers: tuple[int, ...]
    pooling: Pooling
    content_hash: str
    """of the examples: windows, positions, labels, split"""
    data_set: str = ""
    """the set's name"""
    set_hash: str = ""
    """the set's hash as an artifact; empty where it is not known"""
    examples: int
    width: int
    """numbers that an example has in a layer"""
    sae: str = ""
    """the hash of an SAE that encoded the site: the numbers are its features; empty for the site's own"""

    @property
    def key(self) -> str:
        """SHA-256 of all that the numbers depend on, hex. Two devices differ by rounding alone, and share a store."""
        parts = [FORMAT, self.fingerprint, self.dtype, self.edits, self.edit_values]
        parts += [self.site, self.layers, self.pooling, self.content_hash]
        parts += [self.sae] if self.sae else []
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    @property
    def name(self) -> str:
        """Of its folder, whatever the set is called today."""
        model = re.sub(r"\W+", "-", self.model)[:32].strip("-") or "model"
        return f"{self.site}{'-features' if self.sae else ''}-{model}-{self.key[:12]}"

    @property
    def bytes(self) -> int:
        """Of its maps."""
        return self.examples * self.width * len(self.layers) * NUMBER.itemsize


class Store:
    """A store that is there, read only; a context manager. Until it is closed or forgotten, nobody removes it."""

    def __init__(self, folder: Path, head: StoreHead, examples: Examples) -> None:
        """Raises UserError where the folder is being removed."""
        self.folder = folder
        self.head = head
        self.examples = examples
        """in the maps' order"""
        lock = FolderLock(folder, shared=True, busy="is being removed now: run the same command again")
        lock.__enter__()
        self._release = weakref.finalize(self, lock.__exit__, None, None, None)
        os.utime(folder / HEAD)  # when it was used last

    def layer(self, layer: int) -> np.ndarray:
        """A layer's activations, float32 [example, number], read only: a neuron is a number, and so is a feature, and
        each of a stream's; head h of `z` has those from h · d_head on. Raises UserError for a layer not taken."""
        if layer not in self.head.layers:
            taken = ", ".join(map(str, self.head.layers))
            raise UserError(f"layer {layer} is not in {self.folder.name}: it has {taken}")
        damaged = f"{self.folder.name} is damaged: remove it (workbench artifacts rm), it is taken again"
        try:
            values: np.ndarray = np.load(layer_file(self.folder, layer), mmap_mode="r", allow_pickle=False)
        except NPY_ERRORS:
            raise UserError(damaged) from None
        if values.shape != (self.head.examples, self.head.width) or values.dtype != NUMBER:
            raise UserError(damaged)
        return values

    def close(self) -> None:
        self._release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def site_width(info: ModelInfo, site: str) -> int:
    """Numbers that a position has at a site in one layer."""
    if site == "z":
        return info.n_heads * info.d_head
    return info.d_mlp if site.startswith("mlp_p") else info.d_model


def store_bytes(width: int, n_layers: int, n_examples: int) -> int:
    """Bytes of the maps of a store of so many numbers an example and layer, to be said before it is taken."""
    return n_examples * width * n_layers * NUMBER.itemsize


def stores_dir() -> Path:
    return paths.cache_dir() / "activations"


def layer_file(folder: Path, layer: int) -> Path:
    return folder / f"layer-{layer}.npy"


def open_store(head: StoreHead, examples: Examples) -> Store | None:
    """The store of these examples, or one that has more layers; None where there is none yet.

    Raises UserError where it is being removed.
    """
    if (stores_dir() / head.name / HEAD).is_file():
        return Store(stores_dir() / head.name, head, examples)
    larger = _with_more_layers(head)
    return Store(stores_dir() / larger.name, larger, examples) if larger is not None else None


def _with_more_layers(head: StoreHead) -> StoreHead | None:
    """Of a store with the same numbers and more layers; of several the one with the fewest."""
    fitting = []
    for artifact in list_folders(stores_dir(), NAME):
        try:
            other = read_head(Path(artifact.path))
        except UserError:
            continue  # listed with its problem elsewhere
        same = msgspec.structs.replace(other, layers=head.layers).key == head.key
        if same and set(head.layers) < set(other.layers) and artifact.name == other.name:
            fitting.append(other)
    return min(fitting, key=lambda other: len(other.layers), default=None)


def reserve(head: StoreHead) -> list[str]:
    """Sees to it that a store fits, beside what a build before has of it; what was removed for it, as sentences.

    Raises UserError, before anything is removed or written, where it fits neither the disk nor the limit in the
    settings.
    """
    target = stores_dir() / head.name
    return make_room(stores_dir(), building_folder(target), head.bytes, _limit())


def write_store(head: StoreHead, write: Callable[[Path], None]) -> None:
    """A store as `write` fills its folder, in which it finds what a build before has left.

    Raises UserError where another process takes it, and what `write` raises.
    """
    artifact = Artifact(kind=NAME, name=head.name, hash=head.key, model=head.model, fingerprint=head.fingerprint)

    def write_all(folder: Path) -> None:
        write_whole(folder / STORE, msgspec.json.format(msgspec.json.encode(head)))
        write(folder)

    write_folder(stores_dir(), artifact, write_all, resumable=True)


def content_of(head: StoreHead) -> Content:
    """What a step remembers of a store."""
    spec = {"folder": str(stores_dir() / head.name), "key": head.key, "data set": head.data_set}
    return Content(kind=NAME, spec=spec, fingerprint=head.fingerprint)


def lost_set(artifact: Artifact, listed: Sequence[Artifact]) -> bool:
    """Whether a store's data set is none of those `listed`: it was removed, or has changed since."""
    set_hash = read_head(Path(artifact.path)).set_hash
    return bool(set_hash) and all(other.hash != set_hash for other in listed)


def read_head(folder: Path) -> StoreHead:
    """Raises UserError."""
    try:
        return msgspec.json.decode((folder / STORE).read_bytes(), type=StoreHead)
    except (OSError, *JSON_ERRORS) as error:
        raise UserError(f"{STORE} of {folder.name} cannot be read: {error}") from None


def _limit() -> int:
    return round(load().store_gigabytes * 2**30)


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    if content is not None:
        return [(key, str(content.spec.get(key, ""))) for key in ("data set", "folder")]
    folder = Path(artifact.path)
    head = read_head(folder)
    layers = "layer" if len(head.layers) == 1 else "layers"
    of = f"features of {head.site} of" if head.sae else f"{head.site} of"
    facts = [
        ("what", f"{of} {count(len(head.layers))} {layers}, {count(head.examples)} examples"),
        ("data set", head.data_set or head.content_hash[:12]),
        ("positions", {"token": "one token each"}.get(head.pooling, head.pooling)),
        ("computed in", head.dtype),
        ("edits", " ".join(head.edits)),
        ("last used", ago((folder / HEAD).stat().st_mtime)),
    ]
    return [(name, value) for name, value in facts if value]


def _prune() -> int:
    """What killed builds left, and, longest unused first, what is beyond the limit in the settings."""
    return prune_folders(stores_dir(), is_unfinished) + stay_within(stores_dir(), _limit())


KIND = Kind(
    name=NAME,
    listed=lambda: list_folders(stores_dir(), NAME),
    remove=remove_folder,
    facts=_facts,
    prune=_prune,
)
