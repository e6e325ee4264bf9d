"""An index on disk: what index.json says, which arrays there are, and how both are written.

A folder per (model fingerprint, corpus hash, settings), and for the features of an SAE its hash too.
Arrays are `.npy` memory maps in a `state-…` subfolder
that is never changed once it is there; index.json names the current one and is replaced by a rename.
Everything that is accumulated is a sum, a count, an extreme or a top list, so that two indexes merge exactly.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from workbench.errors import JSON_ERRORS, NPY_ERRORS, UserError
from workbench.files import sync_folder, write_whole
from workbench.model_info import ModelInfo

FORMAT = 2
"""1 knows neurons only; it is read as it is"""
SIDE = 24
"""tokens kept on either side of an example's peak"""
WINDOW = 2 * SIDE + 1
SIGN_CASES = ("gate +, linear +", "gate +, linear −", "gate −, linear +", "gate −, linear −")
SIGN_TOP = 3
"""examples kept for each sign case"""
BINS = 256
TAILS = ("high", "low")


class CorpusInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Which text. `hash` stands for every document's text in its order."""

    name: str
    """short, for folder names and titles: `stdlib`"""
    spec: str
    """what `--corpus` would take to get it again"""
    hash: str
    documents: int
    """documents in the whole corpus; 0 where it is streamed and the number is unknown"""
    characters: int = 0
    note: str = ""


class IndexedSae(msgspec.Struct, kw_only=True, frozen=True):
    """The SAE whose features an index holds, as it was when they were read."""

    name: str
    hash: str
    layer: int
    site: str
    """what it encodes: `L10.resid_post`"""
    width: int
    """features"""


class Units(NamedTuple):
    """What an index' arrays are over: every layer's neurons, or the features of one SAE as a single layer's."""

    layers: int
    width: int
    """of a layer: a unit's id is layer · width + index"""
    gated: bool
    tails: int
    """top lists of a unit: the highest and the lowest activations; of features, which are never negative, one"""

    @property
    def n(self) -> int:
        return self.layers * self.width


class IndexSettings(msgspec.Struct, kw_only=True, frozen=True):
    """What the numbers depend on besides model and text. The number of tokens is not among them: more can be added."""

    context: int = 256
    """tokens a window, with its BOS where the tokenizer adds one"""
    top: int = 20
    """examples kept for each tail"""
    explain: bool = False
    block_tokens: int = 2048
    """rows × positions of a block; rounding depends on it, nothing else does"""
    shelf_blocks: int = 8
    """blocks whose windows are sorted by length together"""
    sample: int = 16
    """one token in this many is in the sample (`in_sample`)"""
    features: str = ""
    """version of the token features, where `explain`"""


class Counts(msgspec.Struct, kw_only=True):
    """Tokens and documents behind the sums. Position 0 of a window, BOS and padding are in none of them."""

    tokens: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    """by half of the documents"""
    sampled: int = 0
    closed_documents: int = 0
    closed_squares: float = 0.0
    """Σ n_d² over documents seen to their end"""
    skipped: int = 0
    """tokens read by the model and left out: first positions of windows"""


class BuildProgress(msgspec.Struct, kw_only=True):
    blocks: int = 0
    documents: int = 0
    """begun"""
    tokens: int = 0
    """counted in the statistics"""
    goal: int = msgspec.field(default=0, name="wanted")
    """tokens to count"""
    done: bool = False
    """as many tokens as its goal, or the whole corpus"""
    exhausted: bool = False
    """the corpus has no more"""


class IndexFile(msgspec.Struct, kw_only=True):
    """index.json."""

    format: int = FORMAT
    kind: Literal["weights", "data", "features"]
    model: ModelInfo
    sae: IndexedSae | None = None
    """of kind `features`"""
    corpus: CorpusInfo | None = None
    settings: IndexSettings | None = None
    progress: BuildProgress = msgspec.field(default_factory=BuildProgress)
    counts: Counts = msgspec.field(default_factory=Counts)
    features: list[str] = []
    """names of the token features"""
    log_bytes: int = 0
    """committed length of windows.log"""
    revision: int = 0
    state: str = ""
    shapes: dict[str, list[int]] = {}
    """array name → shape, of the arrays in the state folder"""
    hashes: dict[str, str] = {}
    """relative path → sha256; empty while it grows"""
    versions: dict[str, str] = {}
    seconds: float = 0.0
    created: float = 0.0
    facts: dict[str, float] = {}
    """what else a reader needs: the chance level of rho, …"""

    @property
    def units(self) -> Units:
        if self.sae is not None:
            return Units(1, self.sae.width, gated=False, tails=1)
        return neurons_of(self.model)


def neurons_of(model: ModelInfo) -> Units:
    return Units(model.n_layers, model.d_mlp, model.gated_mlp, tails=len(TAILS))


def map_shapes(file: IndexFile) -> dict[str, tuple[int, ...]]:
    """Shapes of the window maps [series, unit, slot, WINDOW], float16."""
    assert file.settings is not None
    units = file.units
    shapes: dict[str, tuple[int, ...]] = {"windows": (units.tails, units.n, file.settings.top, WINDOW)}
    if units.gated:
        shapes["sign_windows"] = (4, units.n, SIGN_TOP, WINDOW)
    return shapes


