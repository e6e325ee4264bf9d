"""Directions: `@refusal` is one vector of d_model numbers.

One lies in the session that used it, and may lie in a file of the user's data folder, `directions/NAME.npy` or
`.safetensors` (no pickle). A safetensors file may name the prompts whose means differ by the direction in its metadata:
`positive` and `negative`, JSON lists of prompts, `site` (`L14.resid_pre`), and, where it is not the last token of plain
text that was compared, `position` (`-2` is the last but one) and `chat` (`true`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from workbench import paths
from workbench.artifacts._artifact import Artifact, Content, Facts, Kind, Use
from workbench.artifacts._files import file_named, files_in, list_files, remove_file
from workbench.edits import Add, Edit
from workbench.errors import UserError
from workbench.text import number

NAME = "direction"
SUFFIXES = (".safetensors", ".npy")
CONTRAST = ("positive", "negative", "site", "position", "chat")
"""what a file's metadata may say of the prompts behind a direction"""
NEURON_WEIGHTS = re.compile(r"(L\d+\.N\d+)\.(in|out|gate)")
"""names of directions that are a neuron's own weights: the model has them, no session and no file"""
_NAME = re.compile(r"[A-Za-z_](?:[\w.-]*\w)?")
_IN_UNITS = re.compile(rf"@({_NAME.pattern})")


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a direction is of, as far as it is known: without it, adding or projecting out may be silently wrong."""

    method: Literal["", "mean difference", "token class", "neuron", "head", "arithmetic"] = ""
    about: str = ""
    """in words: `128 + 128 prompts`, `@a - 0.5*@b`"""
    model: str = ""
    """its name as shown"""
    fingerprint: str = ""
    """of that model's config, tokenizer and weights"""
    site: str = ""
    """where it was read: `resid_pre`, `W_E`"""
    layer: int | None = None
    position: int | None = None
    """of the prompt's tokens, −1 the last; None where it is of no position"""
    purpose: Literal["", "add", "project"] = ""
    """what it is meant for: adding it as it is, or projecting it out; empty where nobody said"""
    normalised: bool = False
    """its length is 1 and says nothing"""


UNKNOWN = Origin()


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """A named direction with its numbers: what travels with a run."""

    name: str
    """without its @"""
    vector: bytes
    """float32, little-endian, [d_model], as stored"""
    contrast: dict[str, str] = {}
    """what the file's metadata says of its prompts, as it stands there"""
    origin: Origin = UNKNOWN
    remark: str = ""
    """what the reader of a result must know: the name stands for another direction by now"""
    takes_name: bool = True
    """the name stands for it in the session from now on; not where a step runs again with what it recorded"""

    @property
    def numbers(self) -> np.ndarray:
        """float32 [d_model], read-only"""
        return np.frombuffer(self.vector, "<f4")

    @property
    def content(self) -> Content:
        """As it is stored in a session."""
        spec: dict[str, Any] = {"contrast": self.contrast}
        if self.origin != UNKNOWN:
            spec["origin"] = msgspec.to_builtins(self.origin)
        return Content(kind=NAME, spec=spec, array=self.numbers, fingerprint=self.origin.fingerprint)

    @property
    def hash(self) -> str:
        return self.content.hash

    @property
    def use(self) -> Use:
        """What a step that names it is stored with."""
        return Use(content=self.content, name=self.name, takes_name=self.takes_name)


def from_content(name: str, content: Content) -> Direction:
    """A direction as a session has it. Raises UserError for one that is damaged."""
    contrast = content.spec.get("contrast", {})
    if content.array is None or content.array.ndim != 1 or not isinstance(contrast, dict):
        raise UserError(f"@{name} is damaged in the session: it is no vector")
    vector = np.asarray(content.array, "<f4").tobytes()
    try:
        origin = msgspec.convert(content.spec.get("origin", {}), Origin)
    except msgspec.ValidationError as error:
        raise UserError(f"@{name} is damaged in the session: where it comes from can't be read ({error})") from None
    texts = {str(key): str(value) for key, value in contrast.items()}
    return Direction(name=name, vector=vector, contrast=texts, origin=origin)


def directions_dir() -> Path:
    """Where NAME.npy and NAME.safetensors are looked for."""
    return paths.data_dir() / "directions"