# --- reading and writing -------------------------------------------------------------------------


def read_index_file(folder: Path) -> IndexFile:
    """index.json, checked. Raises UserError saying what to do."""
    try:
        raw = (folder / "index.json").read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no index: there is no index.json in it; `workbench index list` names the ones there are"
        ) from None
    except OSError as error:
        raise UserError(f"the index {folder} cannot be read: {error.strerror}") from None
    try:
        head = msgspec.json.decode(raw)
        version = head["format"] if isinstance(head, dict) else None
    except (*JSON_ERRORS, KeyError):
        version = None
    if not isinstance(version, int):
        raise UserError(f"{folder / 'index.json'} is damaged or not ours: {rebuild(folder)}")
    if version > FORMAT:
        raise UserError(
            f"the index {folder.name} was written by a newer version (format {version}, this one reads {FORMAT}): "
            f"update, or build it again"
        )
    try:
        file = msgspec.json.decode(raw, type=IndexFile)
    except JSON_ERRORS as error:
        raise UserError(f"{folder / 'index.json'} is damaged ({error}): {rebuild(folder)}") from None
    for name in (file.state, *file.shapes, *file.hashes):
        if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise UserError(f"{folder / 'index.json'} names a file outside its folder ({name}): {rebuild(folder)}")
    return file


def write_index_file(folder: Path, index: IndexFile) -> None:
    """Replace index.json in one step; readers see the old one or the new one."""
    write_whole(folder / "index.json", msgspec.json.format(msgspec.json.encode(index), indent=1))


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Write `name.npy` for each into a new folder, under a temporary name until all are there. Returns the shapes."""
    temporary = folder.with_name(folder.name + ".new")
    temporary.mkdir(parents=True)
    for name, array in arrays.items():
        with open(temporary / f"{name}.npy", "wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(folder)
    sync_folder(folder.parent)
    return {name: list(array.shape) for name, array in arrays.items()}


def open_array(folder: Path, name: str, shape: list[int] | None = None, writable: bool = False) -> np.ndarray:
    """One array as a memory map, its shape checked. Raises UserError; FileNotFoundError where it is gone."""
    path = folder / f"{name}.npy"
    if not path.is_file():  # opening a pipe would wait for its writer
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        array: np.ndarray = np.load(path, mmap_mode="r+" if writable else "r", allow_pickle=False)
    except NPY_ERRORS:
        # numpy cannot map an array without elements
        array = _load_empty(path)
    if shape is not None and list(array.shape) != shape:
        raise UserError(f"{path} is damaged: its shape is {array.shape}, not {tuple(shape)}; {rebuild(path.parent)}")
    return array


def _load_empty(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except NPY_ERRORS:
        raise UserError(f"{path} is damaged: it is cut short or not an array; {rebuild(path.parent)}") from None
    return array


def rebuild(folder: Path) -> str:
    """What to do with a folder that is damaged, a clause."""
    inside = folder.parent if folder.name.startswith("state-") else folder
    return f"remove it with `workbench index rm {inside.name}` and build it again"


def file_hash(path: Path) -> str:
    """sha256 of a file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- names and the pseudo-random sample ----------------------------------------------------------------


def weights_folder_name(model: ModelInfo) -> str:
    return f"weights-{model.fingerprint[:12]}"


def data_folder_name(
    model: ModelInfo, corpus: CorpusInfo, settings: IndexSettings, sae: IndexedSae | None = None
) -> str:
    """Name of a data index: SAE, corpus, model, text and settings; not the number of tokens."""
    shown = "".join(c if c.isalnum() else "-" for c in corpus.name)[:24].strip("-") or "corpus"
    of_sae = [] if sae is None else [sae.name, sae.hash, sae.site]
    if sae is not None:
        shown = f"{sae.name[:40]}-{shown}"
    payload = msgspec.json.encode([msgspec.to_builtins(settings), model.dtype, *of_sae], order="sorted")
    digest = hashlib.sha256(payload).hexdigest()[:8]
    return f"{shown}-{model.fingerprint[:12]}-{corpus.hash[:12]}-{digest}"


def splitmix64(x: np.ndarray | int) -> np.ndarray:
    """A fixed 64-bit mixing function: the same numbers on every machine. uint64, shape kept."""
    z = np.asarray(x, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def in_sample(document: np.ndarray | int, position: np.ndarray, one_in: int) -> np.ndarray:
    """Whether tokens are in the sample: decided by document number and position in it, nothing else. bool [token]."""
    with np.errstate(over="ignore"):
        key = splitmix64(document) ^ np.asarray(position, dtype=np.uint64)
        chosen: np.ndarray = (splitmix64(key) % np.uint64(one_in)) == 0
        return chosen


def half_of(document: np.ndarray | int) -> np.ndarray:
    """0 or 1: the half that chooses a neuron's best feature, or the half that reports it."""
    with np.errstate(over="ignore"):
        return (splitmix64(np.asarray(document, dtype=np.uint64) ^ np.uint64(0x5EED)) & np.uint64(1)).astype(np.int64)


def versions() -> dict[str, str]:
    """Library versions that the numbers depend on, without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    installed: dict[str, Any] = {}
    for name in ("workbench-lm", "torch", "transformers", "transformer_lens", "numpy"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