def direction_names(edits: Iterable[Edit], units: Iterable[str] = ()) -> list[str]:
    """The named directions of a stack and of lists of units, each once; a neuron's own weights are not among them."""
    names: dict[str, None] = {}
    for edit in edits:
        if isinstance(edit, Add) and edit.direction:
            names[edit.direction] = None
        names.update(dict.fromkeys(_IN_UNITS.findall(edit.units)))
    for text in units:
        names.update(dict.fromkeys(_IN_UNITS.findall(text)))
    return [name for name in names if not NEURON_WEIGHTS.fullmatch(name)]


def kept_directions() -> list[str]:
    """Names of the directions in the data folder."""
    return sorted({file.stem for file in files_in(directions_dir(), SUFFIXES)})


def direction_file(name: str) -> Path | None:
    """The file of a named direction; None where there is none."""
    return file_named(directions_dir(), SUFFIXES, name)


def read_direction(name: str) -> Direction:
    """A direction from its file. Raises UserError where there is none, naming the ones there are."""
    file = direction_file(name)
    if file is None:
        names = kept_directions()
        hint = f"there are {', '.join('@' + name for name in names)}" if names else "there is none yet"
        raise UserError(f"there is no direction @{name} in {directions_dir()}: {hint}")
    return _read_checked(name, file)


def _read_checked(name: str, file: Path) -> Direction:
    """Raises UserError for a file that holds none."""
    vector = _read_vector(file)
    if vector.ndim != 1:
        raise UserError(f"{file} has shape {vector.shape}: a direction is one vector of numbers")
    if not np.isfinite(vector).all() or not vector.any():
        raise UserError(f"{file} holds no direction: its numbers are all zero, or not all finite")
    return Direction(name=name, vector=vector.astype("<f4").tobytes(), contrast=_contrast(file))


def keep_direction(name: str, file: Path, d_model: int | None = None) -> Path:
    """Copies a direction's file to where `@name` is looked for, and returns its path there.

    Raises UserError for a file that holds no direction, and for a name that stands for another one already.
    """
    if not _NAME.fullmatch(name) or NEURON_WEIGHTS.fullmatch(name):
        raise UserError(f"{name!r} is no name for a direction: letters, digits, _ . - after a letter, as in @refusal")
    vector = _read_checked(name, file).numbers
    if d_model is not None and len(vector) != d_model:
        raise UserError(f"{file} has {len(vector)} numbers: this model's directions have {d_model}")
    existing = direction_file(name)
    if existing is not None:
        if np.array_equal(_read_vector(existing), vector):
            return existing
        raise UserError(f"@{name} is another direction already ({existing}): choose another name, or remove it")
    folder = directions_dir()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{file.suffix if file.suffix == '.safetensors' else '.npy'}"
    if target.suffix == ".npy":
        np.save(target, vector)
    else:
        shutil.copyfile(file, target)  # with what it says of its prompts
    return target


def _read_vector(file: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = [np.load(file, allow_pickle=False)] if file.suffix == ".npy" else list(load_file(file).values())
        if len(arrays) != 1:
            raise UserError(f"{file} holds {len(arrays)} arrays: a direction's file holds one")
        if arrays[0].dtype.kind not in "fiu":
            raise UserError(f"{file} holds {arrays[0].dtype.name}: a direction is one vector of real numbers")
        return np.asarray(arrays[0], dtype=np.float32).squeeze()
    except (OSError, EOFError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        problem = str(error) or "it is empty"
        raise UserError(f"{file} can't be read as a direction, one vector in .npy or .safetensors: {problem}") from None


def _contrast(file: Path) -> dict[str, str]:
    if file.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata() or {}
    return {name: metadata[name] for name in CONTRAST if name in metadata}


def _facts(artifact: Artifact, content: Content | None) -> Facts:
    direction = from_content(artifact.name, content) if content else read_direction(artifact.name)
    numbers = direction.numbers
    facts = [("numbers", f"{len(numbers):,}, norm {number(float(np.linalg.norm(numbers)))}")]
    return facts + [(name, direction.contrast[name]) for name in CONTRAST if name in direction.contrast]


KIND = Kind(
    name=NAME,
    listed=lambda: list_files(NAME, directions_dir(), SUFFIXES, lambda file: _read_checked(file.stem, file).hash),
    remove=remove_file,
    facts=_facts,
    in_session=True,
)
